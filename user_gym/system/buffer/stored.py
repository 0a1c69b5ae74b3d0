"""Blocks as they are stored: where live steps lie, and the bytes. What a store does without writing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from user_gym.core import I64
from user_gym.errors import BadBlock, Closed, Gone
from user_gym.system.buffer import repair, report
from user_gym.system.buffer.block import Block, read_block
from user_gym.system.buffer.catalog import Change
from user_gym.system.buffer.entries import Entries, Entry
from user_gym.system.buffer.files import Files
from user_gym.system.buffer.gaps import Live
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.heads import FIRST_READ
from user_gym.system.buffer.lookup import Lookup
from user_gym.system.buffer.prefix import sizes
from user_gym.system.buffer.segment import Segment


class Stored:
    """Thread-safe.

    Attributes:
        folder: in which it lies.
        files: the segments.
        lookup: where live steps lie.
    """

    def __init__(self, folder: Path, files: Files, lookup: Lookup) -> None:
        self.folder, self.files, self.lookup = folder, files, lookup
        self._closed = False

    # Where steps lie.

    @property
    def live(self) -> Live:
        """What can be sampled now: draw ordinals below its length, and hand it to `locate` with them."""
        return self.lookup.live

    @property
    def total(self) -> int:
        """Steps ever."""
        return self.lookup.live.total

    def __len__(self) -> int:
        return len(self.lookup.live)

    def locate(self, ordinals: I64, live: Live | None = None) -> tuple[Entries, I64]:
        """The block that holds each live step, and which of its steps that is.

        Args:
            ordinals: 0 .. len - 1, in any order.
            live: what they count; by default what is live now.

        Raises:
            BadOption: an ordinal is out of range.
            Gone: a block was dropped since `live`.
        """
        numbers = (self.live if live is None else live).numbers(ordinals)
        found = self.lookup.find(numbers)
        return found, numbers - found.first

    def entries(self, since: int = 0) -> Entries:
        """All blocks whose number is `since` or above."""
        return self.lookup.entries(since)

    def changes(self, after: int) -> list[Change]:
        """What became of blocks that were there already, since the change with this id."""
        return self.lookup.changes(after)

    # Bytes. Where a block moved since it was found, it is found again.

    def read_prefix(self, entry: Entry) -> Head:
        """All of a block but its pictures. Raises BadBlock if it is damaged or another than the index says, Gone."""
        data = self.read(entry, 0, min(FIRST_READ, entry.nbytes))
        prefix = sizes(data).prefix
        if prefix > len(data):
            data += self.read(entry, len(data), min(prefix, entry.nbytes))
        head = Head.parse(data[:prefix])  # whose light columns hold on to these bytes
        if (head.steps, head.block_bytes) != (entry.steps, entry.nbytes):
            found = f"{head.steps} steps in {head.block_bytes} bytes"
            raise BadBlock("block", found, f"{entry.steps} in {entry.nbytes}, as the index says", entry.offset)
        return head

    def read(self, entry: Entry, begin: int, stop: int) -> bytes:
        """Bytes of a block, counted from its start; what `Head.span` asks for. Raises BadBlock, Gone."""
        with self._segment(entry) as (segment, offset):
            return segment.read(offset + begin, stop - begin)

    def readv(self, entry: Entry, begin: int, buffers: Sequence[Any]) -> None:
        """Fill writable buffers with the bytes of a block from `begin` on, without the GIL. Raises BadBlock, Gone."""
        with self._segment(entry) as (segment, offset):
            segment.readv(offset + begin, buffers)

    def read_block(self, entry: Entry) -> Block:
        """All of a block. Raises BadBlock, Gone."""
        return read_block(self.read(entry, 0, entry.nbytes))

    def verify(self, progress: repair.Progress = repair.unseen) -> repair.Report:
        """Read everything and compare it with the index. Changes nothing."""
        return repair.verify(self.folder, self.files, progress)

    def stats(self) -> Mapping[str, float]:
        """Counts and bytes: see `report.stats`."""
        return report.stats(self.folder, self.lookup)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"buffer {self.folder} is closed; open it again")

    @contextmanager
    def _segment(self, entry: Entry) -> Iterator[tuple[Segment, int]]:
        """The open file in which a block lies, and its offset there."""
        self._check_open()
        with ExitStack() as stack:
            try:
                segment = stack.enter_context(self.files.use(entry.segment))
            except Gone:
                self.files.put(self.lookup.places())
                entry = self.lookup.find(np.array([entry.first])).entry(0)
                segment = stack.enter_context(self.files.use(entry.segment))
            yield segment, entry.offset
