"""Broadcasts between GPUs by NCCL on at most so many of its programs as the limit says. Importing it needs torch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from user_gym.core import whole
from user_gym.errors import BadOption, MissingSystem
from user_gym.system.cap.broadcast import BroadcastCopier
from user_gym.system.cap.copier import Unit
from user_gym.system.cap.lane import Lane

MOST = 32  # ncclConfig_t::maxCTAs is 1 .. 32; 32 is also what NCCL takes by itself, which is no cap
LEVELS = (1, 2, 4, 8, 16, 32)
PIECE = 16 << 20  # bytes for each program of the limit


class NcclCopier(BroadcastCopier):
    """A limit of k is a communicator with max_ctas = k: each program (CTA) runs on one multiprocessor.

    A communicator keeps its cap for life, so there is one for each level, all made by `open`: the memory of a GPU pays for
    each, and a few levels do. NCCL does not say which multiprocessors it ran on, so `Copied.multiprocessors` is None.

    Args:
        device: this rank's GPU.
        levels: programs, 1 .. 32, ascending, the same on all ranks.
    """

    unit = Unit.MULTIPROCESSORS

    def __init__(
        self,
        device: str | torch.device = "cuda",
        levels: Sequence[int] = LEVELS,
        limit: int | None = None,
        *,
        root: int = 0,
        timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        for level in levels:
            check(level, os.environ)
        super().__init__(levels, limit, root=root, timeout=timeout, clock=clock, sleep=sleep)
        self._device = torch.device(device)
        self._groups: dict[int, Any] = {}

    def open(self) -> None:
        """Make a communicator for each level, together with all other ranks. Raises MissingSystem without NCCL or a GPU."""
        if self._is_open:
            return
        if not (distributed.is_available() and distributed.is_nccl_available() and torch.cuda.is_available()):
            raise MissingSystem("this torch has no NCCL or finds no GPU; GlooCopier broadcasts between CPUs at a capped rate")
        if self._device.index is None:
            self._device = torch.device("cuda", torch.cuda.current_device())
        super().open()
        self._lane = Lane(self._device)
        byte = torch.zeros(1, dtype=torch.uint8, device=self._device)
        for level in self.levels:
            made = options(level, self._ranks.timeout)
            group: Any = distributed.new_group(backend="nccl", timeout=self._ranks.timeout, pg_options=made)
            self._groups[level] = group
            with self._lane.piece():  # connects: the first copy does not wait for that
                distributed.broadcast(byte, self._ranks.root, group=group)
        self._lane.drain()

    def close(self) -> None:
        """As BroadcastCopier; the communicators go with it."""
        super().close()
        while self._groups:
            distributed.destroy_process_group(self._groups.popitem()[1])

    def _begin(self, source: torch.Tensor | None, target: torch.Tensor | None) -> int:
        for arena in (source, target):
            if arena is not None and arena.device != self._device:
                raise BadOption("arena's device", str(arena.device), str(self._device))
        self._lane.follow()
        return super()._begin(source, target)

    def _piece(self, limit: int) -> int:
        return limit * PIECE

    def _spread(self, piece: torch.Tensor, limit: int) -> None:
        with self._lane.piece():
            distributed.broadcast(piece, self._ranks.root, group=self._groups[limit])

    def _finish(self) -> None:
        self._lane.drain()
        self._arena = torch.empty(0, dtype=torch.uint8)


def check(ctas: int, environ: Mapping[str, str]) -> int:
    """A cap that NCCL can keep. Raises BadOption for others, and where NCCL_MAX_CTAS, which wins, would lift it."""
    if whole("max_ctas", ctas, 1) > MOST:
        raise BadOption("max_ctas", ctas, f"1 .. {MOST}, which is all that NCCL has", "PersistentCopier takes more, in one GPU")
    for name in ("NCCL_MAX_CTAS", "NCCL_MIN_CTAS"):
        if name in environ and int(environ[name]) > ctas:
            raise BadOption(f"${name}", environ[name], f"at most {ctas}, the cap that was asked for", f"unset {name}")
    return ctas


def options(ctas: int, timeout: timedelta) -> Any:
    """ProcessGroupNCCL.Options of a communicator with at most so many programs, for `torch.distributed.new_group(pg_options=)`.

    Args:
        ctas: 1 .. 32. Raises BadOption for others.
        timeout: the same as is given to `new_group`, which warns about any other.
    """
    made = distributed.ProcessGroupNCCL.Options()
    made._timeout = timeout
    made.config.min_ctas = 1
    made.config.max_ctas = check(ctas, os.environ)
    return made
