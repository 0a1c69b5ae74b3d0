"""How long frames take on a wire that carries one at a time. Knows no motor and no socket."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from user_gym.robots.wire.can_frame import Frame

FRAME_TIME = 120e-6  # s: 8 bytes at 1 Mbit/s are 111 .. 135 bits with stuffing


class Wire:
    """Frames under way, first come first served: a wire without arbitration."""

    def __init__(self) -> None:
        self._under_way: deque[tuple[float, int, Frame]] = deque()
        self._free = 0.0

    def put(self, sender: int, frame: Frame, now: float) -> None:
        """A frame wants to leave `sender` (a motor's identifier; 0: some member) at `now` s."""
        self._free = max(self._free, now) + FRAME_TIME
        self._under_way.append((self._free, sender, frame))

    def due(self) -> float:
        """When (s) the next one arrives."""
        return self._under_way[0][0] if self._under_way else math.inf

    def arrived(self, now: float) -> Iterator[tuple[float, int, Frame]]:
        """Those that have arrived by `now`: when, from whom, what. More may be put meanwhile."""
        while self._under_way and self._under_way[0][0] <= now:
            yield self._under_way.popleft()
