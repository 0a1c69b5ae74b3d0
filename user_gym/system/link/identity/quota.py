"""What one edge may bring to a hub, as the hub's books say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from user_gym.core import real, whole


@dataclass(frozen=True, slots=True)
class Quota:
    """None: no limit."""

    steps: int | None = None  # stored
    nbytes: int | None = None  # of blocks stored
    rate: float | None = None  # bytes per second that are read from it; the hub's own limit counts besides

    def __post_init__(self) -> None:
        for name in ("steps", "nbytes"):
            if getattr(self, name) is not None:
                whole(f"quota.{name}", getattr(self, name), 0)
        if self.rate is not None:
            real("quota.rate", self.rate, 1.0, math.inf, "bytes per second, 1 or more")

    def spent(self, steps: int, nbytes: int) -> str:
        """Why no more is taken of an edge that has stored so much; "" while it is."""
        if self.steps is not None and steps >= self.steps:
            return f"its quota of {self.steps} steps is used up; user-gym hub quota gives it another one"
        if self.nbytes is not None and nbytes >= self.nbytes:
            return f"its quota of {self.nbytes} bytes is used up; user-gym hub quota gives it another one"
        return ""


UNLIMITED = Quota()
