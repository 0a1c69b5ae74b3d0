"""The wall's time as a driver's clock: absolute deadlines, so that one late period does not delay all that follow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class WallClock:
    """A `Clock` for hardware. A tick that is asked for after its deadline returns at once and counts as an overrun.

    After an overrun the series begins anew at the late moment: periods are never squeezed together to catch up.
    """

    frozen = False

    def __init__(self) -> None:
        self._next = 0.0  # s, monotonic: the end of the period that runs
        self._overruns = 0

    def connect(self) -> None:
        """Nothing: the wall is always there."""

    def start(self) -> None:
        """The first period begins now."""
        self._next = time.monotonic()

    def tick(self, period: float) -> None:
        """Sleep until one period (s) after the last tick."""
        self._next += period
        left = self._next - time.monotonic()
        if left < 0:
            self._overruns += 1
            self._next -= left
            return
        time.sleep(left)

    def check(self) -> None:
        """Nothing: nobody stops the wall's time."""

    @contextmanager
    def free(self) -> Iterator[None]:
        """Nothing: this time always runs by itself."""
        yield

    @property
    def overruns(self) -> int:
        """Ticks that were late."""
        return self._overruns

    def close(self) -> None:
        """Nothing."""
