"""Supervised fine-tuning of a small VLA from nothing: demonstrations in the twin, flow matching, success by prompt.

    python -m baselines.vla --tasks PegInsert:board=blue PegInsert:board=yellow --seed 0

A run that was interrupted goes on when the command is repeated. `load` gives the policy that a run made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from baselines.command import arguments, command
from user_gym.core import real, whole
from user_gym.errors import BadOption, MissingExtra, WrongRun
from user_gym.system import Buffer, Counters
from user_gym.system.atomic_file import write_json
from user_gym.system.chunked import ChunkedPolicy

try:
    import torch

    from baselines.episodes import evaluate
    from baselines.experience import own_buffer
    from baselines.report import Clock
    from baselines.run_folder import Run, newest
    from baselines.vla_demos import CAMERAS, demonstrate, make, of_task, parse, prompt_of
    from baselines.vla_network import FLOW_STEPS, STATE, VlaPolicy
    from baselines.vla_report import judgements, prompted, report, tenth
    from baselines.vla_sft import Sft
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error


@dataclass(frozen=True, slots=True)
class VlaConfig:
    """What a run is. A run folder belongs to one configuration."""

    tasks: tuple[str, ...] = ("PegInsert",)
    """as in User/NAME-sim-v0, with options as in PegInsert:board=blue; their descriptions are the prompts. A robot of its own,
    as in PegInsert:robot=arx-x5, is an option as well, and then the prompt's first word"""
    robot: str = "franka-fr3"
    """franka-fr3, franka-fer, arx-x5 or arx-l5: of tasks that name none"""
    side: int = 64
    """pixels, height and width of the pictures that the model sees; a multiple of 16 that divides 128"""
    cameras: tuple[str, ...] = CAMERAS
    """that the model sees; most of the work of an update is to look"""
    horizon: int = 8
    """actions in a chunk"""
    execute: int = 4
    """of these, how many are carried out before the next inference"""
    demos: int = 300
    """successful demonstrations by the scripted expert, of each task"""
    demo_noise: float = 0.15
    """largest standard deviation of noise on what is executed while demonstrating, in units of the action"""
    updates: int = 1500
    """of the model"""
    batch_size: int = 64
    """observations per update, shared among the tasks"""
    draws: int = 2
    """ways from noise to actions that are learned from each observation of an update"""
    learning_rate: float = 1e-3
    """rises over the first 100 updates, then falls to 0 as a cosine"""
    weight_decay: float = 1e-4
    """of AdamW"""
    checkpoint_every: int = 250
    """updates"""
    eval_episodes: int = 50
    """of each task and prompt, at the end"""
    seed: int = 0
    """of networks, demonstrations and sampling"""
    run_dir: Path | None = None
    """folder of the run; default: runs/vla-TASKS-ROBOT-seedN"""

    def __post_init__(self) -> None:
        for task in self.tasks:
            parse(task)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise BadOption("tasks", self.tasks, "one or more, each once")
        if not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise BadOption("cameras", self.cameras, "one or more, each once")
        for name in ("side", "horizon", "execute", "demos", "updates", "draws", "checkpoint_every", "eval_episodes"):
            whole(name, getattr(self, name), 1)
        whole("batch_size", self.batch_size, len(self.tasks), f"{len(self.tasks)} or more: one of each task")
        whole("seed", self.seed, 0)
        if 128 % self.side:
            raise BadOption("side", self.side, "16, 32, 64 or 128 (pixels)")
        if self.execute > self.horizon:
            raise BadOption("execute", self.execute, f"1 .. horizon, which is {self.horizon}")
        real("demo_noise", self.demo_noise, 0.0, 1.0, "0 .. 1, in units of the action")
        real("learning_rate", self.learning_rate, 1e-8, 1.0, "1e-8 .. 1")
        real("weight_decay", self.weight_decay, 0.0, 1.0, "0 .. 1")

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two runs different."""
        own = {name: value for name, value in asdict(self).items() if name != "run_dir"}
        return own | {"tasks": list(self.tasks), "cameras": list(self.cameras)}

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return self.run_dir or Path("runs") / f"vla-{'-'.join(self.tasks)}-{self.robot}-seed{self.seed}"


def of(config: VlaConfig, envs: Mapping[str, gymnasium.Env[Any, Any]]) -> Sft:
    """The learner for these environments, by prompt. Raises BadOption where two have the same."""
    if len({prompt_of(env) for env in envs.values()}) < len(envs):
        said = "; ".join(f"{task}: {prompt_of(env)!r}" for task, env in envs.items())
        raise BadOption("tasks", said, "tasks with a prompt of their own each", "leave out one of them")
    spaces: Any = next(iter(envs.values())).observation_space
    cameras = tuple(name for name, space in spaces.items() if space.dtype == np.uint8)
    return Sft(config, cameras, max((env.action_space.shape or (0,))[0] for env in envs.values()))


def learn(config: VlaConfig, run: Run, sft: Sft, buffer: Buffer, prompts: Mapping[str, str]) -> None:
    """Update until `config.updates`, from the newest checkpoint on. `prompts`: task -> its prompt."""
    views = {prompt: buffer.view(of_task(task)) for task, prompt in prompts.items()}
    if run.restore(sft.restore) is None:
        sft.normalise(np.concatenate([_states(view) for view in views.values()]))
    rows, clock = config.batch_size // len(views), Clock()
    before, smooth = run.seconds, math.nan
    while sft.updates < config.updates:
        rng = np.random.default_rng([config.seed, sft.updates])  # a run that goes on draws what it would have drawn
        loss = sft.update({prompt: view.sample(rows, rng, config.horizon) for prompt, view in views.items()})
        smooth = loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss
        if sft.updates % config.checkpoint_every == 0 or sft.updates == config.updates:
            wall, cpu = clock.read()
            run.seconds = {"wall": before["wall"] + wall, "cpu": before["cpu"] + cpu}
            run.save(sft.save, Counters(updates=sft.updates, version=sft.updates))
            print(f"{sft.updates:6d}/{config.updates} updates  loss {smooth:.4f}, {run.seconds['cpu']:.0f} s CPU", flush=True)


def _states(view: Any, most: int = 4096) -> NDArray[np.float32]:
    return view.sample(most, np.random.default_rng(0)).obs["state"][:, :STATE]


def load(folder: Path, prompt: str | None = None, steps: int | None = None, noise_level: float | None = None) -> VlaPolicy:
    """The policy of the newest checkpoint of a run, or of one that went on from it. Raises WrongRun.

    Args:
        folder: of the run.
        prompt: for observations that have none; None: that of the run's first task.
        steps: from noise to actions; None: as many as the run trained, or FLOW_STEPS where it trained no steps.
        noise_level: of the SDE that leads there, 0: the ODE; None: as the run trained it, or the ODE where it trained no steps.
    """
    config, sft, prompts = reopened(folder, model_alone=True)
    kept = {"flow_steps": FLOW_STEPS, "noise_level": 0.0} | newest(folder)[0]
    level = kept["noise_level"] if noise_level is None else noise_level
    return sft.policy(prompt or prompts[config.tasks[0]], steps or kept["flow_steps"], level)


def finished(folder: Path) -> tuple[VlaConfig, Sft, dict[str, str]]:
    """As `reopened`, for a run that goes on from this one's model. Raises WrongRun where it is not finished."""
    config, sft, prompts = reopened(folder, model_alone=True)
    if not (folder / "summary.json").exists():
        raise WrongRun(f"{folder} is not finished, {sft.updates} updates are done; let its own command go on first")
    return config, sft, prompts


