"""Copies within one GPU by our own kernel on exactly so many programs as the limit says. Importing it needs torch."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from user_gym.errors import BadOption, MissingExtra, MissingSystem
from user_gym.system.cap.copier import Copier, Unit
from user_gym.system.cap.lane import Lane
from user_gym.system.cap.tensors import pair

LEVELS = (1, 2, 4, 8, 16, 32, 64, 132)  # multiprocessors; an H100 or H200 has 132
PIECE = 8 << 20  # bytes for each program: so a piece lasts about as long at every limit, and a new one holds soon


def _keep_llvm_apart() -> None:
    """Triton brings an LLVM of its own, and a process dies that loads it behind the one that Mesa draws with."""
    maps = Path("/proc/self/maps")
    if "triton" not in sys.modules and maps.exists() and "libLLVM" in maps.read_text():
        raise MissingSystem(
            "triton cannot be loaded behind the libLLVM that pictures are drawn with in software (seen: the process dies); "
            "import triton before the first picture, or draw in another process"
        )


class PersistentCopier(Copier[torch.Tensor]):
    """Copies between two tensors of one GPU; a limit of k is a grid of k programs, which k multiprocessors at most can run.

    That is a cap by construction. It is seen as well: each program writes down which multiprocessor it runs on, and `Copied`
    has the largest number of different ones of a piece. Pieces run one after another.

    In Triton's interpreter (the variable TRITON_INTERPRET was 1 before triton was imported) it copies tensors of the CPU,
    and there is nothing to write down.

    Args:
        device: where the arenas are.
        levels: multiprocessors that `limit` may be, ascending.
        piece: bytes of a piece for each program; a multiple of 16.
    """

    unit: ClassVar[Unit] = Unit.MULTIPROCESSORS

    def __init__(
        self,
        device: str | torch.device = "cuda",
        levels: Sequence[int] = LEVELS,
        limit: int | None = None,
        *,
        piece: int = PIECE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(levels, limit, clock=clock, sleep=sleep)
        if piece < 16 or piece % 16:
            raise BadOption("piece", piece, "bytes, a multiple of 16")
        self._device, self._bytes = torch.device(device), piece
        self._records = self._device.type == "cuda"
        self._source = self._target = torch.empty(0, dtype=torch.uint8)
        self._seen: list[torch.Tensor] = []

    def open(self) -> None:
        """Compile the kernel.

        Raises MissingExtra without triton, MissingSystem where loading it would crash this process, BadOption for a device
        that it cannot run on.
        """
        if self._is_open:
            return
        _keep_llvm_apart()
        try:
            from user_gym.system.cap import kernel
        except ModuleNotFoundError as error:
            if error.name != "triton":
                raise
            raise MissingExtra("triton", "gpu") from None
        if not self._records and os.environ.get("TRITON_INTERPRET") != "1":
            raise BadOption("device", str(self._device), "a CUDA device", "on a CPU, MemoryCopier copies at a capped rate")
        if self._records and self._device.index is None:
            self._device = torch.device("cuda", torch.cuda.current_device())
        self._kernel: Any = kernel
        self._lane = Lane(self._device)
        with self._lane.piece():  # the first copy does not wait for the compiler
            byte = torch.zeros(32, dtype=torch.uint8, device=self._device)
            self._launch(byte[:16], byte[16:], 1)
        self._finish()
        super().open()

    def _begin(self, source: torch.Tensor | None, target: torch.Tensor | None) -> int:
        self._source, self._target = pair(source, target, "NcclCopier copies between processes")
        for name, arena in (("source", self._source), ("target", self._target)):
            if arena.device != self._device:
                raise BadOption(f"{name}'s device", str(arena.device), str(self._device))
        self._lane.follow()
        return self._source.numel()

    def _piece(self, limit: int) -> int:
        return limit * self._bytes

    def _move(self, begin: int, end: int, limit: int) -> None:
        with self._lane.piece():
            self._launch(self._source[begin:end], self._target[begin:end], limit)

    def _launch(self, source: torch.Tensor, target: torch.Tensor, programs: int) -> None:
        where = torch.empty(programs, dtype=torch.int32, device=self._device)
        self._kernel.copy_bytes[(programs,)](
            source, target, where, source.numel(), BLOCK=self._kernel.BLOCK, RECORD=self._records,
            num_warps=self._kernel.WARPS, enable_fp_fusion=True,  # triton 3.9 warns unless it is said
        )  # fmt: skip
        if self._records:
            self._seen.append(where)

    def _finish(self) -> int | None:
        with self._lane.piece():  # on the copies' own stream: another one may be full of work
            seen = [len(set(where.tolist())) for where in self._seen]
        self._lane.drain()
        self._seen.clear()
        self._source = self._target = torch.empty(0, dtype=torch.uint8)
        return max(seen, default=0) if self._records else None
