"""When a process that ended is to be started again: at once, unless it ends again and again. It starts nothing."""

from __future__ import annotations

import time
from collections import deque

from user_gym.system.processes.exits import FAILED

_RECENT = 60.0  # s: who lived longer has recovered
_FREE = 2  # recent ends after which a process is started again at once
_LONGEST = {True: 1.0, False: 30.0}  # s until the next start: after a signal, which is seldom the process's own fault; else


class Ends:
    """Those of one process.

    Attributes:
        failures: in a row, of its own.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=32)
        self._began = self._due = 0.0
        self.failures = 0

    def began(self) -> None:
        """It was started."""
        self._began = time.monotonic()

    def add(self, code: int) -> None:
        """It ended with an exit code; a negative one is a signal."""
        now = time.monotonic()
        if now - self._began > _RECENT:
            self.failures = 0
        self.failures += code == FAILED
        self._times.append(now)
        recent = sum(now - end < _RECENT for end in self._times) - _FREE
        self._due = now + (min(0.25 * 2.0**recent, _LONGEST[code < 0]) if recent > 0 else 0.0)

    @property
    def due(self) -> bool:
        """Whether it may be started now."""
        return time.monotonic() >= self._due
