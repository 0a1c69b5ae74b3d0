"""What the driver of either Franka arm asks of its vendor's client: each method is one of the client's verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from user_gym.core import F64, RobotState
from user_gym.real.franka.hand import Fingers


class FrankaClient(ABC):
    """The part of a driver that is the vendor's. Its methods raise the vendor's exceptions where they say nothing else."""

    @abstractmethod
    def _import(self) -> None:
        """Load the vendor's package. Raises MissingExtra."""

    @abstractmethod
    def _open(self, enforce: bool) -> Any:
        """A connected client object."""

    @abstractmethod
    def _inspect(self, robot: Any) -> tuple[str, F64]:
        """The robot's mode, and its tool (4, 4) in the flange."""

    @abstractmethod
    def _prepare(self, robot: Any) -> None:
        """Set load, thresholds and limits."""

    @abstractmethod
    def _open_hand(self) -> tuple[Fingers, Callable[[], Any]]:
        """A connected gripper, and what reads its newest state."""

    @abstractmethod
    def _newest(self) -> RobotState:
        """The newest state."""

    @abstractmethod
    def _travel(self, waypoints: Sequence[F64], joints: Sequence[F64], speed: float) -> None:
        """Go through poses (6,), with the elbows of joints (dof,), and come to rest. Raises what the clock's check does."""

    @abstractmethod
    def _start(self) -> None:
        """Begin a motion that follows orders, the first of which is the measured pose."""

    @abstractmethod
    def _first(self) -> int:
        """Wait for the motion's first tick, and tell the newest one (ms)."""

    @abstractmethod
    def _follow(self, target: F64) -> None:
        """The order from now on."""

    @abstractmethod
    def _comply(self) -> None:
        """Use the new compliance from now on."""

    @abstractmethod
    def _collect(self) -> RobotState:
        """The newest state, with the mean wrench since the last call."""

    @abstractmethod
    def _running(self) -> bool:
        """Whether the motion goes on."""

    @abstractmethod
    def _ended(self, timeout: float) -> bool:
        """Whether the motion ended within so many s; raises what the client says of a bad end."""

    @abstractmethod
    def _stop(self) -> None:
        """Ask the motion to come to rest and end: one that follows orders at its next tick, one of the way at once."""

    @abstractmethod
    def _clear(self, robot: Any) -> None:
        """Ask the robot to recover from its reflex."""