def reopened(folder: Path, model_alone: bool = False) -> tuple[VlaConfig, Sft, dict[str, str]]:
    """Configuration, learner (as `Sft.restore`) and prompts of a run, or of one that went on from it. Raises WrongRun."""
    if not (folder / "config.json").exists():
        raise WrongRun(f"{folder} holds no run; make one: python -m baselines.vla")
    checkpoint, kept = newest(folder)[1], newest(origins(folder)[-1])[0]
    if "tasks" not in kept:
        raise WrongRun(f"{folder} is a run of {kept.get('method', 'something else')}, not of baselines.vla")
    config = VlaConfig(**{**kept, "tasks": tuple(kept["tasks"]), "cameras": tuple(kept.get("cameras", CAMERAS))})
    with ExitStack() as stack:
        envs = opened(config, stack)
        sft, prompts = of(config, envs), {task: prompt_of(env) for task, env in envs.items()}
    sft.restore(checkpoint, model_alone)
    return config, sft, prompts


def origins(folder: Path) -> list[Path]:
    """The folder of a run and those of the runs that it went on from, the demonstrations' last. Raises WrongRun."""
    begun = newest(folder)[0].get("sft")
    return [folder, *(origins(Path(begun)) if begun else [])]


def opened(config: VlaConfig, stack: ExitStack) -> dict[str, gymnasium.Env[Any, Any]]:
    """The environment of each task; closed by the stack."""
    each = {task: closing(make(task, config.robot, config.side, config.cameras)) for task in config.tasks}
    return {task: stack.enter_context(env) for task, env in each.items()}


