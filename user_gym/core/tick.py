"""What is said to a robot and what comes back: one control period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from user_gym.core.arrays import F64, U8, Bool


@dataclass(frozen=True, slots=True, eq=False)
class RobotState:
    """One tick; every field is of the same moment. Arrays belong to the receiver and are never written again."""

    time: F64  # (...,) s on the robot's own clock, 0 at reset; one arm's is a numpy number
    q: F64  # (..., dof) rad
    dq: F64  # (..., dof) rad/s
    tau: F64  # (..., dof) N m, torque at the joints, gravity compensation included
    tcp: F64  # (..., 6) m, rad: the pose chart
    velocity: F64  # (..., 6) m/s, rad/s, of the TCP, base axes
    wrench: F64  # (..., 6) N, N m: contact on the tool at the TCP, base axes, mean over the last period
    gripper: F64  # (...,) 0 closed .. 1 open; one arm's is a numpy number


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """What the next period should do: an absolute target, so an order that arrives twice moves the arm once.

    Exactly one of `tcp` and `joints` is given.
    """

    gripper: F64 | float  # (...,) 0 closed .. 1 open
    tcp: F64 | None = None  # (..., 6) m, rad: the pose chart
    joints: F64 | None = None  # (..., dof) rad


@dataclass(frozen=True, slots=True, eq=False)
class Workspace:
    """A box of the pose chart that the TCP's orders never leave."""

    low: F64  # (6,) m, rad
    high: F64  # (6,) m, rad


class Frame(NamedTuple):
    """A picture and the moment it was taken."""

    image: U8  # (..., height, width, 3) RGB
    time: float  # s, on the clock of the robot it belongs to


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Where the named objects are, and who says so."""

    names: tuple[str, ...]
    poses: F64  # (..., k, 7) m, xyzw, base frame; NaN where not valid, so that no comparison with it holds
    valid: Bool  # (..., k)
    source: str  # "sim" truth, "camera" estimate, "human" taught
    time: F64 | float  # (...,) s, same clock as RobotState

    def pose(self, name: str) -> F64:
        """Pose (..., 7) of one object."""
        return self.poses[..., self.names.index(name), :]
