"""A small VLA's tasks, by name; pictures made small; and demonstrations: what the expert would do wherever noise has led it.

The noise is on what is executed, not on what is learned (DART, Laskey et al. 2017): a policy that copies only a perfect hand
never sees how to come back from its own errors. Those are large and last: a policy of peg insertion that had seen small noise
alone went down beside the hole, where no demonstration had been, and stayed. So the arm is pushed as well: docs/vla.md.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from baselines.episodes import DEMO_SEED, EXPERTS, hand
from baselines.experience import newest
from baselines.pictures import Seen
from user_gym.errors import BadOption, UnknownName
from user_gym.system import Buffer, ChunkBuilder

PUSH = 0.15  # most of the chance that a push begins at a step; each episode draws its own from 0 up to this
PUSHED = 4  # steps that a push lasts at most; it is one action, drawn from all there are
LABEL = "expert_action"  # extra column: what the expert would do there, (action,)
CAMERAS = ("wrist", "side")


class SmallPictures(Seen):
    """A task as a model sees it.

    Attributes:
        label: of the task, by which its experience is known.
        prompt: what is to be done, in words. Where the label names a robot, its name comes first: the word by which a policy
            of several bodies is told which it has.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], side: int, label: str, cameras: Sequence[str] = CAMERAS) -> None:
        super().__init__(env, side, cameras)
        core: Any = env.unwrapped
        self.label = label
        self.prompt = " ".join([core.spec_of_robot.name] * ("robot" in parse(label)[1]) + [core.task.description])


def parse(label: str) -> tuple[str, dict[str, Any]]:
    """A task and its options of "NAME" or "NAME:option=value,option=value". Raises UnknownName, BadOption."""
    name, _, rest = label.partition(":")
    if name not in EXPERTS:
        raise UnknownName("task", name, EXPERTS)
    options: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        option, given, value = part.partition("=")
        if option == "obs":
            raise BadOption("task", label, "options of the task without obs: a VLA sees pixels", "leave it out")
        if not option or not given or "'" in part:  # labels stand between quotes in conditions
            raise BadOption("task", label, "NAME or NAME:option=value,option=value, such as PegInsert:board=blue")
        try:
            options[option] = ast.literal_eval(value)
        except (ValueError, SyntaxError):  # a word
            options[option] = value
    return name, options


def make(task: str, robot: str, side: int, cameras: Sequence[str] = CAMERAS) -> gymnasium.Env[Any, Any]:
    """The twin of a task, by its label as of `parse`, seen through small pictures; `robot` where the label names none."""
    name, options = parse(task)
    env = gymnasium.make(f"User/{name}-sim-v0", **{"robot": robot, **options, "obs": "pixels"})
    return SmallPictures(env, side, task, cameras)


def prompt_of(env: gymnasium.Env[Any, Any]) -> str:
    """What is to be done, in words, as of `SmallPictures`."""
    return env.get_wrapper_attr("prompt")


def of_task(task: str) -> str:
    """The condition that selects a task's demonstrations in a buffer."""
    return f"kind = 'demo' AND task = '{task}'"


def demonstrate(
    env: gymnasium.Env[Any, Any],
    buffer: Buffer,
    episodes: int,
    noise: float,
    seed: int,
    told: Callable[[str], object] = lambda line: None,
) -> int:
    """Store successful episodes of the scripted expert until there are `episodes` of the environment's task.

    Each is one chunk, so a kill leaves whole ones; called again it goes on.

    Args:
        env: of `make`.
        buffer: where they go.
        episodes: wanted, earlier ones included.
        noise: most of the standard deviation, in units of the action, of what is added to each axis of the TCP before it is
            executed; each episode draws its own from 0 up to this. 0: no pushes either.
        seed: of starts and noise.
        told: hears of each demonstration that is kept.

    Returns:
        How many were tried.
    """
    core: Any = env.unwrapped
    task, robot = env.get_wrapper_attr("label"), core.spec_of_robot.name
    kept = len(buffer.view(f"{of_task(task)} AND (terminated OR truncated)"))
    last = newest(buffer, of_task(task))
    episode = 0 if last is None else last.episode + 1
    nobody = {LABEL: np.full(env.action_space.shape or (), np.nan, np.float32)}
    expert, builder = hand(env), ChunkBuilder(f"expert-{task}", robot, task, kind="demo", max_seconds=1e6, extra=nobody)
    tried = 0
    while kept < episodes:
        rng = np.random.default_rng([seed, episode])
        scale, chance = rng.uniform(0.0, noise), rng.uniform(0.0, PUSH if noise else 0.0)
        push, left = np.zeros(6), 0
        obs, _ = env.reset(seed=DEMO_SEED + seed + episode)
        expert.reset()
        builder.start(obs, episode)
        chunk = None
        while chunk is None:
            label = expert.action(core.state)
            action = label.copy()
            if not left and rng.random() < chance:
                push, left = rng.uniform(-1.0, 1.0, 6), int(rng.integers(1, PUSHED + 1))
            action[:6] = push if left else (action[:6] + rng.normal(0.0, scale, 6)).clip(-1.0, 1.0)
            left = max(0, left - 1)
            obs, reward, terminated, truncated, info = env.step(action)
            chunk = builder.add(action, float(reward), terminated, truncated, info, obs, -1, {LABEL: label})
        episode, tried = episode + 1, tried + 1
        if chunk.success.any():
            buffer.append(chunk)
            kept += 1
            told(f"demonstration {kept:3d} of {episodes}")
    return tried
