"""What is to be done, apart from who does it and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import F64, I64, Bool
from user_gym.core.tick import RobotState, Scene, Workspace


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One solid primitive of a body."""

    kind: str  # "box" (half extents) | "cylinder" (radius, half length) | "sphere" (radius) | "capsule" (radius, half length)
    size: tuple[float, ...]  # m
    pose: F64  # (7,) in the body
    rgba: tuple[float, float, float, float] = (0.6, 0.6, 0.6, 1.0)
    collides: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """An object of a task, described once for every simulator."""

    name: str
    mount: str  # "table": placed at reset, does not move | "free": moves | "tool": held rigidly, pose in the TCP frame
    shapes: tuple[Shape, ...]
    mass: float = 0.1  # kg, used where it moves
    friction: float = 0.3  # sliding coefficient
    pose: F64 = field(default_factory=lambda: np.array([0.0, 0, 0, 0, 0, 0, 1]))  # (7,) for "tool": in the TCP frame


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """How an episode begins. `objects` follow the order of the task's bodies that are not mounted on the tool."""

    tcp: F64  # (..., 6) m, rad: the pose chart
    gripper: F64 | float  # (...,) 0..1
    objects: F64  # (..., k, 7) m, xyzw, base frame
    progress: F64  # (..., p) the task's own stage counters
    seed: I64 | int = 0  # (...,) for what a twin draws by itself: joint friction, light, textures


class Judgement(NamedTuple):
    """What a task thinks of a state."""

    reward: F64  # (...,)
    success: Bool  # (...,)
    failure: Bool  # (...,) ends the episode without success
    progress: F64  # (..., p) to be handed back at the next step


@runtime_checkable
class Task(Protocol):
    """What is to be done, apart from who does it. Built for one RobotSpec; pure; maths on (..., n)."""

    name: str
    description: str  # in words, for language-conditioned policies
    rate: float  # Hz, of the policy
    max_steps: int
    bodies: tuple[Body, ...]
    workspace: Workspace
    goal: F64  # (6,) pose chart: nominal goal, the origin of state observations
    action_scale: F64  # (6,) m, rad for an action of 1
    moves_gripper: bool  # False: the gripper holds what it has, and is no part of the action
    scene_keys: tuple[str, ...]  # objects whose pose a state observation contains

    def start(self, rng: np.random.Generator) -> Start:
        """Draw one episode's start. All randomness of an episode comes from `rng`."""
        ...

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        """Judge one state or a batch. Pure: equal arguments give equal answers.

        The pose of an object that is not valid is NaN; no success may follow from it.
        """
        ...


class RewardSignal(NamedTuple):
    """A reward and who gave it."""

    value: F64 | float  # (...,)
    success: Bool | bool | None  # (...,) None: this source does not say
    source: str  # "rule" | "human" | "classifier" ...


class Reward(Protocol):
    """Replaces a task's own reward."""

    def __call__(self, obs: Mapping[str, NDArray[Any]], state: RobotState, scene: Scene) -> RewardSignal:
        """Judge the step that led to `obs`."""
        ...
