"""Where a device's own thread leaves what it says, for a recorder to take. Nobody waits for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from threading import Condition
from typing import Any

from numpy.typing import NDArray

from user_gym.core.device import RawSample
from user_gym.core.numbers import real, whole

_DEPTH = 8  # samples; of pictures of 640 x 480 that is 7 MB


class Tap:
    """A `RawSource` that is fed. Thread-safe.

    History with a bound: what was not taken in time is overwritten, and the numbers of the samples tell that it was. Before
    somebody reads for the first time nothing is kept.

    Args:
        name: of the stream.
        rate: Hz, about.
        depth: samples that are kept for a reader that is late.
    """

    def __init__(self, name: str, rate: float, depth: int = _DEPTH) -> None:
        self.name = name
        self.rate = real("rate", rate, 1e-3, 1e6, "Hz, 0.001 .. 1e6")
        self._kept: deque[RawSample] = deque(maxlen=whole("depth", depth, 1))
        self._came = Condition()
        self._next = 0
        self._wanted = False

    @property
    def is_read(self) -> bool:
        """Whether somebody ever did: else there is no need to put anything."""
        return self._wanted

    @property
    def newest(self) -> int:
        """As `RawSource.newest`."""
        return self._next - 1

    def put(self, time: float, columns: Mapping[str, NDArray[Any]]) -> None:
        """One sample, at `time` s on the robot's clock; its arrays are never written again. It waits for nobody."""
        if not self._wanted:
            return
        with self._came:
            self._kept.append(RawSample(self._next, time, columns))
            self._next += 1
            self._came.notify_all()

    def read(self, after: int, timeout: float) -> RawSample | None:
        """As `RawSource.read`."""
        self._wanted = True
        with self._came:
            self._came.wait_for(lambda: self._next > after + 1 and bool(self._kept), timeout)
            return next((sample for sample in self._kept if sample.number > after), None)
