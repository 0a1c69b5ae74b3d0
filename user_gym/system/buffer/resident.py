"""Light columns in memory, found by the numbers of transitions. It knows no file, and nothing of what is live.

Blocks of one kind share one set of arrays; robots with other sensors or actions have their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64
from user_gym.system.buffer.columns import Columns
from user_gym.system.buffer.kinds import Kind

_FIRST = 1024
_SHIFT = 40  # bits of a position; what is above is the number of the set
_MASK = (1 << _SHIFT) - 1
_NOWHERE = -1


class Resident:
    """Sets of columns, and where in them each transition lies. Not thread-safe: its owner locks.

    Attributes:
        sets: of the blocks of each kind, by its number.
        end: number after the newest transition here.
    """

    def __init__(self) -> None:
        self.sets: dict[int, Columns] = {}
        self._places = np.empty(_FIRST, np.int64)  # of transition number - base: set and position
        self._base = self.end = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self._places.nbytes + sum(columns.nbytes for columns in self.sets.values())

    def add(self, first: int, kind: Kind, columns: Mapping[str, NDArray[Any]], last: int | None) -> None:
        """Add a block.

        Args:
            first: number of its first transition; numbers between the newest one here and this are in no block.
            kind: of its columns.
            columns: the light ones: key -> rows, one for each step, and of observations one more, or as many where `last` is
                given.
            last: number of the step before it, whose next observation is its first one; None: it has its own.
        """
        steps, held = len(columns["reward"]), self.sets.setdefault(kind.number, Columns(kind.light))
        before = None if last is None else self._position(last) + 1
        begin = held.end - (before is not None and before + 1 == held.end)  # that row is there already
        held.write(begin, columns, before)
        self._reserve(first + steps)
        self._skip(first)
        places = np.arange(begin, begin + steps) | kind.number << _SHIFT
        self._places[first - self._base : first + steps - self._base] = places
        self.end = first + steps

    def skip(self, end: int) -> None:
        """Numbers below `end` that are not here will not come."""
        self._reserve(end)
        self._skip(end)

    def _skip(self, end: int) -> None:
        self._places[self.end - self._base : end - self._base] = _NOWHERE
        self.end = end

    def can_follow(self, last: int, kind: Kind) -> bool:
        """Whether the step before a block is here, with columns of the same kind."""
        return self._base <= last < self.end and self._code(last) >> _SHIFT == kind.number

    def places(self, numbers: I64) -> tuple[I64, I64]:
        """Positions of transitions, and the number of the kind of each."""
        codes = self._places.take(numbers - self._base)
        return codes & _MASK, codes >> _SHIFT

    def drop_before(self, number: int) -> None:
        """Transitions below are not needed any more."""
        kept = self._places[number - self._base : self.end - self._base]
        if number - self._base > len(kept):
            for which, columns in self.sets.items():
                mine = kept[kept >> _SHIFT == which]
                columns.drop_before(int(mine[0]) & _MASK if len(mine) else columns.end)
            self._places = np.concatenate([kept, np.empty(max(_FIRST, len(kept)), np.int64)])
            self._base = number

    def _code(self, number: int) -> int:
        return int(self._places[number - self._base])

    def _position(self, number: int) -> int:
        return self._code(number) & _MASK

    def _reserve(self, end: int) -> None:
        if end - self._base > len(self._places):
            longer = np.empty(2 * (end - self._base), np.int64)
            longer[: self.end - self._base] = self._places[: self.end - self._base]
            self._places = longer
