"""Time, waiting and actors, as one object that a whole pipeline runs on. It knows nothing of what they do.

`WALL` is real time: actors are threads. A `VirtualClock` is time that passes only while everybody waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol


class Condition(Protocol):
    """As `threading.Condition`: a lock, and waiting for what others change under it."""

    def __enter__(self) -> bool:
        """Take the lock."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        """Let go of the lock."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Let go of the lock until notified, at most `timeout` s. False after a time-out."""
        ...

    def notify_all(self) -> None:
        """Wake all that wait; they go on when the lock is free."""
        ...


class Flag(Protocol):
    """As `threading.Event`: set once, and waited for."""

    def is_set(self) -> bool:
        """Whether it is set."""
        ...

    def set(self) -> None:
        """Set it, and wake all that wait."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most `timeout` s. Whether it is set."""
        ...


class Actor(Protocol):
    """What runs beside others: see `Clock.start`."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` s."""
        ...

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        ...


class Clock(Protocol):
    """What all parts of a pipeline share who wait for each other or for time. Thread-safe."""

    def now(self) -> float:
        """s, monotonic."""
        ...

    def epoch(self) -> float:
        """s since the epoch, for data that leaves the process."""
        ...

    def sleep_until(self, due: float) -> None:
        """Return when `now` is `due` s or later."""
        ...

    def condition(self) -> Condition:
        """A new condition, to wait on this clock."""
        ...

    def flag(self) -> Flag:
        """A new flag, not set."""
        ...

    def start(self, name: str, body: Callable[[], None]) -> Actor:
        """Run `body` beside the caller; it handles what it raises. It ends with the process."""
        ...


class WallClock:
    """Real time. Actors are threads."""

    def now(self) -> float:
        """As `Clock.now`."""
        return time.monotonic()

    def epoch(self) -> float:
        """As `Clock.epoch`."""
        return time.time()

    def sleep_until(self, due: float) -> None:
        """As `Clock.sleep_until`."""
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)

    def condition(self) -> Condition:
        """As `Clock.condition`."""
        return threading.Condition()

    def flag(self) -> Flag:
        """As `Clock.flag`."""
        return threading.Event()

    def start(self, name: str, body: Callable[[], None]) -> Actor:
        """As `Clock.start`."""
        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread


WALL = WallClock()
