"""Weights that arrive some time after they were published, as over a link. It knows one process only."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from user_gym.core import Weights, real
from user_gym.system.clock import Clock
from user_gym.system.weights import Broadcaster


class Delayed(Broadcaster):
    """A `Broadcaster` whose readers see weights `delay` s after they were published. Versions under way overtake none.

    Args:
        clock: says what has arrived.
        delay: s.
        version: as of `Broadcaster`.
    """

    def __init__(self, clock: Clock, delay: float, version: int = -1) -> None:
        super().__init__(version)
        self._clock, self._delay = clock, real("delay", delay, 0.0, math.inf, "s, 0 or more")
        self._under_way: deque[tuple[float, Weights]] = deque()  # (arrives at, weights)
        self._arrived: Weights | None = None
        self._arriving = Lock()

    def publish(
        self, arrays: Mapping[str, NDArray[Any]], spec_hash: str, *, version: int | None = None, partial: bool = False
    ) -> Weights:
        """As `Publisher.publish`."""
        weights = super().publish(arrays, spec_hash, version=version, partial=partial)
        with self._arriving:
            self._under_way.append((self._clock.now() + self._delay, weights))
        return weights

    def newest(self, than: int = -1) -> Weights | None:
        """As `Subscriber.newest`, of those that have arrived."""
        with self._arriving:
            while self._under_way and self._under_way[0][0] <= self._clock.now():
                self._arrived = self._under_way.popleft()[1]
            weights = self._arrived
        return weights if weights is not None and weights.version > than else None

    def under_way(self) -> list[tuple[float, Weights]]:
        """What `restore` needs: the newest that has arrived, and those on their way; each with when it arrives, s."""
        self.newest()
        with self._arriving:
            arrived = [] if self._arrived is None else [(self._clock.now(), self._arrived)]
            return [*arrived, *self._under_way]

    def restore(self, under_way: Sequence[tuple[float, Weights]]) -> None:
        """Go on with these, in the order of their versions."""
        for arrives, weights in under_way:
            made = super().publish(weights.arrays, weights.spec_hash, version=weights.version)
            with self._arriving:
                self._under_way.append((arrives, made))
