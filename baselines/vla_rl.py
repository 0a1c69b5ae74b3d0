"""Reinforcement learning of a small VLA in the twin, rewarded by the task's rule alone: PPO of its flow, chunk by chunk.

    python -m baselines.vla_rl runs/vla-PegInsert-franka-fr3-seed0 --seed 0

Begins with a run of `baselines.vla`; `baselines.flow_ppo` says how it learns. The SDE that acts while it learns is judged,
before and after, and served. Only what makes actions is trained; what reads pictures, state and words stays as it was, so it
is asked once for each observation. Collected chunks are learned from in one iteration and not kept.

A run that was interrupted goes on when the command is repeated. `vla.load` and `vla_serve` take what it made.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np

from baselines.command import arguments, command
from user_gym.core import Task, whole
from user_gym.errors import MissingExtra, UnknownName
from user_gym.robots import pose
from user_gym.system import Counters
from user_gym.system.atomic_file import write_json
from user_gym.system.chunked import ChunkedPolicy

try:
    import torch
    import tyro
    from torch import Tensor

    from baselines import vla
    from baselines.episodes import evaluate
    from baselines.flow_ppo import FlowPpo, FlowPpoConfig, Learned, Practice
    from baselines.report import Clock
    from baselines.run_folder import Run
    from baselines.vla_demos import make, prompt_of
    from baselines.vla_network import VlaPolicy, spelled
    from baselines.vla_report import report, tenth
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

Twin = gymnasium.Env[Any, Any]
NEAR = np.repeat([0.001, 0.02], 3)  # m, rad; what is nearer is told in proportion, what is farther by its logarithm
PRACTICE_SEED = 10_000_000  # of a run's first episode, plus a million for each seed: none that anything is judged on


@dataclass(frozen=True, slots=True, kw_only=True)
class VlaRlConfig(FlowPpoConfig):
    """What a run is. A run folder belongs to one configuration."""

    sft: Annotated[Path, tyro.conf.Positional]
    """folder of a finished run of baselines.vla, or of one that went on from it, which this begins with"""
    task: str | None = None
    """one of that run's tasks; None: its first"""
    iterations: int = 14
    """of collecting and learning from it"""
    episodes: int = 128
    """of an iteration"""
    twins: int = 16
    """simulated robots side by side, whose chunks are made together"""
    eval_episodes: int = 100
    """of the model as it is served, before and after"""
    run_dir: Path | None = None
    """folder of the run; default: runs/vla-rl-NAME-seedN, NAME that of the folder it begins with"""

    def __post_init__(self) -> None:
        FlowPpoConfig.__post_init__(self)  # super() does not find its class where a dataclass has slots
        for name in ("iterations", "episodes", "twins", "eval_episodes"):
            whole(name, getattr(self, name), 1)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two runs different."""
        return {name: value for name, value in asdict(self).items() if name != "run_dir"} | {"sft": str(self.sft.resolve())}

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return self.run_dir or Path("runs") / f"vla-rl-{self.sft.name}-seed{self.seed}"


def told(twin: Twin, left: float) -> Tensor:
    """What the critic is told: the share of an episode's time that is left, and where each object really is, from the tool.

    The rule counts success within the time limit, so that is an end like any other. The model sees neither; the critic, which
    is gone when learning is over, may know what only a simulator does (Pinto et al. 2017, arXiv 1710.06542).
    """
    core: Any = twin.unwrapped
    away = pose.to_chart(pose.compose(pose.inverse(pose.from_chart(core.state.tcp)), core.scene.poses))
    return torch.from_numpy(np.append(left, np.arcsinh(away / NEAR)).astype(np.float32))


def told_numbers(task: Task) -> int:
    """How many numbers `told` gives of a task."""
    return 1 + 6 * sum(body.mount != "tool" for body in task.bodies)


def practise(agent: FlowPpo, twins: Sequence[Twin], words: Tensor, episodes: int, first_seed: int) -> Practice:
    """Collect episodes, as many at a time as there are twins. One that is over waits for the others of its round.

    They are no VectorEnv: that steps all rows at once, and an episode may end within a chunk.
    """
    turns, axes = agent.counted
    core: Any = twins[0].unwrapped
    limit = core.task.max_steps
    drawn: list[tuple[Tensor, ...]] = []
    numbers: list[int] = []
    rewards: list[float] = []
    successes = steps = 0
    for begin in range(0, episodes, len(twins)):
        busy = dict(zip(range(begin, episodes), twins, strict=False))
        seen = {number: twin.reset(seed=first_seed + number)[0] for number, twin in busy.items()}
        passed = dict.fromkeys(busy, 0)
        while busy:
            known = torch.stack([told(twin, 1.0 - passed[number] / limit) for number, twin in busy.items()])
            memory, ways = agent.draw([seen[number] for number in busy], words)
            drawn.append((memory, known, ways))
            chunks = ways[:, -1, :turns, :axes].clamp(-1.0, 1.0).numpy()
            for (number, twin), chunk in zip(list(busy.items()), chunks, strict=True):
                earned = 0.0
                for action in chunk:
                    seen[number], reward, terminated, truncated, info = twin.step(action)
                    earned, passed[number], steps = earned + float(reward), passed[number] + 1, steps + 1
                    if terminated or truncated:
                        successes += bool(info["is_success"])
                        del busy[number]
                        break
                numbers.append(number)
                rewards.append(earned)
    order = torch.tensor(numbers).argsort(stable=True)
    memory, known, ways = (torch.cat(part)[order] for part in zip(*drawn, strict=True))
    episode, reward = torch.tensor(numbers)[order], torch.tensor(rewards)[order]
    return Practice(memory, known, ways, episode, reward, successes / episodes, steps)


def judged(agent: FlowPpo, env: Twin, config: VlaRlConfig, when: str) -> float:
    """Success rate of the model as it is served: chunks of the SDE; `when` is told with progress."""
    turns, axes = agent.counted
    served = VlaPolicy(agent.net, prompt_of(env), axes, config.seed, config.flow_steps, config.noise_level)
    with ChunkedPolicy(served, horizon=turns) as policy:
        return evaluate(env, policy, config.eval_episodes, told=tenth(when), deterministic=False)[0]


def learn(config: VlaRlConfig, run: Run, agent: FlowPpo, twins: Sequence[Twin]) -> None:
    """Collect and update until `config.iterations`, from the newest checkpoint on."""
    if run.restore(agent.restore) is None:
        run.curve.append({"iteration": 0, "judged": judged(agent, twins[0], config, "before")})
    words = torch.from_numpy(spelled(prompt_of(twins[0])))
    earlier, clock = dict(run.seconds), Clock()
    while agent.iterations < config.iterations:
        first = PRACTICE_SEED + 1_000_000 * config.seed + config.episodes * agent.iterations
        practice = practise(agent, twins, words, config.episodes, first)
        learned = agent.update(practice)
        wall, cpu = clock.read()
        run.seconds = {"wall": earlier["wall"] + wall, "cpu": earlier["cpu"] + cpu}
        run.curve.append({"iteration": agent.iterations, "success_rate": practice.success, **learned._asdict()})
        reached = run.counters
        steps, done = reached.env_steps + practice.steps, agent.iterations
        run.save(agent.save, Counters(steps, reached.episodes + config.episodes, done, done))
        print(
            f"{done:4d}/{config.iterations} iterations  success {practice.success:.2f} of {config.episodes} episodes, "
            f"{steps} steps, {described(learned)}, {run.seconds['cpu']:.0f} s CPU",
            flush=True,
        )


def described(learned: Learned) -> str:
    """What the updates of an iteration were like, in words."""
    explained = "-" if learned.explained is None else f"{learned.explained:.2f}"
    moved = f"moved by {learned.divergence:.3f} nats per chunk in {learned.epochs} epochs"
    return f"{moved}, critic explains {explained} of the returns' variance"


def main(config: VlaRlConfig) -> dict[str, Any]:
    """Make or continue a run; its summary."""
    torch.set_num_threads(1)
    sft, learned, prompts = vla.finished(config.sft)
    task = sft.tasks[0] if config.task is None else config.task
    if task not in prompts:
        raise UnknownName("task", task, prompts)
    with ExitStack() as stack:
        each = [closing(make(task, sft.robot, sft.side, sft.cameras)) for _ in range(config.twins)]
        twins = [stack.enter_context(twin) for twin in each]
        axes = (twins[0].action_space.shape or (0,))[0]
        core: Any = twins[0].unwrapped
        agent = FlowPpo(learned.net, (sft.execute, axes), told_numbers(core.task), config)
        run = stack.enter_context(closing(Run(config.folder, config.identity)))
        run.open()
        before = run.summary
        summary = _made(config, run, agent, twins, task) if before is None else before
        lines = [f"{when}: success {summary[when]:.2f} over {config.eval_episodes} episodes" for when in ("before", "after")]
        lines.append(f"{summary['episodes']} episodes of the SDE, {summary['env_steps']} steps in between")
        report(run.folder, lines, finished_before=before is not None)
        return summary


def _made(config: VlaRlConfig, run: Run, agent: FlowPpo, twins: Sequence[Twin], task: str) -> dict[str, Any]:
    """Judge, reinforce, judge; the summary."""
    learn(config, run, agent, twins)
    summary = {
        "task": task, "before": run.curve[0]["judged"], "after": judged(agent, twins[0], config, "after"),
        "eval_episodes": config.eval_episodes,
        "episodes": run.counters.episodes, "env_steps": run.counters.env_steps,
        "train_s": round(run.seconds["wall"], 2), "train_cpu_s": round(run.seconds["cpu"], 2),
    }  # fmt: skip
    write_json(run.folder / "summary.json", summary)
    return summary


if __name__ == "__main__":
    with command():
        main(arguments(VlaRlConfig, __doc__))
