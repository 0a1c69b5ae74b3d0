"""Batches of unlike robots joined into one, padded and masked, and taken apart again. It knows no storage and no robot.

Six joints beside seven, two cameras beside one: a column of the joined batch is as large as the largest row of that name, and
`core.Padding` says which part of a row is data. Columns of the same name must agree in dtype and number of axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Batch, Padding
from user_gym.errors import BadOption
from user_gym.system.buffer.batches import EXTRA, OBS, STEP, Rows, empty, rows_of_batch, steps_of

_NEXT = "next_"
_SAME = {"ordered": "action"}  # column -> the one whose padding it has
_SCALARS = frozenset(STEP) - {"action", "ordered"}  # every robot has them


class Part(NamedTuple):
    """Some rows of a batch, whole."""

    rows: I64  # (m,) where they lay in the batch
    batch: Batch


def join(batches: Sequence[Batch], rows: Sequence[I64] | None = None, out: Batch | None = None) -> Batch:
    """One batch of several, of equal horizon. It is padded only where they differ, or where `out` is larger.

    Args:
        batches: one or more, padded or not.
        rows: for each batch where its rows go, such that each row of the result is given once; None: one after the other.
        out: arrays to write, at least as large as every row; None: new ones.

    Raises:
        BadOption: columns of one name differ in dtype or number of axes, the horizons differ, or `out` has no room.
    """
    described = [rows_of_batch(batch) for batch in batches]
    if rows is None and out is None and _alike(batches, described):
        return _concatenated(batches)
    n = sum(len(batch.terminated) for batch in batches)
    places = _consecutive(batches) if rows is None else rows
    horizon = _horizon(batches)
    items = _largest(described)
    if out is None:
        out, room = empty(items, n, horizon), items
    else:
        room = _room(out, items, n, horizon)
    whole = all(rows_of_batch(batch) == room and batch.padding is None for batch in batches)
    arrays = _arrays(out)
    for array in arrays.values() if not whole else ():
        array[...] = 0
    for batch, here in zip(batches, places, strict=True):
        for key, array in _arrays(batch).items():
            lead = array.ndim - len(items[_item(key)][1]) if key != "valid" else array.ndim
            arrays[key][(here, *(slice(None),) * (lead - 1), *(slice(size) for size in array.shape[lead:]))] = array
    return _with_padding(out, None if whole else _joined_padding(batches, places, room, n))


def beside(batches: Sequence[Batch], out: Batch) -> Batch:
    """`out`, whose rows these batches wrote one after the other, each a part of its arrays: with the padding of them all."""
    if all(batch.padding is None for batch in batches):
        return _with_padding(out, None)
    return _with_padding(out, _joined_padding(batches, _consecutive(batches), rows_of_batch(out), len(out.terminated)))


def between(batch: Batch, begin: int, end: int) -> Batch:
    """Rows begin .. end - 1 of a batch, as views of its arrays, to be written."""
    return Batch(
        obs={name: array[begin:end] for name, array in batch.obs.items()},
        next_obs={name: array[begin:end] for name, array in batch.next_obs.items()},
        action=batch.action[begin:end],
        ordered=batch.ordered[begin:end],
        reward=batch.reward[begin:end],
        terminated=batch.terminated[begin:end],
        truncated=batch.truncated[begin:end],
        policy_version=batch.policy_version[begin:end],
        is_intervention=batch.is_intervention[begin:end],
        extra={name: array[begin:end] for name, array in batch.extra.items()},
        valid=None if batch.valid is None else batch.valid[begin:end],
    )


def separate(batch: Batch) -> list[Part]:
    """The batch as one batch for each kind of row, without padding: for a policy, or an update, per robot."""
    padding = batch.padding
    if padding is None:
        return [Part(np.arange(len(batch.terminated)), batch)]
    sizes = [np.column_stack([padding.present[key], padding.extent[key]]) for key in sorted(padding.present)]
    _, first, which = np.unique(np.concatenate(sizes, axis=1), axis=0, return_index=True, return_inverse=True)
    return [_part(batch, padding, np.flatnonzero(which.ravel() == kind), row) for kind, row in enumerate(first.tolist())]


def _alike(batches: Sequence[Batch], described: Sequence[Rows]) -> bool:
    """Whether there is nothing to pad."""
    _horizon(batches)
    return all(batch.padding is None for batch in batches) and all(rows == described[0] for rows in described)


def _concatenated(batches: Sequence[Batch]) -> Batch:
    # A fifth of the time that it takes to find out what to pad: most batches are of one robot.

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in batches])

    def columns(name: str) -> dict[str, NDArray[Any]]:
        return {key: np.concatenate([getattr(batch, name)[key] for batch in batches]) for key in getattr(batches[0], name)}

    return Batch(
        obs=columns("obs"),
        next_obs=columns("next_obs"),
        action=column("action"),
        ordered=column("ordered"),
        reward=column("reward"),
        terminated=column("terminated"),
        truncated=column("truncated"),
        policy_version=column("policy_version"),
        is_intervention=column("is_intervention"),
        extra=columns("extra"),
        valid=None if batches[0].valid is None else column("valid"),
    )


def _consecutive(batches: Sequence[Batch]) -> list[slice]:
    ends = accumulate((len(batch.terminated) for batch in batches), initial=0)
    return [slice(begin, end) for begin, end in pairwise(ends)]


def _part(batch: Batch, padding: Padding, rows: I64, like: int) -> Part:
    items = rows_of_batch(batch)

    def cut(key: str, array: NDArray[Any]) -> NDArray[Any]:
        size = padding.extent[_SAME.get(key, key)][like].tolist()
        lead = array.ndim - len(items[key][1])
        return array[rows][(slice(None),) * lead + tuple(slice(end) for end in size)]

    def columns(prefix: str, of: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {name: cut(prefix + name, array) for name, array in of.items() if padding.present[prefix + name][like]}

    made = Batch(
        obs=columns(OBS, batch.obs),
        next_obs=columns(OBS, batch.next_obs),
        action=cut("action", batch.action),
        ordered=cut("ordered", batch.ordered),
        reward=batch.reward[rows],
        terminated=batch.terminated[rows],
        truncated=batch.truncated[rows],
        policy_version=batch.policy_version[rows],
        is_intervention=batch.is_intervention[rows],
        extra=columns(EXTRA, batch.extra),
        valid=None if batch.valid is None else batch.valid[rows],
    )
    return Part(rows, made)


def _arrays(batch: Batch) -> dict[str, NDArray[Any]]:
    arrays = {OBS + name: array for name, array in batch.obs.items()} | steps_of(batch)
    arrays |= {_NEXT + OBS + name: array for name, array in batch.next_obs.items()}
    return arrays if batch.valid is None else arrays | {"valid": batch.valid}


def _item(key: str) -> str:
    return key.removeprefix(_NEXT) if key.startswith(_NEXT + OBS) else key


def _horizon(batches: Sequence[Batch]) -> int:
    horizons = {1 if batch.valid is None else batch.valid.shape[1] for batch in batches}
    if len(horizons) != 1:
        raise BadOption("batches", sorted(horizons), "one batch or more, all of the same horizon")
    return horizons.pop()


def _largest(described: Sequence[Rows]) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    largest: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    for items in described:
        for key, (dtype, shape) in items.items():
            before, size = largest.get(key, (dtype, shape))
            if dtype != before or len(shape) != len(size):
                raise BadOption(
                    f"column {key!r} of a batch of unlike robots",
                    f"{before}{size} and {dtype}{shape}",
                    "rows of one dtype and one number of axes, which can be padded",
                    "sample each robot by itself, as in view(\"robot = '...'\"), or give the column another name",
                )
            largest[key] = dtype, tuple(max(sizes) for sizes in zip(shape, size, strict=True))
    return largest


def _room(out: Batch, items: Rows, n: int, horizon: int) -> Rows:
    room = rows_of_batch(out)
    fits = len(out.terminated) == n and _horizon([out]) == horizon and out.obs.keys() == out.next_obs.keys()
    for key, (dtype, shape) in items.items():
        given, size = room.get(key, (None, ()))
        if not fits or given != dtype or len(size) != len(shape) or any(a < b for a, b in zip(size, shape, strict=True)):
            found = f"{len(out.terminated)} rows of horizon {_horizon([out])}, {key!r} {given}{size}"
            allowed = f"{n} rows of horizon {horizon}, {key!r} {dtype}{shape} or larger"
            raise BadOption("out", found, allowed, "make one with Buffer.empty")
    return room


def _joined_padding(batches: Sequence[Batch], places: Sequence[I64 | slice], room: Rows, n: int) -> Padding:
    padded = [key for key in room if key not in _SCALARS and key not in _SAME]
    present = {key: np.zeros(n, bool) for key in padded}
    extent = {key: np.zeros((n, len(room[key][1])), np.int64) for key in padded}
    for batch, here in zip(batches, places, strict=True):
        for key, (_, shape) in rows_of_batch(batch).items():
            if key in present:
                given = batch.padding
                present[key][here] = True if given is None else given.present[key]
                extent[key][here] = shape if given is None else given.extent[key]
    return Padding(present, extent)


def _with_padding(batch: Batch, padding: Padding | None) -> Batch:
    return batch if batch.padding is padding else replace(batch, padding=padding)
