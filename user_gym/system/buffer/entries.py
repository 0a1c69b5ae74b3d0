"""Where blocks lie, as numpy columns in memory. It knows no file and no database.

A block is known by the cumulative number of its first step: steps are counted since the store began, and no number is given
twice. The columns ascend by it, so finding the block of a step is a binary search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Bool
from user_gym.errors import Gone

ABSENT = -1  # as `first` of another block: there is none
_FIRST_ROWS = 1024
_GROWTH = 1.25  # so that the columns stay below 100 bytes a block while they are copied into longer ones


class Entry(NamedTuple):
    """One block."""

    first: int  # cumulative number of its first step
    steps: int
    segment: int
    offset: int  # bytes, of the block in its segment
    nbytes: int
    before: int  # `first` of the block whose last observation is this one's first; ABSENT: its own, or it is lost
    origin: int  # row of the table of origins: source, robot, task, layout ...


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Many blocks: one array a field, all of the same length; ascending by `first` where nothing else is said."""

    first: I64
    steps: NDArray[np.int32]
    segment: NDArray[np.int32]
    offset: I64
    nbytes: I64
    previous: I64  # `first` of the chunk before it in its episode, ABSENT where that is not stored
    follows: Bool  # whether its first observation is the last one of the chunk before it, and not stored again
    origin: NDArray[np.int32]

    @classmethod
    def empty(cls, rows: int = 0) -> Entries:
        """Columns of this length that nobody has written."""
        return cls(*(np.empty(rows, dtype) for dtype in DTYPES.values()))

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> Entries:
        """Of tuples in the order of the fields."""
        rows = list(rows)
        table = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * len(DTYPES)).reshape(-1, len(DTYPES))
        return cls(*(column.astype(dtype) for column, dtype in zip(table.T, DTYPES.values(), strict=True)))

    @classmethod
    def joined(cls, parts: Sequence[Entries]) -> Entries:
        """One after the other."""
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate(columns) for columns in zip(*(part.columns for part in parts), strict=True)))

    def __len__(self) -> int:
        return len(self.first)

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """All arrays, in the order of the fields."""
        return _COLUMNS(self)

    @property
    def before(self) -> I64:
        """As `Entry.before`."""
        return np.where(self.follows, self.previous, ABSENT)

    @property
    def nbytes_held(self) -> int:
        """Bytes of the arrays themselves."""
        return sum(column.nbytes for column in self.columns)

    def take(self, rows: NDArray[np.integer] | slice) -> Entries:
        """The blocks in these rows."""
        return Entries(*(column[rows] for column in self.columns))

    def entry(self, row: int) -> Entry:
        """One of them."""
        before = int(self.previous[row]) if self.follows[row] else ABSENT
        place = int(self.segment[row]), int(self.offset[row]), int(self.nbytes[row])
        return Entry(int(self.first[row]), int(self.steps[row]), *place, before, int(self.origin[row]))

    def rows_of(self, numbers: I64) -> I64:
        """The row of the block that holds each cumulative step. Raises Gone if one of them is in none."""
        rows = np.searchsorted(self.first, numbers, side="right") - 1
        inside = rows >= 0
        if len(self):
            inside &= numbers - self.first[rows] < self.steps[rows]
        if not inside.all():
            raise Gone(f"step {int(numbers[~inside][0])} of the buffer is in no block; it was pruned or quarantined")
        return rows


DTYPES: dict[str, type[Any]] = {
    "first": np.int64,
    "steps": np.int32,
    "segment": np.int32,
    "offset": np.int64,
    "nbytes": np.int64,
    "previous": np.int64,
    "follows": np.bool_,
    "origin": np.int32,
}


_COLUMNS: Callable[[Entries], tuple[NDArray[Any], ...]] = attrgetter(*DTYPES)


class MemoryIndex:
    """Entries that grow at their end. One thread writes; any thread reads `entries`, which never changes its length."""

    def __init__(self, entries: Entries | None = None) -> None:
        self.entries = Entries.empty() if entries is None else entries  # a view of the first rows of `_room`
        self._room = self.entries
        self._next = np.empty(0, np.int64)  # for the first blocks: `first` of the next chunk of the episode

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, filled or not."""
        return self._room.nbytes_held + self._next.nbytes

    def reserve(self, rows: int) -> None:
        """Make room for so many blocks."""
        room = Entries.empty(rows)
        for to, column in zip(room.columns, self.entries.columns, strict=True):
            to[: len(self.entries)] = column
        self._room, self.entries = room, room.take(slice(len(self.entries)))

    def extend(self, new: Entries) -> None:
        """Add blocks, all newer than those here."""
        self._write(new.columns, len(new))

    def append(self, rows: Sequence[Sequence[int]]) -> None:
        """Add a few blocks, of tuples in the order of the fields, all newer than those here."""
        self._write(zip(*rows, strict=True), len(rows))

    def _write(self, columns: Iterable[Any], count: int) -> None:
        begin, end = len(self.entries), len(self.entries) + count
        if end > len(self._room):
            self.reserve(max(_FIRST_ROWS, int(_GROWTH * end)))
        for to, column in zip(self._room.columns, columns, strict=True):
            to[begin:end] = column
        self.entries = self._room.take(slice(end))

    def change(self, new: Entries) -> None:
        """Blocks that lie elsewhere now, or have another predecessor; those that are not here are left out."""
        rows = np.searchsorted(self.entries.first, new.first)
        known = rows < len(self.entries)
        known[known] = self.entries.first[rows[known]] == new.first[known]
        # In fresh arrays: a reader must never see the segment of one place and the offset of another.
        changed = Entries(*(column.copy() for column in self.entries.columns))
        for to, column in zip(changed.columns, new.columns, strict=True):
            to[rows[known]] = column[known]
        self._replace(changed)

    def drop(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Blocks first .. last of each range left."""
        keep = np.ones(len(self.entries), bool)
        for first, last in ranges:
            begin, stop = np.searchsorted(self.entries.first, [first, last + 1])
            keep[begin:stop] = False
        self._replace(self.entries.take(np.flatnonzero(keep)))

    def following(self, firsts: I64) -> I64:
        """`first` of the next chunk of the same episode, for each of these blocks; ABSENT where that is not here."""
        known, here = len(self._next), self.entries
        if known < len(here):
            longer = np.full(len(here), ABSENT, np.int64)
            longer[:known] = self._next
            rows = known + np.flatnonzero(here.previous[known:] >= 0)
            longer[np.searchsorted(here.first, here.previous[rows])] = here.first[rows]
            self._next = longer
        return self._next[here.rows_of(firsts)]

    def _replace(self, entries: Entries) -> None:
        self._room = self.entries = entries
        self._next = np.empty(0, np.int64)
