"""Blocks that cannot be read are not read again: the damaged go into quarantine, those without a file are hidden for now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from user_gym.core import I64
from user_gym.errors import BadBlock, Gone
from user_gym.system.buffer.fetch import Fetch
from user_gym.system.buffer.store import Store
from user_gym.system.buffer.unreadable import Absent, Damaged

Result = TypeVar("Result")
_TRIES = 1000  # blocks that one batch may find bad
_log = logging.getLogger(__name__)


class Shunning:
    """Thread-safe."""

    def __init__(self, store: Store, fetch: Fetch) -> None:
        self._store, self._lookup, self._fetch = store, store.lookup, fetch

    def tried(self, read: Callable[[], Result], numbers: I64) -> Result:
        """Read what these transitions need, again where a block moved or turned out to be bad. Raises Gone."""
        for _ in range(_TRIES):
            try:
                return read()
            except Gone as error:
                if isinstance(error, Absent):
                    self.shun(error)
                if not self._lookup.live.contains(numbers).all():
                    raise Gone(f"{error}; draw others") from error
            except Damaged as error:
                self.shun(error)
                if not self._lookup.live.contains(numbers).all():
                    raise Gone(f"{error}; its block is in quarantine; draw others") from error
        raise BadBlock("buffer", self._store.folder, "one that can be read", None, "run: user-gym buffer repair")

    def shun(self, error: Damaged | Absent) -> None:
        """A block that cannot be read is not read again: the damaged are quarantined, those without file hidden for now."""
        first = error.first if isinstance(error, Damaged) else error.entry.first
        self._fetch.forget(first)
        try:
            entry = self._lookup.find(np.array([first])).entry(0)
        except Gone:
            return  # another thread was first, or it was pruned
        if isinstance(error, Damaged):
            _log.warning("the block of transition %d goes into quarantine: %s", first, error)
            self._store.quarantine(entry, str(error))
        elif entry.segment == error.entry.segment and not self._is_there(entry.segment):  # else it has moved
            blocks = self._lookup.entries()
            rows = np.flatnonzero(blocks.segment == entry.segment).tolist()
            if rows:  # of a segment that was written anew a moment ago, none
                _log.error("%s; its transitions are not sampled until the buffer is opened again", error)
            for row in rows:
                self._lookup.hide(int(blocks.first[row]), int(blocks.steps[row]))

    def _is_there(self, segment: int) -> bool:
        """Whether a segment lies where the index says now: another process may have moved it to another disk."""
        self._store.files.put(self._lookup.places())
        try:
            with self._store.files.use(segment):
                return True
        except Gone:
            return False
