"""Copies between buffers of this host's memory, shared memory among them, at a capped rate. It knows no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.errors import BadOption
from user_gym.system.cap.copier import RATES, Copier

Memory = Any  # what has the buffer protocol: an array, a memoryview, SharedMemory.buf


class MemoryCopier(Copier[Memory]):
    """From one C-contiguous buffer into another, by memcpy without the interpreter lock.

    What a copy takes from others on a host is memory bandwidth and a core, and the rate caps both.
    """

    def __init__(
        self,
        levels: Sequence[int] = RATES,
        limit: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(levels, limit, clock=clock, sleep=sleep)
        self._source = self._target = np.empty(0, np.uint8)

    def _begin(self, source: Memory | None, target: Memory | None) -> int:
        if source is None or target is None:
            raise BadOption("arena", None, "two buffers of this host's memory", "GlooCopier copies between processes")
        self._source, self._target = octets("source", source), octets("target", target)
        if self._target.size != self._source.size:
            raise BadOption("target", f"{self._target.size} bytes", f"the source's {self._source.size} bytes")
        if not self._target.flags.writeable:
            raise BadOption("target", "read-only memory", "memory that may be written")
        return self._source.size

    def _move(self, begin: int, end: int, limit: int) -> None:
        self._target[begin:end] = self._source[begin:end]

    def _finish(self) -> int:
        self._source = self._target = np.empty(0, np.uint8)  # a view would keep its shared memory from being closed
        return 0


def octets(name: str, memory: Memory) -> NDArray[np.uint8]:
    """A buffer's bytes as (n,) uint8, without a copy. Raises BadOption unless it lies in one piece, in C order."""
    view = memoryview(memory)
    if not view.c_contiguous:
        raise BadOption(name, f"array of shape {view.shape} and strides {view.strides}", "memory in one piece, in C order")
    return np.frombuffer(view, np.uint8) if view.nbytes else np.empty(0, np.uint8)
