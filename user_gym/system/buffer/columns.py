"""Rows of experience in growing arrays, each observation once. It knows rows and positions, no episodes, views or SQL.

Row p holds the observation before a step and all that belongs to the step; the observation after it is row p + 1. The last
row of a run of steps holds an observation only. Positions count up forever; with a capacity, row p lies at p % capacity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Batch, Bool, Chunk
from user_gym.errors import BadChunk

_FIRST_ROWS = 1024
_NONE = -1
_STEP = ("action", "ordered", "reward", "terminated", "truncated", "policy_version", "is_intervention")


class Columns:
    """A ring of rows that grows until `capacity` (None: without end). Not thread-safe: its owner locks.

    Attributes:
        end: position after the newest row.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = capacity
        self._rows = 0
        self._obs: dict[str, NDArray[Any]] = {}
        self._step: dict[str, NDArray[Any]] = {}
        self._extra: dict[str, NDArray[Any]] = {}
        self._next = np.zeros(0, np.int64)  # position of the next step of the same episode; -1: none
        self.end = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, filled or not."""
        return sum(column.nbytes for column in (*self._obs.values(), *self._step.values(), *self._extra.values()))

    def check(self, chunk: Chunk) -> None:
        """Raise BadChunk unless the chunk's columns are like those of the first chunk."""
        if self._capacity is not None and len(chunk) + 1 > self._capacity:
            raise BadChunk(f"a chunk of {len(chunk)} steps needs {len(chunk) + 1} rows; the capacity is {self._capacity}")
        if not self._obs:
            return
        if chunk.obs.keys() != self._obs.keys():
            raise BadChunk(f"observation has columns {sorted(chunk.obs)}; the first chunk had {sorted(self._obs)}")
        if chunk.extra.keys() != self._extra.keys():
            raise BadChunk(f"extra has columns {sorted(chunk.extra)}; the first chunk had {sorted(self._extra)}")
        pairs = [(f"observation {name!r}", chunk.obs[name], column) for name, column in self._obs.items()]
        pairs += [(f"extra {name!r}", chunk.extra[name], column) for name, column in self._extra.items()]
        # `ordered` has the shape of `action`: the chunk's own check said so.
        for name, given, column in (*pairs, ("action", chunk.action, self._step["action"])):
            if given.shape[1:] != column.shape[1:] or given.dtype != column.dtype:
                raise BadChunk(
                    f"{name} has rows {given.dtype}{given.shape[1:]}; the first chunk had {column.dtype}{column.shape[1:]}"
                )

    def shows(self, position: int, obs: Mapping[str, NDArray[Any]]) -> bool:
        """Whether the row at `position` holds these observations' first row, bit for bit."""
        row = position % self._rows
        return all(column[row].tobytes() == obs[name][0].tobytes() for name, column in self._obs.items())

    def write(self, chunk: Chunk, first: int) -> None:
        """Write a chunk at position `first`; `end` stays until `advance`, so an interrupted write leaves no trace."""
        steps = len(chunk)
        self._reserve(chunk, first + steps + 1)
        rows = np.arange(first, first + steps + 1) % self._rows
        for name, column in self._obs.items():
            column[rows] = chunk.obs[name]
        for name, column in self._step.items():
            column[rows[:-1]] = getattr(chunk, name)
        for name, column in self._extra.items():
            column[rows[:-1]] = chunk.extra[name]
        self._next[rows[: steps - 1]] = np.arange(first + 1, first + steps)
        self._next[rows[steps - 1 :]] = _NONE

    def advance(self, end: int) -> None:
        """Accept what was written up to position `end`."""
        self.end = end

    def link(self, last: int, first: int) -> None:
        """The step at position `last` is followed by the one at `first`, unless it ended its episode."""
        row = last % self._rows
        if not (self._step["terminated"][row] or self._step["truncated"][row]):
            self._next[row] = first

    def gather(self, positions: I64, horizon: int = 1) -> Batch:
        """The transitions at these positions, each with those that follow it up to `horizon`, in fresh arrays."""
        if horizon > 1:
            return self._gather_runs(positions, horizon)
        if self._rows == self._capacity:
            rows, after = positions % self._rows, (positions + 1) % self._rows
        else:
            rows, after = positions, positions + 1  # nothing has wrapped yet
        step = self._step
        return Batch(
            obs={name: column.take(rows, axis=0) for name, column in self._obs.items()},
            next_obs={name: column.take(after, axis=0) for name, column in self._obs.items()},
            action=step["action"].take(rows, axis=0),
            ordered=step["ordered"].take(rows, axis=0),
            reward=step["reward"].take(rows),
            terminated=step["terminated"].take(rows),
            truncated=step["truncated"].take(rows),
            policy_version=step["policy_version"].take(rows),
            is_intervention=step["is_intervention"].take(rows),
            extra={name: column.take(rows, axis=0) for name, column in self._extra.items()},
        )

    def _gather_runs(self, positions: I64, horizon: int) -> Batch:
        run = np.empty((len(positions), horizon), np.int64)
        valid = np.ones(run.shape, bool)
        last, on = positions, np.ones(len(positions), bool)
        for k in range(horizon):
            valid[:, k] = on
            run[:, k] = last
            after = self._next.take(last % self._rows)
            on = on & (after != _NONE)
            last = np.where(on, after, last)
        rows, after = run % self._rows, (run[:, -1] + 1) % self._rows
        beyond = ~valid
        step = {name: _taken(column, rows, beyond) for name, column in self._step.items()}
        return Batch(
            obs={name: column.take(rows[:, 0], axis=0) for name, column in self._obs.items()},
            next_obs={name: column.take(after, axis=0) for name, column in self._obs.items()},
            **step,
            extra={name: _taken(column, rows, beyond) for name, column in self._extra.items()},
            valid=valid,
        )

    def clear(self) -> None:
        """Let go of the arrays."""
        self._obs, self._step, self._extra, self._rows, self.end = {}, {}, {}, 0, 0

    def _reserve(self, chunk: Chunk, end: int) -> None:
        # A ring that wraps has its final size, so growing never has to unroll it.
        if end <= self._rows or self._rows == self._capacity:
            return
        rows = max(end, 2 * self._rows, _FIRST_ROWS)
        rows = rows if self._capacity is None else min(rows, self._capacity)
        obs = {name: (self._obs.get(name), column) for name, column in chunk.obs.items()}
        step = {name: (self._step.get(name), getattr(chunk, name)) for name in _STEP}
        extra = {name: (self._extra.get(name), column) for name, column in chunk.extra.items()}
        self._next = _grown(self._next, self._next, rows)
        self._obs = {name: _grown(old, like, rows) for name, (old, like) in obs.items()}
        self._extra = {name: _grown(old, like, rows) for name, (old, like) in extra.items()}
        self._step = {name: _grown(old, like, rows) for name, (old, like) in step.items()}
        self._rows = rows


