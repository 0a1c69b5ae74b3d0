"""Rows of stored blocks into rows of a batch. It knows blocks by their first step, and neither episodes nor draws.

Several threads work on one batch; the GIL is released while bytes are read, checked and unpacked. What the page cache has is
taken first, and while that is done the disk brings all the rest at once, in whatever order it likes best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64
from user_gym.errors import BadBlock
from user_gym.system.buffer.batches import OBS
from user_gym.system.buffer.cache import Cache, CacheStats
from user_gym.system.buffer.entries import ABSENT, Entries, Entry
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.heads import Heads, Source
from user_gym.system.buffer.pieces import Due, Piece, Rows, Targets, plain, pressed
from user_gym.system.buffer.unreadable import Damaged

_HEADS = 4  # part of the cache that heads may take, one in so many bytes: to read one again doubles the cost of a draw
_SHARE = 8  # wanted rows below which another thread costs more than it brings


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """Rows of blocks, grouped by block; those of a block ascend."""

    entries: list[Entry]
    ends: list[int]  # of each block's part of `rows` and `slots`; begins with 0
    rows: list[int]
    slots: list[int]


class Fetch:
    """Thread-safe. `close` ends its threads.

    Args:
        source: of the bytes.
        cache_bytes: for decoded rows and heads, and what others keep.
        taken: how much of that others have; asked before each batch.
        threads: that work on one batch.
    """

    def __init__(self, source: Source, cache_bytes: int, taken: Callable[[], int], threads: int) -> None:
        self._cache_bytes, self._taken, self._threads = cache_bytes, taken, threads
        self._rows: Rows = Cache(cache_bytes)
        self._heads = Heads(source, cache_bytes // _HEADS)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="buffer-read")  # starts none until there is work

    def heavy(self, blocks: Entries, rows: I64, targets: Targets, due: Due | None = None) -> None:
        """Write wanted rows of heavy columns: those of one kind, observations or steps, together.

        Args:
            blocks: n of them, in any order.
            rows: (n,) of each, such that the block holds it.
            targets: key of a column -> n arrays (bytes of a row,); see `items.row_bytes`.
            due: what is wanted again; None: nothing is known.

        Raises:
            Damaged: a block cannot be read; the targets are then undefined.
            Absent: the file of a block is not there.
            Gone: a block was pruned.
        """
        order = np.lexsort((rows, blocks.first))
        begins = _begins(blocks.first[order])
        wanted = _Wanted(
            _listed(blocks.take(order[begins])), [*begins.tolist(), len(order)], rows[order].tolist(), order.tolist()
        )
        self._rows.bound(self._cache_bytes - self._taken() - self._heads.nbytes)
        self._heads.expect(wanted.entries)
        self._spread(lambda begin, end: self._read(wanted, begin, end, targets, due), len(wanted.entries))

    def light(self, blocks: Entries, rows: I64, targets: Mapping[str, NDArray[Any]]) -> None:
        """Write wanted rows of light columns: targets[key][i] becomes row rows[i] of block i. Raises as `heavy`."""
        order = np.argsort(blocks.first, kind="stable")
        begins = _begins(blocks.first[order])
        entries = _listed(blocks.take(order[begins]))
        self._heads.expect(entries)
        for entry, slots in zip(entries, np.split(order, begins[1:]), strict=True):
            head = self._heads.head(entry)
            for key, target in targets.items():
                stored = rows[slots] - int(head.follows and key.startswith(OBS))
                target[slots] = head.light(key)[stored]

    def head(self, entry: Entry) -> Head:
        """The head of a block. Raises Damaged, Gone."""
        return self._heads.head(entry)

    def heads(self, entries: Sequence[Entry]) -> Iterator[Callable[[], Head]]:
        """Of each block, what reads its head, which is then not kept. What that returns raises Damaged, Gone."""
        self._heads.expect(entries)
        for entry in entries:
            yield lambda entry=entry: self._heads.read(entry)

    def forget(self, first: int) -> None:
        """A block lies elsewhere now, or nowhere."""
        self._heads.forget(first)

    def stats(self) -> CacheStats:
        """Of the cache of decoded rows."""
        return self._rows.stats()

    def close(self) -> None:
        """Let go of threads and memory. May be called twice."""
        self._pool.shutdown()
        self._heads.clear()
        self._rows.clear()

    def _spread(self, work: Callable[[int, int], None], count: int) -> None:
        """Let several threads do parts of the work."""
        parts = min(self._threads, count // _SHARE)
        if parts < 2:
            work(0, count)
            return
        cuts = [part * count // parts for part in range(parts + 1)]
        futures = [self._pool.submit(work, *ends) for ends in pairwise(cuts[1:])]
        try:
            work(cuts[0], cuts[1])
        finally:
            errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error

    def _read(self, wanted: _Wanted, begin: int, end: int, targets: Targets, due: Due | None) -> None:
        """Of some blocks, first what needs no disk, then the rest."""
        late: list[tuple[Entry, Piece]] = []
        at = begin
        while at < end:
            number, stop = wanted.entries[at].segment, at
            while stop < end and wanted.entries[stop].segment == number:
                stop += 1
            with self._heads.used(wanted.entries[at]) as segment:
                for block in range(at, stop):
                    entry = wanted.entries[block]
                    try:
                        for piece in self._pieces(wanted, block, targets, due):
                            if segment.scatter_held(entry.offset + piece.offset, piece.into):
                                piece.read()
                            else:
                                late.append((entry, piece))
                    except BadBlock as error:
                        raise Damaged(entry.first, error) from error
            at = stop
        for entry, piece in late:
            with self._heads.used(entry) as segment:
                try:
                    segment.scatter(entry.offset + piece.offset, piece.into)
                    piece.read()
                except BadBlock as error:
                    raise Damaged(entry.first, error) from error

    def _pieces(self, wanted: _Wanted, number: int, targets: Targets, due: Due | None) -> Iterator[Piece]:
        entry, begin, end = wanted.entries[number], wanted.ends[number], wanted.ends[number + 1]
        opened = self._heads.opened(entry)
        rows, slots = wanted.rows[begin:end], wanted.slots[begin:end]
        if opened.stride and targets.keys() == opened.items.layout.heavy.keys():
            return plain(opened, rows, slots, targets)
        return pressed(opened, entry.first, rows, slots, targets, self._rows, due)


def _listed(blocks: Entries) -> list[Entry]:
    before = np.where(blocks.follows, blocks.previous, ABSENT)
    columns = (blocks.first, blocks.steps, blocks.segment, blocks.offset, blocks.nbytes, before, blocks.origin)
    return [Entry(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _begins(values: I64) -> I64:
    """Where runs of equal values begin; there is at least one value."""
    return np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
