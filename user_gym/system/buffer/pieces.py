"""Pieces of a file that hold wanted rows, and what becomes of them once they are read. It knows one block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from user_gym.core import U8
from user_gym.system.buffer.cache import Cache
from user_gym.system.buffer.heads import Opened

Due = Callable[[int, int], int | None]  # (first step of a block, row) -> number of the batch that wants the row next
Targets = Mapping[str, Sequence[U8]]  # key of a column -> for each wanted row an array (bytes of a row,) to write
Rows = Cache[tuple[U8, ...]]  # (first step of a block, row, keys) -> the decoded row, key by key
_GAP = 1 << 16  # bytes: two wanted items that lie nearer are read at once


class Piece(Protocol):
    """Bytes of a file, and where they go."""

    @property
    def offset(self) -> int:
        """In the block."""
        ...

    @property
    def into(self) -> Sequence[U8]:
        """Arrays to fill, one after the other."""
        ...

    def read(self) -> None:
        """The arrays are full: write the wanted rows. Raises BadBlock."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """Uncompressed rows that follow one another: the bytes go straight into the batch."""

    opened: Opened
    offset: int
    into: Sequence[U8]
    row: int  # the first
    columns: Sequence[Sequence[U8]]  # the targets
    repeats: Sequence[tuple[int, int]]  # a slot that has a row, a slot that wants it too

    def read(self) -> None:
        """As `Piece.read`."""
        width, checked = len(self.columns), self.opened.checked
        for number, at in enumerate(range(0, len(self.into), width), self.row):
            if not checked[number]:
                self.opened.items.verify(number, self.into[at : at + width])
                checked[number] = 1
        for slot, other in self.repeats:
            for column in self.columns:
                column[other][:] = column[slot]


@dataclass(frozen=True, slots=True, eq=False)
class Pressed:
    """Compressed rows that lie near one another, with what they are differences to: decoded straight into the batch."""

    opened: Opened
    offset: int
    into: Sequence[U8]
    first: int  # step of the block
    rows: Sequence[int]
    slots: Sequence[Sequence[int]]  # of each row: those that want it
    targets: Targets
    cache: Rows
    due: Due | None

    def read(self) -> None:
        """As `Piece.read`; keeps what the cache wants."""
        checked, keys = self.opened.checked, tuple(self.targets)
        out = {key: [self.targets[key][slots[0]] for slots in self.slots] for key in keys}
        known = all([checked[row] for row in self.rows])
        self.opened.items.decode(self.into[0].data, self.offset, self.rows, out, verify=not known)
        if not known:
            for row in self.rows:
                checked[row] = 1
        for row, slots in zip(self.rows, self.slots, strict=True):
            values = [self.targets[key][slots[0]] for key in keys]
            _copy(values, self.targets, slots[1:])
            size, when = sum([value.nbytes for value in values]), self.due(self.first, row) if self.due else None
            if self.cache.wants(size, when):
                self.cache.put((self.first, row, keys), tuple([value.copy() for value in values]), size, when)


def plain(opened: Opened, rows: Sequence[int], slots: Sequence[int], targets: Targets) -> Iterator[Piece]:
    """Pieces of uncompressed rows.

    Args:
        opened: the block, with a stride.
        rows: ascending, some of them more than once.
        slots: where each goes.
        targets: of all heavy columns.
    """
    columns = [targets[key] for key in opened.items.layout.heavy]
    at, count = 0, len(rows)
    while at < count:
        begin, repeats = at, list[tuple[int, int]]()
        into = [column[slots[at]] for column in columns]
        at += 1
        while at < count and rows[at] - rows[at - 1] <= 1:
            if rows[at] == rows[at - 1]:
                repeats.append((slots[at - 1], slots[at]))
            else:
                into += [column[slots[at]] for column in columns]
            at += 1
        yield Plain(opened, opened.start + rows[begin] * opened.stride, into, rows[begin], columns, repeats)


def pressed(
    opened: Opened, first: int, rows: Sequence[int], slots: Sequence[int], targets: Targets, cache: Rows, due: Due | None
) -> Iterator[Piece]:
    """Pieces of compressed rows; those that the cache has are written at once.

    Args:
        opened: the block.
        first: its first step.
        rows: ascending, some of them more than once.
        slots: where each goes.
        targets: of some heavy columns.
        cache: of decoded rows.
        due: when a row is wanted again.
    """
    keys = tuple(targets)
    wanted: dict[int, list[int]] = {}
    for row, slot in zip(rows, slots, strict=True):
        wanted.setdefault(row, []).append(slot)
    group: list[int] = []
    begin = end = 0
    for row, places in wanted.items():
        values = cache.get((first, row, keys), due(first, row) if due else None)
        if values is not None:
            _copy(values, targets, places)
            continue
        here, stop = opened.items.span(row, row)
        if group and here - end >= _GAP:
            yield _pressed(opened, first, group, (begin, end), wanted, targets, cache, due)
            group = []
        begin, end = (min(begin, here), stop) if group else (here, stop)
        group.append(row)
    if group:
        yield _pressed(opened, first, group, (begin, end), wanted, targets, cache, due)


def _pressed(
    opened: Opened, first: int, rows: list[int], span: tuple[int, int], wanted: Mapping[int, list[int]], targets: Targets,
    cache: Rows, due: Due | None,
) -> Pressed:  # fmt: skip
    space = np.empty(span[1] - span[0], np.uint8)
    return Pressed(opened, span[0], [space], first, rows, [wanted[row] for row in rows], targets, cache, due)


def _copy(values: Sequence[U8], targets: Targets, slots: Sequence[Any]) -> None:
    for column, value in zip(targets.values(), values, strict=True):
        for slot in slots:
            column[slot][:] = value