def _taken(column: NDArray[Any], rows: I64, zero: Bool) -> NDArray[Any]:
    taken = column.take(rows, axis=0)
    taken[zero] = 0
    return taken


def _grown(old: NDArray[Any] | None, like: NDArray[Any], rows: int) -> NDArray[Any]:
    new = np.empty((rows, *like.shape[1:]), like.dtype)
    if old is not None:
        new[: len(old)] = old
    return new


class Positions:
    """Positions of transitions, ascending; grows at the end, shrinks at the front."""

    __slots__ = ("_start", "_stop", "_values")

    def __init__(self) -> None:
        self._values = np.empty(_FIRST_ROWS, np.int64)
        self._start = self._stop = 0

    def __len__(self) -> int:
        return self._stop - self._start

    def extend(self, first: int, count: int) -> None:
        """Add first, first + 1, ... (count of them)."""
        if self._stop + count > len(self._values):
            live = self._values[self._start : self._stop]
            values = np.empty(2 * (len(live) + count), np.int64)
            values[: len(live)] = live
            self._values, self._start, self._stop = values, 0, len(live)
        self._values[self._stop : self._stop + count] = np.arange(first, first + count)
        self._stop += count

    def drop_before(self, position: int) -> None:
        """Forget all below `position`."""
        self._start += int(np.searchsorted(self._values[self._start : self._stop], position))

    def drop_from(self, position: int) -> None:
        """Forget `position` and all above."""
        self._stop = self._start + int(np.searchsorted(self._values[self._start : self._stop], position))

    def draw(self, n: int, rng: np.random.Generator) -> I64:
        """n of them, uniform with replacement."""
        return self._values[rng.integers(self._start, self._stop, n)]
