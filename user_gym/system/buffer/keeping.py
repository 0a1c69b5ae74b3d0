"""Light columns come into memory: of blocks as they are appended, and of those from before by a thread of its own.

Until then, and where they do not fit, batches are read from blocks.
"""

from __future__ import annotations

import time
from threading import Event, Lock, Thread

from user_gym.errors import Closed, Gone
from user_gym.system.buffer.entries import ABSENT, Entry
from user_gym.system.buffer.fetch import Fetch
from user_gym.system.buffer.gate import Gate
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.lookup import Lookup
from user_gym.system.buffer.reader import Reader
from user_gym.system.buffer.shunning import Shunning
from user_gym.system.buffer.unreadable import Absent, Damaged

_PART = 16  # blocks whose light columns are loaded in one go, while appends wait
_LET_PASS = 0.03  # s before each part, at most: a learner that never rests does not keep them out of memory
_GLANCE = 0.001  # s


class Keeping:
    """Thread-safe. `close` ends its thread.

    Args:
        lookup: where blocks lie.
        fetch: reads heads.
        reader: keeps the columns.
        shunning: told of blocks that cannot be read.
        gate: of the buffer's calls, which go first.
    """

    def __init__(self, lookup: Lookup, fetch: Fetch, reader: Reader, shunning: Shunning, gate: Gate) -> None:
        self._lookup, self._fetch, self._reader, self._shunning, self._gate = lookup, fetch, reader, shunning, gate
        self._growing = Lock()
        self._closing = Event()
        self._failure: Exception | None = None  # of the thread, for who reads next
        self.thread: Thread | None = None

    def next(self, first: int, head: Head) -> None:
        """A block was appended: keep its light columns where it is next; else they are loaded when they are missed."""
        with self._growing:
            if self._reader.end == first:
                try:
                    self._keep(first, head, self._lookup.entry(first) if head.follows else None)
                except Gone:
                    self._reader.skip(first + head.steps)
        if self._reader.is_half_full:
            self.drop_oldest()

    def close(self) -> None:
        """May be called twice."""
        self._closing.set()
        with self._growing:
            thread = self.thread
        if thread is not None:
            thread.join()

    def drop_oldest(self) -> None:
        """What left at the front leaves memory too."""
        live = self._lookup.live
        if len(live.gaps) and live.gaps[0] == 0:
            coming = max(0, min(live.total - self._reader.end, live.count))
            self._reader.drop_before(int(live.missing[0]), coming)

    def catch_up(self) -> None:
        """What another process appended, or what is there from before, comes into memory. Raises what the thread ended with."""
        if not self._reader.missed and self._failure is None:
            return
        self._reader.missed = False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if self.thread is None:
            self.load()

    def load(self) -> None:
        """Begin to bring everything into memory."""
        with self._growing:
            if self.thread is None and not self._closing.is_set():
                self.thread = Thread(target=self._load_light, name="buffer-light", daemon=True)
                self.thread.start()

    def _load_light(self) -> None:
        try:
            self._lookup.wait()
            while not self._closing.is_set():
                self._let_pass()
                if not self._load_part():
                    return
        except Closed:
            pass
        except Exception as error:  # top of this thread: raised where a batch is asked for
            self._failure = error
        finally:
            self.thread = None

    def _let_pass(self) -> None:
        """Both would only hold each other up: a batch that is read meanwhile takes three times as long."""
        since = time.monotonic()
        while not self._gate.is_empty and time.monotonic() - since < _LET_PASS:
            self._closing.wait(_GLANCE)

    def _load_part(self) -> bool:
        """Keep the light columns of some blocks. Whether there may be more."""
        with self._growing:
            live = self._lookup.live  # before the blocks: what is appended meanwhile is not skipped
            blocks = self._lookup.entries(self._reader.end)
            if not self._reader.keeps or not len(blocks):
                self._reader.skip(live.total)
                return False
            self.drop_oldest()
            entries = [blocks.entry(row) for row in range(min(len(blocks), _PART))]
            for entry, head in zip(entries, self._fetch.heads(entries), strict=True):
                try:
                    self._keep(entry.first, head(), entry)
                except (Damaged, Gone) as error:
                    if isinstance(error, (Damaged, Absent)):
                        self._shunning.shun(error)
                    self._reader.skip(entry.first + entry.steps)
            return True

    def _keep(self, first: int, head: Head, entry: Entry | None) -> None:
        """Keep the light columns of a block; its entry says what it follows."""
        last = None
        if head.follows and entry is not None and entry.before != ABSENT:
            last = entry.before + self._lookup.entry(entry.before).steps - 1
        self._reader.add(first, head, last)
