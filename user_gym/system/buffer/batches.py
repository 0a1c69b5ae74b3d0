"""Arrays for batches, and the names of their columns: "obs.state", "reward", "extra.log_prob". It knows no storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from user_gym.core import Batch, Chunk
from user_gym.errors import BadOption

Rows = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]  # key of a column -> dtype and shape of one of its rows
Allocate = Callable[[tuple[int, ...], DTypeLike], NDArray[Any]]
OBS, EXTRA = "obs.", "extra."
STEP = ("action", "ordered", "reward", "terminated", "truncated", "policy_version", "is_intervention")


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
    whole = {key: allocate((2 * n, *shape), dtype) for key, (dtype, shape) in rows.items() if key.startswith(OBS)}
    steps = (n,) if horizon == 1 else (n, horizon)
    step = {key: allocate((*steps, *shape), dtype) for key, (dtype, shape) in rows.items() if key not in whole}
    return Batch(
        obs={key[len(OBS) :]: array[:n] for key, array in whole.items()},
        next_obs={key[len(OBS) :]: array[n:] for key, array in whole.items()},
        action=step["action"],
        ordered=step["ordered"],
        reward=step["reward"],
        terminated=step["terminated"],
        truncated=step["truncated"],
        policy_version=step["policy_version"],
        is_intervention=step["is_intervention"],
        extra={key[len(EXTRA) :]: array for key, array in step.items() if key.startswith(EXTRA)},
        valid=None if horizon == 1 else allocate(steps, np.bool_),
    )


def steps_of(batch: Batch) -> dict[str, NDArray[Any]]:
    """The arrays of a batch that have a row for each step, by key."""
    arrays = {name: getattr(batch, name) for name in STEP}
    return arrays | {EXTRA + name: array for name, array in batch.extra.items()}


def rows_of_batch(batch: Batch) -> Rows:
    """What a row of each of its columns is, of one step."""
    lead = 1 if batch.valid is None else 2
    rows = {OBS + name: (array.dtype, array.shape[1:]) for name, array in batch.obs.items()}
    return rows | {key: (array.dtype, array.shape[lead:]) for key, array in steps_of(batch).items()}


def check_out(out: Batch, rows: Rows, n: int, horizon: int) -> None:
    """Raise BadOption, naming the array, unless a batch of n rows like these can be written into `out`."""
    lead = (n,) if horizon == 1 else (n, horizon)
    given = {OBS + name: array for name, array in out.obs.items()} | steps_of(out)
    if given.keys() != rows.keys() or out.next_obs.keys() != out.obs.keys():
        raise BadOption("out", sorted(given), f"a batch with {sorted(rows)}", "make one with Buffer.empty")
    if (out.valid is None) != (horizon == 1):
        raise BadOption("out.valid", out.valid, "an array where horizon > 1, else None", "make one with Buffer.empty")
    for key, (dtype, shape) in rows.items():
        if key.startswith(OBS):
            _check(key, given[key], (n, *shape), dtype)
            _check(f"next_{key}", out.next_obs[key[len(OBS) :]], (n, *shape), dtype)
        else:
            _check(key, given[key], (*lead, *shape), dtype)
    if out.valid is not None:
        _check("valid", out.valid, lead, np.dtype(np.bool_))


def _check(key: str, array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if array.shape != shape or array.dtype != dtype or not array.flags.writeable:
        found = f"{array.dtype}{array.shape}{'' if array.flags.writeable else ', read-only'}"
        raise BadOption(f"out, array {key!r}", found, f"{dtype}{shape}", "make one with Buffer.empty")
