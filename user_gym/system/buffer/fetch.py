"""Rows of stored blocks into rows of a batch. It knows blocks by their first step, and neither episodes nor draws.

What is uncompressed is read from the file straight into the batch, neighbouring rows at once. What is compressed goes through
a cache of decoded rows. Several threads work on one batch; the GIL is released while bytes are read, checked and unpacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64
from user_gym.errors import BadBlock, Gone
from user_gym.system.buffer.batches import OBS
from user_gym.system.buffer.cache import Cache, CacheStats
from user_gym.system.buffer.entries import ABSENT, Entries, Entry
from user_gym.system.buffer.files import Files
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.layout import Layout
from user_gym.system.buffer.segment import Segment
from user_gym.system.buffer.unreadable import Absent, Damaged

Due = Callable[[int, int], int | None]  # (first step of a block, row) -> number of the batch that wants the row next
Targets = Mapping[str, Sequence[NDArray[Any]]]  # key of a column -> for each wanted row an array to write
_HEADS = 2  # part of the cache that heads may take, one in so many bytes: to read one again doubles the cost of a draw
_HEAD_COST = 4  # times the bytes of a prefix that its parsed form takes
_GAP = 1 << 16  # bytes: two wanted items that lie nearer are read at once
_SHARE = 8  # wanted rows below which another thread costs more than it brings


class Source(Protocol):
    """Where the bytes of blocks are. Thread-safe; `store.Store` is one."""

    files: Files

    def read_prefix(self, entry: Entry) -> Head:
        """The verified head of a block. Raises BadBlock, Gone."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    head: Head
    stride: int  # bytes from one row of pictures to the next, where all are uncompressed; else 0
    start: int  # bytes from the start of the block to where row 0 is, or would be
    verified: bytearray  # per row: 1 once its bytes were right


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
        cache_bytes: for decoded rows and heads.
        threads: that work on one batch.
    """

    def __init__(self, source: Source, cache_bytes: int, threads: int) -> None:
        self._source, self._threads = source, threads
        self._heads: Cache[_Opened] = Cache(cache_bytes // _HEADS)
        self._rows: Cache[tuple[NDArray[Any], ...]] = Cache(cache_bytes - cache_bytes // _HEADS)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="buffer-read")  # starts none until there is work

    def heavy(self, blocks: Entries, rows: I64, targets: Targets, due: Due | None = None) -> None:
        """Write wanted rows of heavy columns: those of one kind, observations or steps, together.

        Args:
            blocks: n of them, in any order.
            rows: (n,) of each, such that the block holds it.
            targets: key of a column -> n arrays of the shape and dtype of a row.
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

        def work(begin: int, end: int) -> None:
            at = begin
            while at < end:
                number, stop = wanted.entries[at].segment, at
                while stop < end and wanted.entries[stop].segment == number:
                    stop += 1
                with self._used(wanted.entries[at]) as segment:
                    for block in range(at, stop):
                        self._block(segment, wanted, block, targets, due)
                at = stop

        self._spread(work, len(wanted.entries))

    def light(self, blocks: Entries, rows: I64, targets: Mapping[str, NDArray[Any]]) -> None:
        """Write wanted rows of light columns: targets[key][i] becomes row rows[i] of block i. Raises as `heavy`."""
        order = np.argsort(blocks.first, kind="stable")
        begins = _begins(blocks.first[order])
        entries = _listed(blocks.take(order[begins]))
        for entry, slots in zip(entries, np.split(order, begins[1:]), strict=True):
            head = self.head(entry)
            for key, target in targets.items():
                stored = rows[slots] - int(head.follows and key.startswith(OBS))
                target[slots] = head.light(key)[stored]

    def head(self, entry: Entry) -> Head:
        """The head of a block. Raises Damaged, Gone."""
        return self._opened(entry).head

    def forget(self, first: int) -> None:
        """A block lies elsewhere now, or nowhere."""
        self._heads.drop(first)

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

    @contextmanager
    def _used(self, entry: Entry) -> Iterator[Segment]:
        with ExitStack() as stack:
            try:
                segment = stack.enter_context(self._source.files.use(entry.segment))
            except Gone as error:
                raise Absent(str(error), entry) from error
            except BadBlock as error:
                raise Damaged(entry.first, error) from error
            yield segment

    def _opened(self, entry: Entry) -> _Opened:
        opened = self._heads.get(entry.first)
        if opened is None:
            try:
                head = self._source.read_prefix(entry)
            except Gone as error:
                raise Absent(str(error), entry) from error
            except BadBlock as error:
                raise Damaged(entry.first, error) from error
            stride = _stride(head.layout)
            start = head.prefix_bytes - stride * head.follows
            opened = _Opened(head, stride, start, bytearray(head.steps + 1))
            self._heads.put(entry.first, opened, _HEAD_COST * head.prefix_bytes)
        return opened

    def _block(self, segment: Segment, wanted: _Wanted, number: int, targets: Targets, due: Due | None) -> None:
        entry, begin, end = wanted.entries[number], wanted.ends[number], wanted.ends[number + 1]
        opened = self._opened(entry)
        rows, slots = wanted.rows[begin:end], wanted.slots[begin:end]
        try:
            if opened.stride and targets.keys() == opened.head.layout.heavy.keys():
                self._copy(segment, entry, opened, rows, slots, targets)
            else:
                self._unpack(segment, entry, opened.head, rows, slots, targets, due)
        except BadBlock as error:
            raise Damaged(entry.first, error) from error

    def _copy(
        self, segment: Segment, entry: Entry, opened: _Opened, rows: list[int], slots: list[int], targets: Targets
    ) -> None:
        """From the file into the batch: rows that follow one another are one piece of the file, scattered over the batch."""
        columns = [targets[key] for key in opened.head.layout.heavy]
        at, count = 0, len(rows)
        while at < count:
            row, end = rows[at], at + 1
            pieces = [column[slots[at]] for column in columns]
            while end < count and rows[end] - rows[end - 1] <= 1:
                if rows[end] != rows[end - 1]:
                    pieces += [column[slots[end]] for column in columns]
                end += 1
            segment.scatter(entry.offset + opened.start + row * opened.stride, pieces)
            for number in range(row, rows[end - 1] + 1):
                if not opened.verified[number]:
                    place = (number - row) * len(columns)
                    opened.head.verify(number, pieces[place : place + len(columns)])
                    opened.verified[number] = 1
            for other in range(at + 1, end):
                if rows[other] == rows[other - 1]:
                    for column in columns:
                        column[slots[other]][...] = column[slots[other - 1]]
            at = end

    def _unpack(
        self,
        segment: Segment,
        entry: Entry,
        head: Head,
        rows: list[int],
        slots: list[int],
        targets: Targets,
        due: Due | None,
    ) -> None:
        """From the cache, or decoded straight into the batch, with a copy for the cache where it wants one."""
        keys, first = sorted(targets), entry.first
        columns = [head.layout.heavy[key] for key in keys]
        size = sum([column.nbytes for column in columns])
        kind = tuple(keys)
        missing: dict[int, int] = {}  # row -> slot into which it is decoded
        done: dict[int, int] = {}  # row -> a slot that has it
        for row, slot in zip(rows, slots, strict=True):
            if row in done or row in missing:
                continue
            values = self._rows.get((first, row, kind), due(first, row) if due else None)
            if values is None:
                missing[row] = slot
            else:
                done[row] = slot
                for key, value in zip(keys, values, strict=True):
                    targets[key][slot][...] = value
        for group in _grouped(head, list(missing)):
            begin, end = head.span(group[0], group[-1])
            data = segment.read(entry.offset + begin, end - begin)
            head.decode(data, begin, group, {key: [targets[key][missing[row]] for row in group] for key in keys})
            for row in group:
                when = due(first, row) if due else None
                if self._rows.wants(size, when):
                    values = tuple([targets[key][missing[row]].copy() for key in keys])
                    self._rows.put((first, row, kind), values, size, when)
        done.update(missing)
        for row, slot in zip(rows, slots, strict=True):
            if done[row] != slot:
                for key in keys:
                    targets[key][slot][...] = targets[key][done[row]]


def _listed(blocks: Entries) -> list[Entry]:
    before = np.where(blocks.follows, blocks.previous, ABSENT)
    columns = (blocks.first, blocks.steps, blocks.segment, blocks.offset, blocks.nbytes, before, blocks.origin)
    return [Entry(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _begins(values: I64) -> I64:
    """Where runs of equal values begin; there is at least one value."""
    return np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])


def _stride(layout: Layout) -> int:
    plain = all(c.of + "." == OBS and c.coding is not None and c.coding.name == "raw" for c in layout.heavy.values())
    return sum(column.nbytes for column in layout.heavy.values()) if plain else 0


def _grouped(head: Head, rows: list[int]) -> list[list[int]]:
    """Ascending rows in groups, each of which is read at once."""
    groups: list[list[int]] = []
    end = -_GAP
    for row in rows:
        begin, stop = head.span(row, row)
        if groups and begin - end < _GAP:
            groups[-1].append(row)
        else:
            groups.append([row])
        end = stop
    return groups
