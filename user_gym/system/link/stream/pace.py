"""At most so many bytes per second, so that a robot's link leaves room for others on the same line. It sleeps nowhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from user_gym.core import real

_BURST = 0.05  # s of the rate that may go at once


class Pace:
    """A token bucket that may go into debt by one piece. Owned by one thread.

    Args:
        rate: bytes per second; None: no limit.
        clock: s, monotonic.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = None if rate is None else real("rate", rate, 1.0, math.inf, "bytes per second, 1 or more, or None")
        self._clock, self._tokens, self._then = clock, 0.0, clock()

    def wait(self) -> float:
        """s until the next piece may go; 0: now."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._then) * self._rate, _BURST * self._rate)
        self._then = now
        return max(0.0, -self._tokens / self._rate)

    def spend(self, nbytes: int) -> None:
        """A piece went, or came."""
        self._tokens -= nbytes
