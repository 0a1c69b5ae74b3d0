"""Copies by a GPU's copy engines, which use no multiprocessor: to and from pinned host memory, and within a GPU.

Importing it needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch

from user_gym.errors import BadOption, MissingSystem
from user_gym.system.cap.copier import RATES, Copier
from user_gym.system.cap.driver import overlapped_copy
from user_gym.system.cap.lane import Lane
from user_gym.system.cap.tensors import pair


class EngineCopier(Copier[torch.Tensor]):
    """Between a GPU and pinned memory of the host, between two GPUs, or within one; the rate caps what it takes of a bus.

    - Host and GPU: cudaMemcpyAsync. The host's side has to be pinned, or the driver would copy it by itself, blocking. An
      arena in pinned memory, copied to the host once and from there to each GPU, needs no multiprocessor anywhere.
    - Between GPUs: cudaMemcpyPeerAsync, as torch does it.
    - Within a GPU: cuMemcpyBatchAsync, prefer overlap. The driver may ignore that hint; then it takes multiprocessors.

    Args:
        device: the GPU whose engine copies.
        levels: bytes/s that `limit` may be, ascending.
    """

    period: ClassVar[float] = 0.01
    least: ClassVar[int] = 256 << 10
    most: ClassVar[int] = 64 << 20  # an engine does this in a few ms over PCIe 4

    def __init__(
        self,
        device: str | torch.device = "cuda",
        levels: Sequence[int] = RATES,
        limit: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(levels, limit, clock=clock, sleep=sleep)
        self._device = torch.device(device)
        if self._device.type != "cuda":
            raise BadOption("device", str(device), "a CUDA device", "on a CPU, MemoryCopier copies at a capped rate")

    def open(self) -> None:
        """Make the stream. Raises MissingSystem where there is no GPU."""
        if self._is_open:
            return
        if not torch.cuda.is_available():
            raise MissingSystem("torch finds no CUDA device; on a CPU, MemoryCopier copies at a capped rate")
        if self._device.index is None:
            self._device = torch.device("cuda", torch.cuda.current_device())
        self._lane = Lane(self._device)
        super().open()

    def _begin(self, source: torch.Tensor | None, target: torch.Tensor | None) -> int:
        self._source, self._target = pair(source, target, "NcclCopier copies between processes")
        for name, arena in (("source", self._source), ("target", self._target)):
            if arena.device.type == "cpu" and not arena.is_pinned():
                raise BadOption(name, "pageable memory", "pinned memory or a CUDA device", "call pin_memory() on the arena")
        if self._device not in (self._source.device, self._target.device):
            found = f"{self._source.device} and {self._target.device}"
            raise BadOption("arenas", found, f"one of them on {self._device}", "within the host, MemoryCopier copies")
        self._overlap = overlapped_copy() if self._source.device == self._target.device else None
        self._lane.follow()  # also binds the device's context to this thread, which the driver's function needs
        return self._source.numel()

    def _move(self, begin: int, end: int, limit: int) -> None:
        source, target = self._source[begin:end], self._target[begin:end]
        with self._lane.piece():
            if self._overlap:
                self._overlap(target.data_ptr(), source.data_ptr(), end - begin, self._lane.handle)
            else:
                target.copy_(source, non_blocking=True)

    def _finish(self) -> int:
        self._lane.drain()
        self._source = self._target = torch.empty(0, dtype=torch.uint8)
        return 0
