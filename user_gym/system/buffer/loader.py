"""Batches filled ahead of the learner, by a thread of its own. It knows what is drawn and read, not from what.

Numbers are drawn `ahead` batches before they are read, so that what is read and unpacked for one batch is kept for the next
that wants it. Each draw is uniform over what is stored when it is made: steps that come later are in batches `ahead` later.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np

from user_gym.core import I64, Batch, whole
from user_gym.errors import BadOption, Closed, Gone
from user_gym.system.buffer.batches import nbytes
from user_gym.system.buffer.sampling import Readable, Wants

_SMALL = 1 << 19  # bytes of batches that are handed over together: to wake a thread takes as long as to fill 50 KB
_CLOSED = "the loader is closed; make another with Buffer.loader"


class Due:
    """When rows are wanted next: numbers of batches that are drawn and not read."""

    def __init__(self) -> None:
        self._batches: defaultdict[tuple[int, int], deque[int]] = defaultdict(deque)

    def __call__(self, first: int, row: int) -> int | None:
        """Number of the batch that wants a row of a block next; None: no drawn one does."""
        waiting = self._batches.get((first, row))
        return waiting[0] if waiting else None

    def expect(self, wants: Wants, batch: int) -> None:
        """A batch was drawn."""
        for key in zip(wants.firsts.tolist(), wants.rows.tolist(), strict=True):
            self._batches[key].append(batch)

    def begin(self, wants: Wants) -> None:
        """The oldest batch is about to be read: what is due now is what later ones want."""
        for key in zip(wants.firsts.tolist(), wants.rows.tolist(), strict=True):
            waiting = self._batches.get(key)
            if waiting:
                waiting.popleft()
                if not waiting:
                    del self._batches[key]


class LoaderStats(NamedTuple):
    """Since the start."""

    batches: int  # handed over
    waited: int  # of them, those that were not ready when they were asked for
    ahead: int  # batches that are drawn and not handed over, at most so far


class Loader:
    """An iterator without end. Owned by one thread; made by `Buffer.loader`, ended by `close` or `with`.

    Closed, here or with its source, also while a batch is waited for: whoever waits gets Closed.
    A batch is the caller's until the next one is asked for; then its arrays are written again. Small ones come several at a
    time, at most `ahead`.

    Args:
        source: a buffer or a view.
        batch_size: transitions in a batch.
        seed: of the draws.
        horizon: as in `core.Storage.sample`.
        ahead: batches whose transitions are drawn before they are read.
        slots: sets of arrays: one with the caller, the others being filled or ready. A set is for a batch, or a few small ones.
        allocate: makes the arrays, such as pinned ones.
    """

    def __init__(
        self,
        source: Readable,
        batch_size: int,
        *,
        seed: int | Sequence[int] = 0,
        horizon: int = 1,
        ahead: int = 8,
        slots: int = 2,
        allocate: Any = np.empty,
    ) -> None:
        self._source, self._allocate = source, allocate
        self._size, self._horizon = whole("batch_size", batch_size, 1), whole("horizon", horizon, 1)
        self._ahead, self._slots = whole("ahead", ahead, 1), whole("slots", slots, 2)
        self._rng = np.random.default_rng(seed)
        self._free: SimpleQueue[list[Batch]] = SimpleQueue()
        self._ready: SimpleQueue[list[Batch] | BaseException] = SimpleQueue()
        self._mine: list[Batch] = []
        self._next = 0  # of them
        self._together = 1
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._batches = self._waited = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._closing.is_set():
            raise Closed(_CLOSED)
        if self._thread is None:
            for _ in range(self._slots):
                self._free.put([])
            self._thread = threading.Thread(target=self._fill, name="buffer-loader", daemon=True)
            self._thread.start()
        elif self._next == len(self._mine):
            self._free.put(self._mine)
        if self._next == len(self._mine):
            self._waited += self._ready.empty()
            filled = self._ready.get()
            if isinstance(filled, BaseException):
                self._closing.set()
                raise filled
            self._mine, self._next = filled, 0
        batch = self._mine[self._next]
        self._next, self._batches = self._next + 1, self._batches + 1
        return batch

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def stats(self) -> LoaderStats:
        """Counts."""
        return LoaderStats(self._batches, self._waited, self._ahead + self._slots * self._together - 1)

    def close(self) -> None:
        """End the thread. May be called twice."""
        self._closing.set()
        self._free.put([])  # wakes the thread
        if self._thread is not None:
            self._thread.join()

    def _fill(self) -> None:
        try:
            due, drawn = Due(), deque[tuple[I64, Wants]]()
            number = 0
            while True:
                slot = self._free.get()
                if self._closing.is_set():
                    raise Closed(_CLOSED)  # also for who waits for a batch meanwhile
                filled: list[Batch] = []
                while len(filled) < self._together:
                    while len(drawn) < self._ahead:
                        drawn.append(self._drawn(due, number))
                        number += 1
                    filled.append(self._read(drawn, due, slot[len(filled)] if len(filled) < len(slot) else None))
                together = max(1, min(self._ahead, _SMALL // nbytes(filled[0])))
                self._ready.put(filled)
                self._together = together  # from now on: the first batch does not wait for others
        except BaseException as error:  # top of this thread: raised where a batch is asked for
            self._ready.put(error)

    def _drawn(self, due: Due, number: int) -> tuple[I64, Wants]:
        while True:
            numbers = self._source.draw(self._size, self._rng)
            try:
                wants = self._source.wants(numbers, self._horizon)
            except Gone:  # pruned since it was drawn
                continue
            due.expect(wants, number)
            return numbers, wants

    def _read(self, drawn: deque[tuple[I64, Wants]], due: Due, slot: Batch | None) -> Batch:
        numbers, wants = drawn.popleft()
        due.begin(wants)
        while True:
            out = slot or self._source.empty(self._size, self._horizon, self._allocate)
            try:
                return self._source.read(numbers, self._horizon, out, due)
            except Gone:  # pruned or found damaged since it was drawn
                numbers = self._source.draw(self._size, self._rng)
            except BadOption:
                if slot is None:
                    raise
                slot = None  # a robot came whose rows are larger than what was there when the arrays were made
