"""Transitions by their numbers into a batch: light columns from memory where they are there, all else from blocks.

It knows what lies where, and nothing of draws, views and what is live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Batch, Bool
from user_gym.system.buffer import runs
from user_gym.system.buffer.batches import OBS, Rewards, empty, steps_of, whole_of
from user_gym.system.buffer.entries import Entries
from user_gym.system.buffer.fetch import Fetch
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.items import row_bytes
from user_gym.system.buffer.kinds import Kind, Kinds
from user_gym.system.buffer.layout import Layout
from user_gym.system.buffer.mixed import join
from user_gym.system.buffer.pieces import Due
from user_gym.system.buffer.resident import Resident


class Index(runs.Index, Protocol):
    """Where blocks lie, and what they have in common."""

    def origin(self, number: int) -> Mapping[str, str]:
        """Of an origin: source, robot, task, layout ..."""
        ...


class Reader:
    """Thread-safe.

    Args:
        index: finds blocks.
        fetch: reads them.
        light_bytes: that light columns may take in memory; where they would take more, none is kept there.

    Attributes:
        missed: whether light columns were looked for in memory and not found, since somebody set it to False.
    """

    def __init__(self, index: Index, fetch: Fetch, light_bytes: int) -> None:
        self._index, self._fetch, self._light_bytes = index, fetch, light_bytes
        self._lock = RLock()
        self._kinds = Kinds()
        self._kind_of_origin: dict[int, Kind] = {}
        self._resident: Resident | None = Resident()
        self.missed = False

    @property
    def end(self) -> int:
        """Number after the newest transition that `add` should hear of next; 0 with `keeps` False: of none."""
        with self._lock:
            return self._resident.end if self._resident else 0

    @property
    def keeps(self) -> bool:
        """Whether light columns are kept in memory."""
        return self._resident is not None

    @property
    def nbytes(self) -> int:
        """Bytes of light columns in memory."""
        with self._lock:
            return self._resident.nbytes if self._resident else 0

    @property
    def is_half_full(self) -> bool:
        """Whether light columns take half of what they may."""
        return self.nbytes > self._light_bytes // 2

    def kinds(self) -> Sequence[Kind]:
        """Kinds of blocks met so far."""
        with self._lock:
            return tuple(self._kinds.all)

    def meet(self, layout: Layout) -> None:
        """There are, or were, blocks of this layout."""
        with self._lock:
            self._kinds.of(layout)

    def add(self, first: int, head: Head, last: int | None) -> None:
        """Keep the light columns of a block; blocks come in the order of their numbers.

        Args:
            first: number of its first transition.
            head: of the block.
            last: number of the step before it, where it follows and that is known.
        """
        with self._lock:
            kind = self._kinds.of(head.layout)
            held = self._resident
            if held is None:
                return
            held.add(first, kind, {key: head.light(key) for key in kind.light}, head.follows, last)
            if held.nbytes > self._light_bytes:
                self._resident = None

    def skip(self, end: int) -> None:
        """Transitions below `end` that `add` has not heard of will not come."""
        with self._lock:
            if self._resident is not None and end > self._resident.end:
                self._resident.skip(end)

    def drop_before(self, number: int, coming: int) -> None:
        """Transitions below are not live any more, and so many that are live have not been added yet."""
        with self._lock:
            if self._resident is not None:
                self._resident.drop_before(number, coming)

    def read(
        self,
        numbers: I64,
        horizon: int = 1,
        out: Batch | None = None,
        due: Due | None = None,
        rewards: Rewards | None = None,
    ) -> Batch:
        """These transitions, each with those that follow it up to `horizon`.

        Args:
            numbers: (n,).
            horizon: steps of each row.
            out: arrays to write; None: new ones.
            due: what is wanted again; see `pieces.Due`.
            rewards: take the place of those that are stored; a run ends before a step that has none.

        Raises:
            Gone: one of them is in no block any more.
            Damaged: a block cannot be read; `out` is then undefined.
            BadOption: `out` does not fit.
        """
        met = self._kinds.all
        if len(met) == 1:
            batch = whole_of(met[0].rows, len(numbers), horizon, out)
            if batch is not None and self._fill_held(met[0], numbers, horizon, batch, due, rewards):
                return batch
        kinds = self._kinds_of(numbers)
        different = np.unique(kinds).tolist()
        if len(different) == 1:
            batch = whole_of(met[different[0]].rows, len(numbers), horizon, out)
            if batch is not None:
                if not self._fill_held(met[different[0]], numbers, horizon, batch, due, rewards):
                    self._fill(met[different[0]], numbers, horizon, batch, due, rewards)
                return batch
        parts, rows = [], [np.flatnonzero(kinds == number) for number in different]
        for number, here in zip(different, rows, strict=True):
            parts.append(empty(met[number].rows, len(here), horizon))
            self._fill(met[number], numbers[here], horizon, parts[-1], due, rewards)
        return join(parts, rows, out)

    def heavy_rows(self, numbers: I64, horizon: int) -> tuple[I64, I64]:
        """First step of the block, and row, of each observation that a batch of these transitions needs."""
        last = numbers if horizon == 1 else runs.follow(self._index, numbers, horizon)[0][:, -1]
        blocks, rows = self._observations(numbers, last)
        return blocks.first, rows

    def _kinds_of(self, numbers: I64) -> I64:
        """Number of the kind of each transition."""
        with self._lock:
            kinds = self._resident.kinds(numbers) if self._resident is not None else None
        if kinds is not None:
            return kinds
        origins, which = np.unique(self._index.find(numbers.ravel()).origin, return_inverse=True)
        return np.array([self._kind_of(origin).number for origin in origins.tolist()])[which].reshape(numbers.shape)

    def _kind_of(self, origin: int) -> Kind:
        with self._lock:
            kind = self._kind_of_origin.get(origin)
            if kind is None:
                layout = Layout.parse(self._index.origin(origin)["layout"].encode("ascii"))
                kind = self._kind_of_origin[origin] = self._kinds.of(layout)
            return kind

    def _fill_held(
        self, kind: Kind, numbers: I64, horizon: int, batch: Batch, due: Due | None, rewards: Rewards | None
    ) -> bool:
        """Single steps whose light columns are in memory: the way of almost every draw, so kept short. Whether they were."""
        if horizon > 1 or kind.heavy_steps:
            return False
        with self._lock:
            places = self._resident.positions(numbers, kind.number) if self._resident is not None else None
            if places is None or self._resident is None:
                self.missed = self._resident is not None
                return False
            self._resident.sets[kind.number].gather_steps(places, batch)
        if rewards is not None:
            batch.reward[...] = rewards(numbers)
        if kind.heavy_obs:
            self._heavy_obs(kind, numbers, numbers, batch, due)
        return True

    def _fill(self, kind: Kind, numbers: I64, horizon: int, batch: Batch, due: Due | None, rewards: Rewards | None) -> None:
        steps, last = numbers, numbers
        if horizon > 1:
            assert batch.valid is not None
            steps, batch.valid[...] = runs.follow(self._index, numbers, horizon)
            if len(self._kinds.all) > 1:
                self._keep_kind(kind, steps, batch.valid)
        self._steps(kind, steps, steps_of(batch))
        if rewards is not None:
            batch.reward[...] = rewards(steps)
        if horizon > 1:
            last = self._cut(steps, batch)
        self._light_obs(kind, numbers, last, batch)
        if kind.heavy_obs:
            self._heavy_obs(kind, numbers, last, batch, due)

    def _heavy_obs(self, kind: Kind, numbers: I64, last: I64, batch: Batch, due: Due | None) -> None:
        blocks, rows = self._observations(numbers, last)
        pairs = {key: (batch.obs[key[len(OBS) :]], batch.next_obs[key[len(OBS) :]]) for key in kind.heavy_obs}
        targets = {key: row_bytes(obs) + row_bytes(after) for key, (obs, after) in pairs.items()}
        self._fetch.heavy(blocks, rows, targets, due)

    def _keep_kind(self, kind: Kind, steps: I64, valid: Bool) -> None:
        """End each run where its columns change, as where a camera is lost within an episode."""
        same = np.logical_and.accumulate(self._kinds_of(steps) == kind.number, axis=1)
        valid &= same
        steps[...] = np.where(same, steps, steps[np.arange(len(steps)), same.sum(axis=1) - 1][:, None])

    def _steps(self, kind: Kind, steps: I64, out: Mapping[str, NDArray[Any]]) -> None:
        held = self._held_steps(kind, steps, out)
        if held and not kind.heavy_steps:
            return
        flat = steps.ravel()
        blocks = self._index.find(flat)
        rows = flat - blocks.first
        arrays = {key: array.reshape(len(flat), *array.shape[steps.ndim :]) for key, array in out.items()}
        if not held:
            self._fetch.light(blocks, rows, {key: arrays[key] for key in arrays if key in kind.light})
        if kind.heavy_steps:
            self._fetch.heavy(blocks, rows, {key: row_bytes(arrays[key]) for key in kind.heavy_steps})

    def _held_steps(self, kind: Kind, steps: I64, out: Mapping[str, NDArray[Any]]) -> bool:
        with self._lock:
            places = self._resident.positions(steps, kind.number) if self._resident is not None else None
            if places is None or self._resident is None:
                self.missed = self._resident is not None
                return False
            self._resident.sets[kind.number].gather(places, out)
            return True

    def _light_obs(self, kind: Kind, numbers: I64, last: I64, batch: Batch) -> None:
        """Light observations before steps `numbers` and after steps `last`."""
        light = {name: array for name, array in batch.obs.items() if OBS + name in kind.light}
        if not light or self._held_obs(kind, numbers, last, light, batch.next_obs):
            return
        blocks, rows = self._observations(numbers, last)
        both = {name: np.empty((len(rows), *array.shape[1:]), array.dtype) for name, array in light.items()}
        self._fetch.light(blocks, rows, {OBS + name: array for name, array in both.items()})
        for name, array in both.items():
            batch.obs[name][...], batch.next_obs[name][...] = np.split(array, 2)

    def _held_obs(
        self, kind: Kind, numbers: I64, last: I64, obs: Mapping[str, NDArray[Any]], next_obs: Mapping[str, NDArray[Any]]
    ) -> bool:
        with self._lock:
            if self._resident is None:
                return False
            first, end = (self._resident.positions(which, kind.number) for which in (numbers, last))
            if first is None or end is None:
                return False
            held = self._resident.sets[kind.number]
            held.gather_obs(first, obs)
            held.gather_obs(end + 1, {name: next_obs[name] for name in obs})
            return True

    def _observations(self, numbers: I64, last: I64) -> tuple[Entries, I64]:
        """Blocks and rows (2 n,) of the observations before steps `numbers` and after steps `last`."""
        wanted = np.concatenate([numbers, last])
        blocks = self._index.find(wanted)
        rows = wanted - blocks.first
        rows[len(numbers) :] += 1
        return runs.held(self._index, blocks, rows)

    def _cut(self, steps: I64, batch: Batch) -> I64:
        """End each run with its episode, even where numbers go on, and before a step without reward; the last step of each."""
        assert batch.valid is not None
        ends = (batch.terminated | batch.truncated)[:, :-1] | np.isnan(batch.reward[:, 1:])
        batch.valid[:, 1:] &= ~np.logical_or.accumulate(ends, axis=1)
        beyond = ~batch.valid
        for array in steps_of(batch).values():
            array[beyond] = 0
        return steps[np.arange(len(steps)), batch.valid.sum(axis=1) - 1]
