"""What moves one real arm, inside the worker process that owns it. It knows no environment, no task and no learner.

`worker` calls a driver from one thread. A driver holds its own limits besides what `guard` already refused, and keeps the arm
still whenever it is not told otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from user_gym.core import F64, Command, Compliance, RobotSpec, RobotState


@runtime_checkable
class Clock(Protocol):
    """The robot's own time: the wall's for hardware, a twin's gate for a twin."""

    @property
    def frozen(self) -> bool:
        """Whether time stands still between ticks; a driver with a control loop of its own then turns it inside them."""
        ...

    def connect(self) -> None:
        """Open what is needed. Raises LinkLost."""
        ...

    def start(self) -> None:
        """A series of periods begins now."""
        ...

    def tick(self, period: float) -> None:
        """Return one period (s) after the last tick, on the robot's clock. A late call returns at once and counts an overrun.

        Raises LinkLost, or Reflex where a twin tells that its motion ended.
        """
        ...

    def check(self) -> None:
        """Raise Stopped where somebody wants the arm to stop; returns at once."""
        ...

    def free(self) -> AbstractContextManager[None]:
        """Inside, the robot's time runs by itself: for calls of a vendor that block until the robot has moved."""
        ...

    @property
    def overruns(self) -> int:
        """Ticks that were already late when they were asked for."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@runtime_checkable
class Driver(Protocol):
    """One arm. Constructors do no I/O: `(spec, control, address, clock, **options)`.

    A driver may have two more attributes. `brakes`, False where the arm falls as soon as nobody drives it: the worker then
    keeps the driver alive after its owner's death, for the next one, and between `hold` and `close` the driver keeps the arm
    still by itself.
    `interrupt()`, called from another thread, breaks off a call that blocks; without it such a call runs to its end.
    """

    spec: RobotSpec

    def connect(self) -> None:
        """Open the link, check the robot, set load and limits. Moves nothing. Raises RobotFault, MissingExtra, BadOption."""
        ...

    def measure(self) -> RobotState:
        """The newest state; does not wait for a new one. Raises RobotFault."""
        ...

    def move(self, waypoints: Sequence[F64], speed: float) -> None:
        """Go through TCP poses (6,) of the pose chart one after another, at most at `speed` m/s, and come to rest at the last.

        Blocks in the robot's time. Raises Unreachable before anything moves, RobotFault.
        """
        ...

    def begin(self) -> RobotState:
        """Start to follow orders, with the measured pose as the first one; the state's clock starts at 0."""
        ...

    def exchange(self, command: Command, period: float) -> RobotState:
        """Follow the order for one period of the clock; the state at its end. Raises RobotFault: the arm then holds."""
        ...

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`."""
        ...

    def hold(self) -> None:
        """Stop following orders and stay where the arm is, as still as it can. May be called at any time after connect."""
        ...

    def recover(self) -> None:
        """After a Reflex or LinkLost: make the arm ready again without moving it. Raises RobotFault if that takes a person."""
        ...

    def close(self) -> None:
        """End the motion, leave the arm holding or braked, let go of the link."""
        ...