def judged(config: VlaConfig, sft: Sft, envs: Mapping[str, gymnasium.Env[Any, Any]]) -> dict[str, dict[str, float]]:
    """Success rate in each task's environment with each task's prompt: task -> whose prompt -> rate.

    Chunks are drawn, not what becomes of noise 0: that one is the mean of searches to all sides, and rests beside the hole.
    """
    rates: dict[str, dict[str, float]] = {}
    for task, env in envs.items():
        axes = (env.action_space.shape or (0,))[0]
        for other, source in envs.items():
            policy = VlaPolicy(sft.net, prompt_of(source), axes, config.seed)
            policy.load(sft.weights())
            with ChunkedPolicy(policy, horizon=config.execute) as chunked:
                told = tenth(prompted(task, other))
                rate, _ = evaluate(env, chunked, config.eval_episodes, told=told, deterministic=False)
            rates.setdefault(task, {})[other] = rate
    return rates


def main(config: VlaConfig) -> dict[str, Any]:
    """Make or continue a run; its summary."""
    torch.set_num_threads(1)
    with ExitStack() as stack:
        envs = opened(config, stack)
        sft = of(config, envs)
        run = stack.enter_context(closing(Run(config.folder, config.identity)))
        run.open()
        before = run.summary
        summary = _made(config, run, sft, envs) if before is None else before
        lines = [*judgements(summary["success"], config.eval_episodes), f"{summary['updates']} updates"]
        report(run.folder, lines, finished_before=before is not None)
        return summary


def _made(config: VlaConfig, run: Run, sft: Sft, envs: Mapping[str, gymnasium.Env[Any, Any]]) -> dict[str, Any]:
    """Demonstrate, learn and judge; the summary."""
    with own_buffer(run) as buffer:
        for task, env in envs.items():
            tried = demonstrate(env, buffer, config.demos, config.demo_noise, config.seed, tenth(task))
            kept = len(buffer.view(of_task(task)))
            print(f"{task}: {config.demos} demonstrations, {kept} steps; {tried} tried now", flush=True)
        learn(config, run, sft, buffer, {task: prompt_of(env) for task, env in envs.items()})
    summary = {"success": judged(config, sft, envs), "updates": sft.updates, "seconds": run.seconds}
    summary |= {"parameters": sum(part.numel() for part in sft.net.parameters()), "episodes": config.eval_episodes}
    write_json(run.folder / "summary.json", summary)
    return summary


if __name__ == "__main__":
    with command():
        main(arguments(VlaConfig, __doc__))
