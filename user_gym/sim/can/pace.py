"""When the ticks of a paced twin are due by the wall's clock. It knows no twin."""

from __future__ import annotations

import time

_LATE = 0.05  # s that are made up for; what is more is lost and counted


class Pace:
    """Ticks of `dt` s from `start` on."""

    def __init__(self, dt: float) -> None:
        self._dt = dt
        self.lost = 0  # ticks that it was too late for
        self.start()

    def start(self) -> None:
        """The first tick is due `dt` from now."""
        self._began, self._taken = time.monotonic(), 0

    def left(self) -> float:
        """s until the next tick is due."""
        return max(self._began + (self._taken + 1) * self._dt - time.monotonic(), 0.0)

    def take(self) -> int:
        """How many ticks are due and not taken yet: they are taken now, or lost."""
        due = int((time.monotonic() - self._began) / self._dt) - self._taken
        late = due - round(_LATE / self._dt)
        if late > 0:
            self.lost += late
            self._began += late * self._dt
            due -= late
        self._taken += max(due, 0)
        return max(due, 0)
