"""Where live steps lie, as committed. It follows the index, whoever writes it: this process or another.

Until the index is in memory, which a thread of its own sees to, each look-up is one of SQLite's: so the first batch does not
wait. What was pruned leaves at the next look; what was found before goes on being true, or its file raises Gone.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, RLock, Thread

import numpy as np

from user_gym.core import I64
from user_gym.errors import Closed, Gone, WrongRun
from user_gym.system.buffer import snapshot
from user_gym.system.buffer.catalog import DROPPED, GAP, MOVED, Catalog, Change
from user_gym.system.buffer.commits import RECENT, Commits
from user_gym.system.buffer.entries import ABSENT, Entries, Entry, MemoryIndex
from user_gym.system.buffer.gaps import Live

_FEW = 4096  # look-ups that SQLite makes (20 us each) sooner than the index in memory can be waited for
_MANY = 4096  # changes after which the index is loaded anew
_WAIT = 60.0  # s that a large look-up waits for the index in memory; then SQLite makes it
_log = logging.getLogger(__name__)


class Lookup:
    """Thread-safe. Its connection and its thread end with `close`.

    Args:
        connect: makes a connection that reads.
        own: what this process writes, alone; None: another process writes.
        left: called when blocks left their places, so that files may have been deleted.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], own: Catalog | None = None, left: Callable[[], None] = lambda: None
    ) -> None:
        self._connect, self._left = connect, left
        self._catalog = Catalog(connect())
        self._lock = RLock()
        self._commits = Commits(self._catalog.database, own)
        self._change = self._catalog.last_change()
        self._live = self._catalog.live()
        self._hidden: dict[int, int] = {}  # first of a block that this process does not read -> its steps
        self._orphaned: set[int] = set()  # transitions whose observation lay in one of them
        self._index: MemoryIndex | None = None
        self._known = 0  # number up to which the index in memory knows all blocks
        self._loaded = Event()
        self._closed = False
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to load the index into memory."""
        with self._lock:
            self._loaded.clear()
            self._thread = Thread(target=self._load, name="buffer-index", daemon=True)
            self._thread.start()

    @property
    def live(self) -> Live:
        """What can be sampled now. Raises Closed."""
        with self._lock:
            self._follow()
            return self._live

    @property
    def recent(self) -> Live:
        """As `live`, for draws: what this process commits is there at once, what another one does 5 ms later at most."""
        with self._lock:
            self._follow(RECENT)
            return self._live

    @property
    def loaded(self) -> bool:
        """Whether the index is in memory."""
        return self._loaded.is_set()

    @property
    def nbytes(self) -> int:
        """Bytes of the index in memory."""
        index = self._index
        return index.nbytes if index else 0

    def wait(self, timeout: float | None = None) -> bool:
        """Until the index is in memory. Whether it is."""
        return self._loaded.wait(timeout)

    def find(self, numbers: I64) -> Entries:
        """For each number the block that holds that step. Raises Gone, Closed."""
        numbers = np.asarray(numbers, np.int64)
        if len(numbers) > _FEW:
            self._loaded.wait(_WAIT)
        with self._lock:
            self._follow(RECENT)
            try:
                found = self._found(numbers)
            except Gone:  # or too new
                self._follow()
                found = self._found(numbers)
            if self._hidden and (hidden := np.isin(found.first, list(self._hidden))).any():
                raise Gone(f"step {int(numbers[hidden][0])} of the buffer is in a block that cannot be read")
            return found

    def entry(self, number: int) -> Entry:
        """The block that holds a step. Raises Gone, Closed."""
        with self._lock:
            self._follow(RECENT)
            if self._index is not None and not self._hidden:
                here = self._index.entries
                row = int(here.first.searchsorted(number, "right")) - 1
                if row >= 0 and number < here.first[row] + here.steps[row]:
                    return here.entry(row)
            return self.find(np.array([number])).entry(0)

    def entries(self, since: int = 0) -> Entries:
        """All blocks whose number is `since` or above. Waits for the index in memory where that is a large part."""
        if since == 0:
            self._loaded.wait(_WAIT)
        with self._lock:
            self._follow()
            if self._index is not None:
                here = self._index.entries
                return here.take(slice(int(np.searchsorted(here.first, since)), None))
            return Entries.joined(list(self._catalog.entries(since)))

    def following(self, firsts: I64) -> I64:
        """`first` of the next chunk of the same episode, for each of these blocks; ABSENT where that is not here."""
        with self._lock:
            self._follow()
            if self._index is not None:
                found = self._index.following(firsts)
            else:
                found = np.array([self._catalog.following(int(first)) for first in firsts], np.int64)
            return np.where(np.isin(found, list(self._hidden)), ABSENT, found) if self._hidden else found

    def origin(self, number: int) -> dict[str, str]:
        """As `Catalog.origin`."""
        with self._lock:
            self._check_open()
            return self._catalog.origin(number)

    def layouts(self) -> list[str]:
        """As `Catalog.layouts`."""
        with self._lock:
            self._check_open()
            return self._catalog.layouts()

    def changes(self, after: int) -> list[Change]:
        """As `Catalog.changes`."""
        with self._lock:
            self._check_open()
            return self._catalog.changes(after)

    @contextmanager
    def reading(self) -> Iterator[Catalog]:
        """The catalog of one moment, for questions that come seldom. Raises Closed."""
        with self._lock:
            self._check_open()
            with _reading(self._catalog):
                yield self._catalog

    def places(self) -> dict[int, int]:
        """As `Catalog.places`."""
        with self._lock:
            self._check_open()
            return self._catalog.places()

    def hide(self, first: int, steps: int) -> None:
        """This process does not read this block any more; for one that may not write it into the quarantine.

        With it leaves the first transition of a block that follows it, whose observation lay there.
        """
        with self._lock:
            self._follow()
            after = self._catalog.following(first)
            self._hidden[first] = steps
            if after != ABSENT and after not in self._hidden and self._catalog.at([after]).follows[0]:
                self._orphaned.add(after)
            self._live = self._visible()

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._loaded.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._catalog.database.close()
            self._index = None

    def _found(self, numbers: I64) -> Entries:
        if self._index is not None:
            here = self._index.entries
            return here.take(here.rows_of(numbers))
        different, which = np.unique(numbers, return_inverse=True)
        return self._catalog.at(different.tolist()).take(which)

    def _follow(self, late: float = 0.0) -> None:
        """See what was committed; by another process, up to `late` s ago."""
        self._check_open()
        newest = self._commits.newest(late)
        if self._commits.is_seen(newest):
            return
        if (added := self._commits.added(newest)) is not None:
            self._grow(added)
            self._commits.see(newest)
            return
        catalog = self._catalog
        with _reading(catalog):
            changes = catalog.changes(self._change)
            if self._index is not None:
                self._catch_up(self._index, changes)
            if any(change.kind in (GAP, DROPPED) for change in changes) or self._commits.unseen:
                self._live = self._visible()
            else:
                self._live = self._live.grown(catalog.total("training"))
            self._change = changes[-1].id if changes else self._change
        self._commits.see(newest)
        if any(change.kind in (MOVED, DROPPED) for change in changes):
            self._left()

    def _grow(self, rows: list[tuple[int, ...]]) -> None:
        rows = [row for row in rows if row[0] >= self._live.total]
        if rows:
            total = rows[-1][0] + rows[-1][1]
            if self._index is not None:
                self._index.append(rows)
                self._known = total
            self._live = self._live.grown(total)

    def _catch_up(self, index: MemoryIndex, changes: list[Change]) -> bool:
        """Whether the index knows all now; else one is being loaded anew."""
        catalog = self._catalog
        total = catalog.total("training")
        if total > self._known:
            index.extend(Entries.joined(list(catalog.entries(self._known))))
            self._known = total
        if len(changes) > _MANY:
            self._index = None
            self.start()
            return False
        if moved := sorted({(change.first, change.last) for change in changes if change.kind == MOVED}):
            parts = [part for first, last in moved for part in catalog.entries(first, last + 1)]
            index.change(Entries.joined(parts))
        if dropped := [(change.first, change.last) for change in changes if change.kind == DROPPED]:
            index.drop(dropped)
        return True

    def _visible(self) -> Live:
        live = self._catalog.live()
        if not self._hidden:
            return live
        hidden = [*self._hidden.items(), *((first, 1) for first in self._orphaned)]
        return live.without(*np.array(hidden, np.int64).T)

    def _load(self) -> None:
        try:
            catalog = Catalog(self._connect())
            try:
                with _reading(catalog):
                    change, total = catalog.last_change(), catalog.total("training")
                    index = snapshot.load(catalog)
            finally:
                catalog.database.close()
            with self._lock:
                if not self._closed:
                    with _reading(self._catalog):
                        self._known = total
                        known = self._catch_up(index, self._catalog.changes(change))
                    self._commits.look_again()
                    self._index = index if known else None
        except (sqlite3.Error, WrongRun):
            # Look-ups go on in SQL, and say what is wrong with the index when it stops them too.
            _log.exception("the index of the buffer cannot be loaded into memory")
        finally:
            self._loaded.set()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the buffer is closed; open it again")


@contextmanager
def _reading(catalog: Catalog) -> Iterator[None]:
    """All that is read inside is of one moment."""
    catalog.database.execute("BEGIN")
    try:
        yield
    finally:
        catalog.database.execute("COMMIT")
