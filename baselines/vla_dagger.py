"""HG-DAgger of a small VLA: a policy server acts, a human takes over where it goes astray, and its weights follow live.

    python -m baselines.vla_dagger runs/vla-PegInsert:board=blue-PegInsert:board=yellow-franka-fr3-seed0

The robot's side knows an address: it asks by openpi's websocket protocol, with the prompt of its task, and carries chunks out.
Steps of the human go into a buffer; after each episode the model learns from them and from the demonstrations that it began
with, and what is published reaches the server between two requests. The human is scripted: `baselines.supervisor`. A run that
was interrupted goes on when the command is repeated, with all episodes that were over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import gymnasium
import numpy as np

from baselines.command import arguments, command
from user_gym.core import Chunk, real, whole
from user_gym.errors import MissingExtra, WrongRun
from user_gym.integrations.openpi.client import RemotePolicy
from user_gym.integrations.openpi.server import PolicyServer
from user_gym.system import Broadcaster, Buffer, ChunkBuilder, Counters, Mixture
from user_gym.system.atomic_file import write_json
from user_gym.system.chunked import ChunkedPolicy
from user_gym.wrappers import Intervention

try:
    import torch
    import tyro

    from baselines.episodes import hand
    from baselines.experience import own_buffer
    from baselines.hg_dagger import HUMAN_SEED, by_quarter
    from baselines.report import Clock
    from baselines.run_folder import Run, newest
    from baselines.supervisor import Supervisor
    from baselines.vla import VlaConfig, finished, judged, opened, origins
    from baselines.vla_demos import LABEL, of_task
    from baselines.vla_report import EVERY, judgements, report
    from baselines.vla_sft import Sft
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

Twin = gymnasium.Env[Any, Any]
FIRST_SEED = 4_000_000  # of a run's first episode, plus a hundred thousand for each seed: none that anything is judged on


@dataclass(frozen=True, slots=True)
class DaggerConfig:
    """What a run is. A run folder belongs to one configuration."""

    sft: Annotated[Path, tyro.conf.Positional]
    """folder of the run that this goes on from: of baselines.vla, or of this, whose corrections count as well"""
    episodes: int = 160
    """of the robot, of the tasks in turns"""
    updates: int = 10
    """of the model after each episode; batch and draws are those of the run that this begins with"""
    corrections: float = 0.5
    """share of a batch that is the human's, the rest are demonstrations"""
    learning_rate: float = 5e-4
    """as in baselines.vla, over all updates of this run"""
    patience: int = 12
    """periods without getting nearer after which the human takes over"""
    human_noise: float = 0.05
    """standard deviation of noise on what the human does, in units of the action"""
    checkpoint_every: int = 20
    """episodes"""
    eval_episodes: int = 50
    """of each task and prompt, at the end"""
    seed: int = 0
    """of starts, human and sampling"""
    run_dir: Path | None = None
    """folder of the run; default: runs/dagger-NAME-seedN, NAME that of the folder it begins with"""

    def __post_init__(self) -> None:
        for name in ("episodes", "updates", "patience", "checkpoint_every", "eval_episodes"):
            whole(name, getattr(self, name), 1)
        whole("seed", self.seed, 0)
        real("corrections", self.corrections, 0.01, 0.99, "0.01 .. 0.99, a share")
        real("learning_rate", self.learning_rate, 1e-8, 1.0, "1e-8 .. 1")
        real("human_noise", self.human_noise, 0.0, 1.0, "0 .. 1, in units of the action")

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two runs different."""
        return {name: value for name, value in asdict(self).items() if name != "run_dir"} | {"sft": str(self.sft.resolve())}

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return self.run_dir or Path("runs") / f"dagger-{self.sft.name}-seed{self.seed}"


class Robot(NamedTuple):
    """One task's side of the socket."""

    env: Twin  # with the human beside it
    policy: ChunkedPolicy
    builder: ChunkBuilder


@contextmanager
def beside(
    envs: Mapping[str, Twin], prompts: Mapping[str, str], url: str, execute: int, config: DaggerConfig
) -> Iterator[list[Robot]]:
    """A robot for each task, connected to the policy server at `url`."""
    with ExitStack() as stack:
        robots: list[Robot] = []
        for task, inner in envs.items():
            axes = (inner.action_space.shape or (0,))[0]
            core: Any = inner.unwrapped
            human = hand(inner, config.human_noise, HUMAN_SEED + config.seed)
            remote = stack.enter_context(RemotePolicy(url, axes=axes))
            policy = stack.enter_context(ChunkedPolicy(remote, horizon=execute, prompt=prompts[task]))
            nobody = {LABEL: np.full(axes, np.nan, np.float32)}
            builder = ChunkBuilder("robot", core.spec_of_robot.name, task, max_seconds=1e6, extra=nobody)
            robots.append(Robot(Intervention(inner, Supervisor(core.task, human, config.patience)), policy, builder))
        yield robots


def corrected(robot: Robot, number: int, seed: int) -> Chunk:
    """One episode, in which the human takes over where the policy gets nowhere."""
    env, policy, builder = robot
    obs, _ = env.reset(seed=seed)
    policy.reset(seed)
    builder.start(obs, number)
    chunk = None
    while chunk is None:
        made = policy.act(obs)
        obs, reward, terminated, truncated, info = env.step(made.actions[0])
        if info["is_intervention"]:
            policy.interrupt()  # what was planned was planned for another course of events
        chunk = builder.add(made.actions[0], float(reward), terminated, truncated, info, obs, made.version)
    return chunk


