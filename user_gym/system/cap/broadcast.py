"""Broadcasts of an arena from one rank of torch.distributed to the others, piece by piece. Importing it needs torch.

All ranks open, copy and close together. The root's limit rules; what a receiver sets is not looked at.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import distributed

from user_gym.errors import BadOption, Closed, PeerLost
from user_gym.system.cap.copier import RATES, Copied, Copier
from user_gym.system.cap.ranks import Ranks
from user_gym.system.cap.tensors import octets


class BroadcastCopier(Copier[torch.Tensor]):
    """At the root, `copy(source, None)`; on every other rank, `copy(None, target)`.

    Args:
        levels: that `limit` may be, the same on all ranks.
        root: the rank that has the arena.
        timeout: s that a rank waits for another before PeerLost. A held copy does not run into it.
    """

    def __init__(
        self,
        levels: Sequence[int],
        limit: int | None = None,
        *,
        root: int = 0,
        timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(levels, limit, clock=clock, sleep=sleep)
        self._ranks = Ranks(root, timeout, clock)
        self._arena = torch.empty(0, dtype=torch.uint8)
        self._agreed = False  # the receivers wait for pieces

    def open(self) -> None:
        """Make the groups, together with all other ranks. Raises Closed before torch's init_process_group."""
        if not self._is_open:
            self._ranks.open()
            super().open()

    def close(self) -> None:
        """End a copy that is under way, and let the groups go. May be called twice.

        At the root the copy ends with Closed, at its next piece, and at the receivers with PeerLost. A receiver waits for the
        copy's own end: the others would hang in a piece, inside NCCL, that one of them takes no part in.
        """
        if self._is_open:
            super().close()
            with self._one:  # the copy that is under way still talks
                self._ranks.close()

    @property
    def root(self) -> int:
        """The rank that has the arena."""
        return self._ranks.root

    def tell(self, number: int = 0) -> int:
        """The root's number, at every rank: what it has to say between two copies, such as how many bytes the next one has.

        All ranks call it together; what the others give is not looked at. Raises PeerLost, and Closed where it is not open.
        """
        if not self._is_open:
            raise Closed(f"this {type(self).__name__} is not open; call open() first")
        return self._ranks.tell(number)

    def _begin(self, source: torch.Tensor | None, target: torch.Tensor | None) -> int:
        mine, other = (source, target) if self._ranks.is_root else (target, source)
        if mine is None or other is not None:
            raise BadOption("ends", f"at rank {distributed.get_rank()}", f"copy(source, None) at rank {self._ranks.root}, "
                            "copy(None, target) at the others")  # fmt: skip
        self._arena = octets("arena", mine)
        self._ranks.agree(self._arena.numel())
        self._agreed = True
        return self._arena.numel()

    def _run(self, source: torch.Tensor | None, target: torch.Tensor | None) -> Copied:
        if not self._ranks.is_root:
            return self._receive(source, target)
        self._agreed = False
        try:
            return super()._run(source, target)
        except PeerLost:
            raise
        except BaseException:
            if self._agreed:
                self._ranks.give_up()
            raise

    def _receive(self, source: torch.Tensor | None, target: torch.Tensor | None) -> Copied:
        began = self._clock()
        limits: list[int] = []
        try:
            size = self._begin(source, target)
            for begin, end, limit in self._ranks.pieces(size):
                self._copied += end - begin
                limits.append(limit)
                self._spread(self._arena[begin:end], limit)
        finally:
            seen = self._finish()
        elapsed = self._clock() - began
        return Copied(size, elapsed, 0.0, len(limits), min(limits, default=0), max(limits, default=0), seen)

    def _move(self, begin: int, end: int, limit: int) -> None:
        self._ranks.announce(begin, end, limit)
        self._spread(self._arena[begin:end], limit)

    def _rest(self, seconds: float) -> None:
        self._ranks.alive()
        super()._rest(seconds)

    @abstractmethod
    def _spread(self, piece: torch.Tensor, limit: int) -> None:
        """Broadcast these bytes from the root to everybody."""


class GlooCopier(BroadcastCopier):
    """Between tensors of the CPU, at a capped rate of the root's bytes; gloo sends them to each receiver."""

    period = 0.05  # a piece costs a heading and a round of gloo besides
    least = 64 << 10
    most = 16 << 20

    def __init__(
        self,
        levels: Sequence[int] = RATES,
        limit: int | None = None,
        *,
        root: int = 0,
        timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(levels, limit, root=root, timeout=timeout, clock=clock, sleep=sleep)

    def _begin(self, source: torch.Tensor | None, target: torch.Tensor | None) -> int:
        for arena in (source, target):
            if arena is not None and arena.device.type != "cpu":
                raise BadOption("arena's device", str(arena.device), "cpu", "NcclCopier broadcasts between GPUs")
        return super()._begin(source, target)

    def _spread(self, piece: torch.Tensor, limit: int) -> None:
        self._ranks.spread(piece)

    def _finish(self) -> int:
        self._arena = torch.empty(0, dtype=torch.uint8)
        return 0
