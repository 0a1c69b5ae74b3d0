"""Decoded rows in memory under a bound of bytes. It knows no blocks, files or batches.

Who reads a row may say when it will be wanted again, because batches are drawn ahead. Rows that are wanted leave last, and of
those the one that is wanted latest leaves first, which is the best that any cache can do. The others leave in the order in
which they were used.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")
Wanted = TypeVar("Wanted")
_ADMITTED = 8  # of so many values that nobody is known to want, a full cache lets one in


class CacheStats(NamedTuple):
    """Counts since the start; bytes now."""

    hits: int
    misses: int
    evicted: int
    nbytes: int


class Cache(Generic[Value]):
    """Thread-safe: one lock, held for dictionary look-ups only.

    Args:
        limit: bytes kept at most; a value that is larger alone is not kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._values: dict[Hashable, tuple[Value, int]] = {}
        self._idle: OrderedDict[Hashable, None] = OrderedDict()  # wanted by nobody yet; least recently used first
        self._due: dict[Hashable, int] = {}
        self._latest: list[tuple[int, int, Hashable]] = []  # heap of (-due, tie, key); an entry whose due changed is skipped
        self._ties = self._hits = self._misses = self._evicted = self._nbytes = self._refused = 0

    @property
    def nbytes(self) -> int:
        """Bytes now."""
        return self._nbytes

    def bound(self, limit: int) -> None:
        """Another limit; what is needed least makes room."""
        if limit == self._limit:
            return
        with self._lock:
            self._limit = limit
            while self._nbytes > limit and self._values:
                self._evict()

    def missing(self, wanted: Iterable[Wanted], key: Callable[[Wanted], Hashable]) -> list[Wanted]:
        """Those that are not here; it counts as no use."""
        with self._lock:
            return [one for one in wanted if key(one) not in self._values]

    def get(self, key: Hashable, due: int | None = None) -> Value | None:
        """What was put under `key`, or None. `due`: number of the batch that wants it next; None: none that is known."""
        with self._lock:
            entry = self._values.get(key)
            if entry is None:
                self._misses += 1
                return None
            self._hits += 1
            self._file(key, due)
            return entry[0]

    def wants(self, nbytes: int, due: int | None = None) -> bool:
        """Whether a value of this size should be put here: one that is wanted, or while there is room, or now and then.

        Draws come back to each row equally seldom: once the cache is full, another row is no better than those that are here,
        and keeping it costs a copy. A few are let in all the same, so that what is not drawn any more leaves.
        """
        with self._lock:
            if due is not None or self._nbytes + nbytes <= self._limit:
                return nbytes <= self._limit
            self._refused = (self._refused + 1) % _ADMITTED
            return self._refused == 0 and nbytes <= self._limit

    def put(self, key: Hashable, value: Value, nbytes: int, due: int | None = None) -> None:
        """Keep a value that fits; what is needed least makes room, which may be the value itself."""
        with self._lock:
            if nbytes > self._limit or key in self._values:
                return
            self._values[key] = (value, nbytes)
            self._nbytes += nbytes
            self._file(key, due)
            while self._nbytes > self._limit:
                self._evict()

    def drop(self, key: Hashable) -> None:
        """Forget it, if it is there."""
        with self._lock:
            if key in self._values:
                self._forget(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values, self._due, self._latest, self._nbytes = {}, {}, [], 0
            self._idle.clear()

    def stats(self) -> CacheStats:
        """Counts and bytes."""
        with self._lock:
            return CacheStats(self._hits, self._misses, self._evicted, self._nbytes)

    def _file(self, key: Hashable, due: int | None) -> None:
        self._idle.pop(key, None)
        self._due.pop(key, None)
        if due is None:
            self._idle[key] = None
            return
        self._due[key] = due
        self._ties += 1
        heapq.heappush(self._latest, (-due, self._ties, key))
        if len(self._latest) > 4 * len(self._due) + 64:  # mostly entries that no longer hold
            self._latest = [(-when, tie, key) for tie, (key, when) in enumerate(self._due.items(), self._ties + 1)]
            self._ties += len(self._due)
            heapq.heapify(self._latest)

    def _evict(self) -> None:
        self._evicted += 1
        if self._idle:
            self._forget(next(iter(self._idle)))
            return
        while True:
            due, _, key = heapq.heappop(self._latest)
            if self._due.get(key) == -due:
                self._forget(key)
                return

    def _forget(self, key: Hashable) -> None:
        self._nbytes -= self._values.pop(key)[1]
        self._idle.pop(key, None)
        self._due.pop(key, None)
