"""A token bucket: how long to wait before more bytes may go. It has no clock; the caller says what time it is."""

from __future__ import annotations

import sys

from user_gym.core import real

SOON = 1e-6  # s: no clock waits for less; what is left of a debt is carried on


class TokenBucket:
    """In any window of T s at most rate x T bytes pass, and one piece (and what a microsecond is worth).

    A piece may go when the bucket is not in debt; it takes its bytes, which leaves a debt that time pays off. Nothing is
    saved up while nobody sends. One owner.

    Args:
        rate: bytes/s, > 0.
    """

    def __init__(self, rate: float) -> None:
        self._rate = _checked(rate)
        self._debt = 0.0  # bytes
        self._at = 0.0  # s, when the debt was last reckoned; while there is none it does not matter

    def change(self, rate: float, now: float) -> None:
        """From `now` on this rate, in bytes/s."""
        self._reckon(now)
        self._rate = _checked(rate)

    def delay(self, now: float) -> float:
        """Seconds until the next piece may go, at the present rate; 0 when it may."""
        self._reckon(now)
        delay = self._debt / self._rate
        return delay if delay > SOON else 0.0

    def take(self, count: int, now: float) -> None:
        """A piece of so many bytes goes now; the caller has waited for `delay`."""
        self._reckon(now)
        self._debt += count

    def _reckon(self, now: float) -> None:
        self._debt = max(0.0, self._debt - self._rate * max(0.0, now - self._at))
        self._at = max(now, self._at)


def _checked(rate: float) -> float:
    return real("rate", rate, sys.float_info.min, sys.float_info.max, "bytes/s, finite and > 0")
