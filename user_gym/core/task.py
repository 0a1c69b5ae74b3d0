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

    # "box" (half extents) | "cylinder", "capsule" (radius, half length) | "sphere" (radius) | "ellipsoid" (three radii)
    kind: str
    size: tuple[float, ...]  # m
    pose: F64  # (7,) in the body
    rgba: tuple[float, float, float, float] = (0.6, 0.6, 0.6, 1.0)
    collides: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """How a body moves against the one that carries it: about, or along, an axis through its own origin.

    Its value is 0 where the body has its own `pose`. Nothing but these numbers acts between the two: they do not touch.
    A screw turns by its value and moves `pitch` m along the axis for each turn; its friction and its seat are torques.
    """

    kind: str  # "hinge" | "slide" | "screw"
    axis: F64  # (3,) unit vector in the body's frame
    low: float  # rad, or m for a slide: a stop
    high: float  # rad, m: a stop
    friction: float = 0.0  # N m, N: dry
    damping: float = 0.0  # N m s/rad, N s/m
    pitch: float = 0.0  # m a turn, of a screw; right-handed where positive
    seat: float | None = None  # rad, m: from here towards `high` it resists more and more; None: nowhere
    seat_stiffness: float = 0.0  # N m/rad, N/m: how much more. It stays where it was pushed while friction outweighs that


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """An object of a task, described once for every simulator."""

    name: str
    mount: str  # "table": placed at reset, does not move | "free": placed at reset, moves | "tool": held rigidly
    #             | the name of a body before it that is not the tool's: hangs on that one by its joint
    shapes: tuple[Shape, ...]
    mass: float = 0.1  # kg, used where it moves
    friction: float = 0.3  # sliding coefficient
    rolling: float = 0.0  # m, what is lost by rolling and rocking: N m for each N of contact
    # (7,) of "tool": in the TCP frame; of what hangs on another: in that one's frame, with the joint at 0
    pose: F64 = field(default_factory=lambda: np.array([0.0, 0, 0, 0, 0, 0, 1]))
    joint: Joint | None = None  # of what hangs on another


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """How an episode begins. `objects` follow the order of the task's "table" and "free" bodies, `joints` of those with one."""

    tcp: F64  # (..., 6) m, rad: the pose chart
    gripper: F64 | float  # (...,) 0..1
    objects: F64  # (..., k, 7) m, xyzw, base frame
    progress: F64  # (..., p) the task's own stage counters
    seed: I64 | int = 0  # (...,) for what a twin draws by itself: joint friction, light, textures
    joints: F64 = field(default_factory=lambda: np.zeros(0))  # (..., j) rad, m


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


@runtime_checkable
class Staged(Protocol):
    """A Task of several stages, which infos of resets and steps tell."""

    def stages(self, progress: F64) -> Mapping[str, I64]:
        """Whole numbers (...,) by the name that infos give them, from the progress (..., p) of a start or a judgement."""
        ...


class RewardSignal(NamedTuple):
    """A reward and who gave it."""

    value: F64 | float  # (...,)
    success: Bool | bool | None  # (...,) None: this source does not say
    source: str  # "rule" | "human" | "classifier" ...
    failure: Bool | bool = False  # (...,) ends the episode without success


class Reward(Protocol):
    """Replaces a task's own reward."""

    def __call__(self, obs: Mapping[str, NDArray[Any]], state: RobotState, scene: Scene, rule: RewardSignal, /) -> RewardSignal:
        """Judge the step that led to `obs`. `rule` is what the environment's own judge said of it. Never blocks."""
        ...


@runtime_checkable
class EpisodicReward(Protocol):
    """A Reward that remembers something of an episode, or has a device."""

    def reset(self, state: RobotState) -> None:
        """An episode begins in this state. The first one opens what there is to open."""
        ...

    def close(self) -> None:
        """Let go of it. May be called twice."""
        ...
