"""Arrays for batches, and the names of their columns: "obs.state", "reward", "extra.log_prob". It knows no storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from user_gym.core import F32, I64, Batch, Chunk

Rows = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]  # key of a column -> dtype and shape of one of its rows
Allocate = Callable[[tuple[int, ...], DTypeLike], NDArray[Any]]
Rewards = Callable[[I64], F32]  # numbers of transitions, of any shape -> their rewards; NaN: none
OBS, EXTRA = "obs.", "extra."
STEP = ("action", "ordered", "reward", "terminated", "truncated", "policy_version", "is_intervention")
_STEP = frozenset(STEP)
_BOOL = np.dtype(np.bool_)


def columns_of(chunk: Chunk) -> dict[str, NDArray[Any]]:
    """The columns of a chunk that batches have, by key."""
    columns = {OBS + name: column for name, column in chunk.obs.items()}
    columns |= {name: getattr(chunk, name) for name in STEP}
    return columns | {EXTRA + name: np.asarray(column) for name, column in chunk.extra.items()}


def rows_of(columns: Mapping[str, NDArray[Any]]) -> Rows:
    """What a row of each column is."""
    return {key: (column.dtype, column.shape[1:]) for key, column in columns.items()}


def empty(rows: Rows, n: int, horizon: int = 1, allocate: Allocate = np.empty) -> Batch:
    """A batch that nobody has written. `obs` and `next_obs` of a column are halves of one array."""
    steps = (n,) if horizon == 1 else (n, horizon)
    obs, after, extra, step = {}, {}, {}, {}
    for key, (dtype, shape) in rows.items():
        if key in _STEP:
            step[key] = allocate(steps + shape, dtype)
        elif key.startswith(OBS):
            name, both = key[len(OBS) :], allocate((2 * n, *shape), dtype)
            obs[name], after[name] = both[:n], both[n:]
        else:
            extra[key[len(EXTRA) :]] = allocate(steps + shape, dtype)
    return Batch(obs=obs, next_obs=after, extra=extra, valid=None if horizon == 1 else allocate(steps, np.bool_), **step)


def steps_of(batch: Batch) -> dict[str, NDArray[Any]]:
    """The arrays of a batch that have a row for each step, by key."""
    arrays = {name: getattr(batch, name) for name in STEP}
    return arrays | {EXTRA + name: array for name, array in batch.extra.items()}


def nbytes(batch: Batch) -> int:
    """Bytes of its arrays."""
    arrays = (*batch.obs.values(), *batch.next_obs.values(), *steps_of(batch).values())
    return sum([array.nbytes for array in arrays])


def rows_of_batch(batch: Batch) -> Rows:
    """What a row of each of its columns is, of one step."""
    lead = 1 if batch.valid is None else 2
    rows = {OBS + name: (array.dtype, array.shape[1:]) for name, array in batch.obs.items()}
    return rows | {key: (array.dtype, array.shape[lead:]) for key, array in steps_of(batch).items()}


def fits(out: Batch, rows: Rows, n: int, horizon: int) -> bool:
    """Whether `out` is a whole batch of n rows like these, in arrays that bytes of a file can be read into.

    It is asked of each batch that is drawn, so it is kept short.
    """
    obs, after, extra = out.obs, out.next_obs, out.extra
    if obs.keys() != after.keys() or len(obs) + len(STEP) + len(extra) != len(rows):
        return False
    lead = (n,) if horizon == 1 else (n, horizon)
    if (out.valid is None) != (horizon == 1) or (out.valid is not None and not _fits(out.valid, lead, _BOOL)):
        return False
    for key, (dtype, shape) in rows.items():
        if key in _STEP:
            if not _fits(getattr(out, key), lead + shape, dtype):
                return False
        elif key.startswith(OBS):
            name, size = key[len(OBS) :], (n, *shape)
            if not _fits(obs.get(name), size, dtype) or not _fits(after.get(name), size, dtype):
                return False
        elif not _fits(extra.get(key[len(EXTRA) :]), lead + shape, dtype):
            return False
    return True


def whole_of(rows: Rows, n: int, horizon: int, out: Batch | None) -> Batch | None:
    """A batch for n rows of one kind, `out` if there is one; None where that is no such batch, but may have room for more."""
    if out is None:
        return empty(rows, n, horizon)
    if not fits(out, rows, n, horizon):
        return None
    return out if out.padding is None else replace(out, padding=None)


def _fits(array: NDArray[Any] | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    # carray: C order, aligned and writable
    return array is not None and array.shape == shape and array.dtype == dtype and array.flags.carray