def batches(
    config: DaggerConfig, kept: VlaConfig, demos: Buffer, human: Sequence[Buffer], prompts: Mapping[str, str]
) -> dict[str, Mixture]:
    """What the model learns from, by prompt: demonstrations, and what the human did in this run and in those before it."""
    mixtures: dict[str, Mixture] = {}
    for task, prompt in prompts.items():
        theirs = f"is_intervention AND task = '{task}'"
        parts = [(buffer.view(theirs), config.corrections / len(human)) for buffer in human]
        parts.append((demos.view(of_task(task)), 1.0 - config.corrections))
        mixtures[prompt] = Mixture(parts, kept.batch_size // len(prompts), kept.horizon)
    return mixtures


def practise(
    config: DaggerConfig,
    run: Run,
    learner: Sft,
    robots: Sequence[Robot],
    mixtures: Mapping[str, Mixture],
    own: Buffer,
    weights: Broadcaster,
) -> None:
    """Episodes and updates in turns until `config.episodes`, from what the buffer has on."""
    run.restore(learner.restore)
    done = len(own.view("terminated OR truncated"))
    earlier, clock, steps = dict(run.seconds), Clock(), len(own)
    acted: list[Chunk] = []
    while True:
        while learner.updates < done * config.updates:  # after a kill, those that the checkpoint has not
            rng = np.random.default_rng([config.seed, learner.updates])
            learner.update({prompt: mixture(own, rng) for prompt, mixture in mixtures.items()})
        now = learner.weights()
        weights.publish(now.arrays, now.spec_hash, version=learner.updates)
        if done == config.episodes or (done and done % config.checkpoint_every == 0):
            wall, cpu = clock.read()
            run.seconds = {"wall": earlier["wall"] + wall, "cpu": earlier["cpu"] + cpu}
            run.save(learner.save, Counters(steps, done, learner.updates, learner.updates))
        if done == config.episodes:
            return
        chunk = corrected(robots[done % len(robots)], done, FIRST_SEED + 100_000 * config.seed + done)
        own.append(chunk)
        done, steps = done + 1, steps + len(chunk)
        acted.append(chunk)
        if len(acted) == EVERY:
            alone = sum(bool(one.success[-1]) and not one.is_intervention.any() for one in acted)
            share = np.concatenate([one.is_intervention for one in acted]).mean()
            told = f"success without help {alone} of {EVERY}, human {share:.2f} of steps, {clock.read()[1]:.0f} s CPU"
            print(f"{done:4d}/{config.episodes} episodes  {told}", flush=True)
            acted.clear()


def main(config: DaggerConfig) -> dict[str, Any]:
    """Make or continue a run; its summary."""
    torch.set_num_threads(1)
    kept, model, prompts = finished(config.sft)
    if "noise_level" in newest(config.sft)[0]:
        begun = origins(config.sft)[1]
        raise WrongRun(
            f"{config.sft} is a run of baselines.vla_rl, which acts by an SDE, and corrections teach an ODE; correct {begun}, "
            "and reinforce what comes of that"
        )
    updates = config.episodes * config.updates
    learner = model.further(
        replace(kept, updates=updates, learning_rate=config.learning_rate, eval_episodes=config.eval_episodes)
    )
    with ExitStack() as stack:
        envs = opened(kept, stack)
        for env in envs.values():  # a task that no human can watch is refused before anything is made
            Supervisor(env.unwrapped.task, hand(env), config.patience)  # pyright: ignore[reportAttributeAccessIssue]
        run = stack.enter_context(closing(Run(config.folder, config.identity)))
        run.open()
        before = run.summary
        summary = _made(config, run, kept, learner, envs, prompts) if before is None else before
        lines = judgements(summary["success"], config.eval_episodes)
        lines.append(f"{summary['episodes']} corrected episodes, {summary['updates']} updates")
        report(run.folder, lines, finished_before=before is not None)
        return summary


def _made(
    config: DaggerConfig, run: Run, kept: VlaConfig, learner: Sft, envs: Mapping[str, Twin], prompts: Mapping[str, str]
) -> dict[str, Any]:
    """Serve, act, correct, learn and judge; the summary."""
    with ExitStack() as stack:
        kept_before = [one / "buffer" for one in origins(config.sft) if (one / "buffer").exists()]
        before = [stack.enter_context(Buffer.open(one, read_only=True)) for one in kept_before]
        own = stack.enter_context(own_buffer(run))
        weights = Broadcaster()
        policy = learner.policy(next(iter(prompts.values())))
        server = stack.enter_context(PolicyServer(policy, port=0, weights=weights, clients=len(envs)))
        robots = stack.enter_context(beside(envs, prompts, server.url, kept.execute, config))
        practise(config, run, learner, robots, batches(config, kept, before.pop(), [own, *before], prompts), own, weights)
        versions = own.steps(own.numbers(), ("policy_version",))["policy_version"]
        summary = {"success": judged(learner.config, learner, envs), "updates": learner.updates, "seconds": run.seconds}
        summary |= {"steps": len(own), "versions": len(np.unique(versions[versions >= 0])), **by_quarter(own)}
    write_json(run.folder / "summary.json", summary)
    return summary


if __name__ == "__main__":
    with command():
        main(arguments(DaggerConfig, __doc__))
