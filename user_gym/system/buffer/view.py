"""The transitions of a buffer that a condition selects: a Storage that cannot be written. It knows no file and no column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import RLock
from typing import Any, Protocol

import numpy as np

from user_gym.core import F32, I64, Acknowledgement, Batch, Chunk, whole
from user_gym.errors import BadOption, Gone
from user_gym.system.buffer import sampling
from user_gym.system.buffer.batches import Rewards
from user_gym.system.buffer.condition import Condition, parse
from user_gym.system.buffer.labels import Labelled, Version
from user_gym.system.buffer.loader import Loader
from user_gym.system.buffer.ranges import Ranges
from user_gym.system.buffer.sampling import Wants
from user_gym.system.buffer.selection import Blocks, Selection

Score = Callable[[Chunk], Any]  # a stored chunk -> a label for each of its steps


class Owner(Blocks, Protocol):
    """What a view asks of the buffer that it belongs to. Thread-safe."""

    def chunk(self, number: int) -> Chunk:
        """The chunk that holds the transition with this number; its last one is that of its block, see `query.block_at`."""
        ...

    def read(
        self, numbers: I64, horizon: int = 1, out: Batch | None = None, due: Any = None, rewards: Rewards | None = None
    ) -> Batch:
        """These transitions. `rewards` take the place of the stored ones, and a run ends before a step that has none."""
        ...

    def wants(self, numbers: I64, horizon: int) -> Wants:
        """As `sampling.Readable.wants`."""
        ...

    def empty(self, n: int, horizon: int = 1, allocate: Any = np.empty) -> Batch:
        """As `sampling.Readable.empty`."""
        ...


class View:
    """A Storage over the transitions that satisfy a condition; made by `Buffer.view`. Thread-safe.

    Args:
        owner: the buffer.
        condition: parsed.
        reward: a label that takes the place of the reward; transitions without it are not selected. None: as stored.
        last: of those selected, the newest so many; None: all.
    """

    def __init__(self, owner: Owner, condition: Condition, reward: str | None = None, last: int | None = None) -> None:
        self._last = None if last is None else whole("last", last, 1, "1 transition or more, a whole number, or None for all")
        if reward is not None:
            owner.labels.check(reward)
            condition = parse(f'"{reward}" IS NOT NULL', [reward]).within(condition)
        self._owner, self._condition, self._reward = owner, condition, reward
        self._lock = RLock()
        self._selection = Selection(owner, condition)

    @property
    def where(self) -> str:
        """The condition's text."""
        return self._condition.text

    def append(self, chunk: Chunk) -> Acknowledgement:
        """Never: a view is read-only."""
        raise BadOption(
            "append", f"chunk for view {self.where!r}", "sample, view, len and stats", "append to the buffer itself"
        )

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """As `core.Storage.sample`, over the transitions of this view."""
        return sampling.sample(self, n, rng, horizon, out)

    def draw(self, n: int, rng: np.random.Generator) -> I64:
        """Numbers of n transitions, uniform over those selected now. Raises BadOption where there are none."""
        with self._lock:
            ranges = self._followed()
            if not len(ranges):
                cure = "append a chunk that satisfies it, or ask len first"
                raise BadOption("sample", n, f"nothing yet: the view {self.where!r} is empty", cure)
            return ranges.at(rng.integers(self._begin(ranges), len(ranges), n))

    def numbers(self, since: int = 0) -> I64:
        """Numbers, `since` or above, of all transitions selected now, ascending: for a pass over them."""
        with self._lock:
            ranges = self._followed()
            return ranges.at(np.arange(max(self._begin(ranges), ranges.below(since)), len(ranges)))

    def read(self, numbers: I64, horizon: int = 1, out: Batch | None = None, due: Any = None) -> Batch:
        """The transitions with these numbers. Raises Gone if one of them is not there any more."""
        return self._owner.read(numbers, horizon, out, due, None if self._reward is None else self._rewards)

    def wants(self, numbers: I64, horizon: int) -> Wants:
        """Rows of pictures that a batch of these transitions needs, for `Loader`."""
        return self._owner.wants(numbers, horizon)

    def empty(self, n: int, horizon: int = 1, allocate: Any = np.empty) -> Batch:
        """Arrays for a batch, to be handed to `sample` as `out`."""
        return self._owner.empty(n, horizon, allocate)

    def loader(self, batch_size: int = 256, **options: Any) -> Loader:
        """Batches filled ahead, by a thread of its own: see `Loader` for the options."""
        return Loader(self, batch_size, **options)

    def view(self, where: str, reward: str | None = None) -> View:
        """The part of this view that `where` selects too. Raises BadOption for a view of the newest."""
        if self._last is not None:
            cure = "select first, then take the newest: buffer.view(where, last=...)"
            raise BadOption("view", where, "a condition on a view without `last`", cure)
        inner = parse(where, self._owner.labels.names).within(self._condition)
        return View(self._owner, inner, self._reward if reward is None else reward)

    def relabel(self, name: str, values: float | Score, source: str) -> Version:
        """Write a label for the transitions that are selected now. Their observations and rewards stay as they are.

        The label is a column in conditions from then on, and a reward in `view(..., reward=name)`. A step keeps all labels
        that it was given; the newest counts.

        Args:
            name: of the label; that of no other column.
            values: of all of them; or a function that is handed each chunk with selected steps, and returns (steps,).
            source: who says so, such as a classifier with its version, or a person.

        Raises:
            BadOption: the name is a column's already, or values are not one finite number for each step.
        """
        if not callable(values) and np.ndim(values):
            allowed = "one number for all steps, or a function that is handed a chunk and returns one for each of its steps"
            raise BadOption(f"values of label {name!r}", np.shape(values), allowed)
        with self._lock:
            followed = self._followed()
            ranges = followed.newest(len(followed) - self._begin(followed))
        return self._owner.labels.write(name, source, self._labelled(ranges, values), pass_over=True)

    def __len__(self) -> int:
        with self._lock:
            ranges = self._followed()
            return len(ranges) - self._begin(ranges)

    def stats(self) -> Mapping[str, float]:
        """Transitions selected now, and bytes that the selection takes."""
        with self._lock:
            ranges = self._followed()
            return {"transitions": len(ranges) - self._begin(ranges), "bytes": ranges.nbytes}

    def close(self) -> None:
        """Nothing to let go of: the buffer owns files and memory."""

    def _followed(self) -> Ranges:
        self._selection.follow()
        return self._selection.ranges

    def _begin(self, ranges: Ranges) -> int:
        """Place in the ranges of the oldest that this view has."""
        return 0 if self._last is None else max(0, len(ranges) - self._last)

    def _rewards(self, numbers: I64) -> F32:
        assert self._reward is not None
        return self._owner.labels.at(self._reward, numbers)

    def _labelled(self, ranges: Ranges, values: float | Score) -> Iterator[Labelled]:
        done = 0
        while done < len(ranges):
            number = int(ranges.at(np.array([done]))[0])
            try:
                first, steps = self._owner.query.block_at(number)
                chunk = self._owner.chunk(number)
            except Gone:  # since the ranges were taken
                done += 1
                continue
            selected = ranges.contains(np.arange(first, first + steps))
            done += int(selected.sum())
            lost = steps - len(chunk)  # 1 where the observation before its first step is gone
            given = values(chunk) if callable(values) else np.full(len(chunk), values)
            if lost and np.shape(given) == (len(chunk),):  # else the error says what shape it has
                given, selected = np.concatenate([[np.float32(np.nan)] * lost, given]), selected & (np.arange(steps) >= lost)
            yield Labelled(chunk.source, chunk.episode, chunk.sequence, given, selected)
