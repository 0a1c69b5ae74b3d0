"""Light columns in memory, found by the numbers of transitions. It knows no file, and nothing of what is live.

Blocks of one kind share one set of arrays; robots with other sensors or actions have their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64
from user_gym.system.buffer.batches import OBS
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
        self._places = np.full(_FIRST, _NOWHERE)  # of transition number - base: set and position
        self._base = self.end = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self._places.nbytes + sum(columns.nbytes for columns in self.sets.values())

    def add(self, first: int, kind: Kind, columns: Mapping[str, NDArray[Any]], follows: bool, last: int | None) -> None:
        """Add a block.

        Args:
            first: number of its first transition; numbers between the newest one here and this are in no block.
            kind: of its columns.
            columns: the light ones: key -> rows, one for each step, and of observations one more, or as many where it follows.
            follows: its first observation is the one after another step.
            last: number of that step; None, or one that is not here: the first transition is not here then.
        """
        self._begin_at(first)
        steps, held = len(columns["reward"]), self.sets.get(kind.number)
        if held is None:
            held = self.sets[kind.number] = Columns(kind.light)
        lost = follows and (last is None or not self._has(last, kind))
        if lost:  # a row in its place, so that the others have theirs
            columns = {key: np.concatenate([c[:1], c]) if key.startswith(OBS) else c for key, c in columns.items()}
        before = self._position(last) + 1 if follows and not lost and last is not None else None
        begin = held.end - (before is not None and before + 1 == held.end)  # that row is there already
        held.write(begin, columns, before)
        self._reserve(first + steps)
        places = np.arange(begin, begin + steps) | kind.number << _SHIFT
        self._places[first - self._base : first + steps - self._base] = places
        if lost:
            self._places[first - self._base] = _NOWHERE
        self.end = first + steps

    def skip(self, end: int) -> None:
        """Numbers below `end` that are not here will not come."""
        self._begin_at(end)
        self._reserve(end)
        self.end = end

    def kinds(self, numbers: I64) -> I64 | None:
        """Number of the kind of each transition; None: one of them is not here."""
        codes = self._codes(numbers)
        if codes is None or codes.min() < 0:
            return None
        return codes >> _SHIFT

    def positions(self, numbers: I64, kind: int) -> I64 | None:
        """Where transitions lie in the set of a kind; None: one of them is not here, or of another kind."""
        codes = self._codes(numbers)
        if codes is None:
            return None
        positions = codes - (kind << _SHIFT) if kind else codes
        # NOWHERE and other kinds: a negative one is very large without its sign. argmax: a third of the time of max.
        unsigned = positions.view(np.uint64).ravel()
        return positions if unsigned[unsigned.argmax()] <= _MASK else None

    def drop_before(self, number: int, coming: int = 0) -> None:
        """Transitions below are not needed any more, and so many are about to be added, for which room is kept."""
        number = min(number, self.end)  # those that are not here yet keep their turn
        kept = self._places[number - self._base : self.end - self._base]
        if number - self._base > len(kept):
            for which, columns in self.sets.items():
                mine = kept[kept >> _SHIFT == which]
                columns.drop_before(int(mine[0]) & _MASK if len(mine) else columns.end, coming)
            room = max(_FIRST, 2 * (len(kept) + coming))
            if len(self._places) > 3 * room:
                self._places = np.concatenate([kept, np.full(room - len(kept), _NOWHERE)])
            else:  # where it is: see `Columns.drop_before`
                self._places[: len(kept)] = kept
                self._places[len(kept) :] = _NOWHERE
            self._base = number

    def _has(self, number: int, kind: Kind) -> bool:
        return self._base <= number < self.end and self._code(number) >> _SHIFT == kind.number

    def _codes(self, numbers: I64) -> I64 | None:
        """None: one of them is not among those that were told of; others may be NOWHERE, in particular above `end`."""
        rows = numbers - self._base if self._base else numbers
        if self._base and rows.min() < 0:  # would count from the end
            return None
        try:
            return self._places.take(rows)
        except IndexError:
            return None

    def _code(self, number: int) -> int:
        return int(self._places[number - self._base])

    def _position(self, number: int) -> int:
        return self._code(number) & _MASK

    def _begin_at(self, number: int) -> None:
        """Where nothing is here, numbers below need no room: most of those that were ever given may have left before."""
        if self._base == self.end:
            self._base = self.end = number

    def _reserve(self, end: int) -> None:
        if end - self._base > len(self._places):
            longer = np.full(2 * (end - self._base), _NOWHERE)
            longer[: self.end - self._base] = self._places[: self.end - self._base]
            self._places = longer
