"""Rows of experience in growing arrays, each observation once. It knows rows and positions, no blocks, episodes or views.

Row p holds the observation before a step and all that belongs to the step; the observation after it is row p + 1. The last
row of a block holds an observation only. Positions count up forever; rows that are not needed any more leave at the front.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Batch
from user_gym.system.buffer.batches import EXTRA, OBS, STEP, Rows

_FIRST_ROWS = 1024
_MOST_ROOM = 3  # times the rows that are left, or memory is given back
_ROOM = 9  # quarters of the rows that are left: as many again come before they leave, and a little


class _Listed(NamedTuple):
    """Columns by what they belong to, under the names that batches have for them."""

    obs: list[tuple[str, NDArray[Any]]]
    step: list[tuple[str, NDArray[Any]]]
    extra: list[tuple[str, NDArray[Any]]]


class Columns:
    """Arrays that grow. Not thread-safe: its owner locks.

    Args:
        rows: the columns: key -> dtype and shape of a row. Keys that begin with "obs." are observations.

    Attributes:
        begin: position of the oldest row.
        end: position after the newest row.
    """

    def __init__(self, rows: Rows) -> None:
        self._columns = {key: np.empty((0, *shape), dtype) for key, (dtype, shape) in rows.items()}
        self._listed = self._named()
        self._size = 0
        self.begin = self.end = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, filled or not."""
        return sum(column.nbytes for column in self._columns.values())

    def write(self, first: int, columns: Mapping[str, NDArray[Any]], before: int | None = None) -> None:
        """Write steps from position `first` on; `end` is then the position after the last observation.

        Args:
            first: position of the first row: `end`, or one less where that row holds the first observation already.
            columns: key -> rows, one for each step, and of observations one more.
            before: position of a row whose observations are the first ones; None: `columns` has them. Then its observation
                columns have one row for each step.
        """
        steps = len(columns["reward"])
        self._reserve(steps + 1)
        at = first - self.begin
        for key, column in self._columns.items():
            if not key.startswith(OBS):
                column[at : at + steps] = columns[key]
            elif before is None:
                column[at : at + steps + 1] = columns[key]
            else:
                column[at] = column[before - self.begin]
                column[at + 1 : at + steps + 1] = columns[key]
        self.end = first + steps + 1

    def drop_before(self, position: int, coming: int = 0) -> None:
        """Rows below are not needed any more; where they are a quarter of all, the others take their place.

        Who calls this counts transitions, which are half of those here by then; rows are a few more, and never so evenly, so
        that half of them would now be reached and now be missed, and twice as many rows be here before it is tried again.
        The arrays stay where they are, unless they have room for three times what is left and `coming`, rows that are about to
        come: to make and free some of this size again and again leaves holes between what else is in memory, which so grows to
        twice the size.
        """
        gone, left = position - self.begin, self.end - position
        if 4 * gone <= max(self.end - self.begin, _FIRST_ROWS):
            return
        if self._size > max(_MOST_ROOM * (left + coming), _FIRST_ROWS):
            self._size = max(_ROOM * (left + coming) // 4, _FIRST_ROWS)
            self._columns = {key: _grown(column[gone : gone + left], self._size) for key, column in self._columns.items()}
            self._listed = self._named()
        else:
            for column in self._columns.values():
                for begin in range(0, left, gone):  # pieces that do not overlap with where they go, or numpy makes copies
                    end = min(begin + gone, left)
                    column[begin:end] = column[begin + gone : end + gone]
        self.begin = position

    def gather_steps(self, positions: I64, batch: Batch) -> None:
        """Write single steps into a batch, with the observations before and after. Columns that are not here stay as they are.

        Almost every draw comes through here, so it is kept short: "clip" because "raise" would make a copy.
        """
        rows, obs, after = positions - self.begin, batch.obs, batch.next_obs
        later = rows + 1
        listed = self._listed
        for name, column in listed.obs:
            column.take(rows, 0, obs[name], "clip")
            column.take(later, 0, after[name], "clip")
        for name, column in listed.step:
            column.take(rows, 0, getattr(batch, name), "clip")
        for name, column in listed.extra:
            column.take(rows, 0, batch.extra[name], "clip")

    def gather(self, positions: I64, out: Mapping[str, NDArray[Any]]) -> None:
        """Write columns by their keys: out[key][i] becomes the row at positions[i], of any shape."""
        rows = positions - self.begin
        for key, array in out.items():
            column = self._columns.get(key)
            if column is not None:
                column.take(rows, 0, array, "clip")

    def gather_obs(self, positions: I64, out: Mapping[str, NDArray[Any]]) -> None:
        """The same for observations by their names: the row at a step's position is what was seen before it."""
        self.gather(positions, {OBS + name: array for name, array in out.items()})

    def _reserve(self, rows: int) -> None:
        needed = self.end - self.begin + rows
        if needed > self._size:
            self._size = max(needed, 2 * self._size, _FIRST_ROWS)
            self._columns = {key: _grown(column, self._size) for key, column in self._columns.items()}
            self._listed = self._named()

    def _named(self) -> _Listed:
        columns = self._columns
        return _Listed(
            [(key[len(OBS) :], column) for key, column in columns.items() if key.startswith(OBS)],
            [(key, column) for key, column in columns.items() if key in STEP],
            [(key[len(EXTRA) :], column) for key, column in columns.items() if key.startswith(EXTRA)],
        )


def _grown(old: NDArray[Any], rows: int) -> NDArray[Any]:
    new = np.empty((rows, *old.shape[1:]), old.dtype)
    new[: len(old)] = old
    return new
