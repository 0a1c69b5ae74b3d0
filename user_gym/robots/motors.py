"""Which motors an ARX arm is made of, and what their numbers on the wire mean. Data; no frame, no bus.

Driver and twin share this table. Its torque scales are those of the vendor's SDK, whose own comment doubts them: they make a
host and a twin agree with that SDK, and a real arm has to confirm them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from user_gym.errors import UnknownName
from user_gym.robots.wire.mit import Ranges

MOST_TIMEOUT = 0.2  # s: how long a motor may follow an order after its host has died; a driver enables none that waits longer


class Protocol(Enum):
    """Whose frames a motor speaks."""

    DAMIAO = "damiao"
    ENCOS = "encos"


class Kind(NamedTuple):
    """A type of motor."""

    name: str
    protocol: Protocol
    ranges: Ranges  # as ARX has set them; DaMiao's factory values differ
    order_scale: float  # N m at the joint for 1 in an order's torque field
    report_scale: float  # N m at the joint for 1 in a report's torque field
    peak: float  # N m, of the data sheet

    @property
    def reported_most(self) -> float:
        """N m: no report can say more."""
        return self.ranges.torque * self.report_scale


class Motor(NamedTuple):
    """One motor of an arm."""

    id: int  # CAN identifier of its orders
    kind: Kind


class Jaw(NamedTuple):
    """How the gripper's motor angle tells its width: width = angle / open_angle * open_width, 0 when closed."""

    open_angle: float  # rad; newer arms have it mounted the other way round, about -3.4
    open_width: float  # m
    kp: float  # N m/rad, of the vendor's controllers
    kd: float  # N m s/rad
    hold_torque: float  # N m: pressing harder than this, the jaw closes no further
    most_torque: float  # N m


class Arm(NamedTuple):
    """All motors of a robot."""

    motors: tuple[Motor, ...]  # in the order of the joints, then the gripper's
    jaw: Jaw

    @property
    def joints(self) -> tuple[Motor, ...]:
        """The joints' motors."""
        return self.motors[:-1]

    @property
    def gripper(self) -> Motor:
        """The gripper's motor."""
        return self.motors[-1]


_ARX_DM = Ranges(position=12.5, velocity=45.0, torque=18.0, kd=5.0)
DM_J4310 = Kind("DM-J4310", Protocol.DAMIAO, _ARX_DM, 0.424, 0.424, 7.0)
DM_J4340 = Kind("DM-J4340", Protocol.DAMIAO, _ARX_DM, 1.0, 1.0, 27.0)
# The SDK multiplies reports by 1.4 twice. The peak is a guess.
EC_A4310 = Kind("EC-A4310", Protocol.ENCOS, Ranges(12.5, 18.0, 30.0, 5.0), 1.4, 1.96, 36.0)

_WRIST_AND_JAW = tuple(Motor(i, DM_J4310) for i in (5, 6, 7, 8))
_JAW = Jaw(open_angle=5.03, open_width=0.088, kp=5.0, kd=0.2, hold_torque=0.75, most_torque=1.5)

ARMS: Mapping[str, Arm] = {
    "arx-x5": Arm((*(Motor(i, EC_A4310) for i in (1, 2, 4)), *_WRIST_AND_JAW), _JAW),
    "arx-l5": Arm((*(Motor(i, DM_J4340) for i in (1, 2, 4)), *_WRIST_AND_JAW), _JAW),
}


def arm(name: str) -> Arm:
    """The motors of a robot by its name. Raises UnknownName."""
    if name not in ARMS:
        raise UnknownName("motor table of robot", name, ARMS)
    return ARMS[name]
