"""What the ranks of a broadcast tell each other besides the bytes: how many there are, and which piece comes next.

It goes through gloo, so it takes nothing of a GPU. Importing it needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from torch import distributed

from user_gym.core import real, whole
from user_gym.errors import BadOption, Closed, MissingSystem, PeerLost


class Heading(NamedTuple):
    """Of the piece that follows; an empty one only says that the sender is alive, and a negative begin that it gave up."""

    begin: int
    end: int
    limit: int


GAVE_UP = Heading(-1, -1, 0)


class Ranks:
    """The control side of a broadcast from `root` to all ranks of the default process group.

    Args:
        root: the rank that has the arena.
        timeout: s that a rank waits for another; a sender that is held says so four times as often.
        clock: s, monotonic.
    """

    def __init__(self, root: int, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = whole("root", root, 0)
        self.timeout = timedelta(seconds=real("timeout", timeout, 0.1, 86400.0, "s, 0.1 .. 86400"))
        self._clock, self._spoke = clock, clock()

    def open(self) -> None:
        """Make the control group, together with all other ranks. Raises Closed without a default process group."""
        if not distributed.is_available():
            raise MissingSystem("this torch is built without torch.distributed")
        if not distributed.is_initialized():
            raise Closed("torch.distributed has no process group; call torch.distributed.init_process_group first")
        if self.root >= distributed.get_world_size():
            raise BadOption("root", self.root, f"a rank, 0 .. {distributed.get_world_size() - 1}")
        self._group: Any = distributed.new_group(backend="gloo", timeout=self.timeout)
        self.is_root = distributed.get_rank() == self.root

    def close(self) -> None:
        """Let the control group go."""
        distributed.destroy_process_group(self._group)

    def tell(self, number: int) -> int:
        """The root's number, at all ranks."""
        said = torch.tensor([number], dtype=torch.int64)
        self._exchange(lambda: distributed.broadcast(said, self.root, group=self._group))
        return int(said)

    def agree(self, size: int) -> None:
        """Begin a broadcast of so many bytes. Raises BadOption on all ranks unless all have said the same."""
        said = [torch.zeros(1, dtype=torch.int64) for _ in range(distributed.get_world_size())]
        self._exchange(lambda: distributed.all_gather(said, torch.tensor([size]), group=self._group))
        sizes = [int(one) for one in said]
        if len(set(sizes)) > 1:
            raise BadOption("arenas", f"bytes on ranks 0, 1, ...: {sizes}", "the same number on all ranks")
        self._spoke = self._clock()

    def announce(self, begin: int, end: int, limit: int) -> None:
        """The root's: this piece comes next."""
        heading = torch.tensor((begin, end, limit), dtype=torch.int64)
        self._exchange(lambda: distributed.broadcast(heading, self.root, group=self._group))
        self._spoke = self._clock()

    def alive(self) -> None:
        """The root's: nothing comes yet. Says so only when it is time to."""
        if self._clock() - self._spoke > self.timeout.total_seconds() / 4:
            self.announce(0, 0, 0)

    def give_up(self) -> None:
        """The root's: no more pieces come. Those who are gone need not hear it."""
        with suppress(PeerLost):
            self.announce(*GAVE_UP)

    def pieces(self, size: int) -> Iterator[Heading]:
        """A receiver's: the pieces up to `size`, as they are announced. Raises PeerLost if the sender gave up or is silent."""
        end = 0
        while end < size:
            said = torch.zeros(3, dtype=torch.int64)
            self._exchange(lambda heading=said: distributed.broadcast(heading, self.root, group=self._group))
            heading = Heading(*(int(number) for number in said))
            if heading == GAVE_UP:
                raise PeerLost(f"rank {self.root} gave up its broadcast after {end} of {size} bytes")
            if heading.begin == heading.end:
                continue
            end = heading.end
            yield heading

    def spread(self, piece: torch.Tensor) -> None:
        """Broadcast bytes of the CPU from the root to all."""
        self._exchange(lambda: distributed.broadcast(piece, self.root, group=self._group))

    def _exchange(self, talk: Callable[[], object]) -> None:
        try:
            talk()
        except RuntimeError as error:  # gloo's word for a peer that is gone or silent
            raise PeerLost(
                f"a rank of the broadcast is gone or was silent for {self.timeout.total_seconds()} s: {error}"
            ) from error
