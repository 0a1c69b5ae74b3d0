"""Where a robot gets its arm from, and gives it back to: what it must know of a station."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from user_gym.real.job import Job
from user_gym.robots.lease import Hold


class Place(NamedTuple):
    """What an arm is driven with, once it is known which one."""

    job: Job
    lease: Hold | None = None  # shared with the worker: the arm stays leased as long as either lives


class Berth(Protocol):
    """Where an arm is got from, and given back to."""

    def take(self) -> Place:
        """One that nobody else has, or the one that was taken already. Raises NoRobot, Busy, NotApproved."""
        ...

    def began(self, time: float) -> None:
        """An episode's clock shows `time` (s) now."""
        ...

    def release(self) -> None:
        """Give it back. May be called twice."""
        ...
