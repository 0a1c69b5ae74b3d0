"""What a store does beside its callers: writing through in time, packing the index, holding the quota."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition, Thread

from user_gym.errors import NoSpace
from user_gym.system.buffer import snapshot
from user_gym.system.buffer.writing import Writing

SYNC_EVERY = 0.5  # s from an append to writing through: with the time that takes, a power cut costs a second at most
_log = logging.getLogger(__name__)


class Housekeeping:
    """A thread of its own, from `start` to `close`.

    Args:
        writing: of the store.
        tidy: called after appends, now and then; None: nothing to tidy.
    """

    def __init__(self, writing: Writing, tidy: Callable[[Writing], object] | None) -> None:
        self._writing, self._tidy = writing, tidy
        self._wake = Condition()
        self._dirty = self._closing = False
        self._packed = 0  # number up to which the index is packed
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="buffer-housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Something was committed."""
        if not self._dirty:
            with self._wake:
                self._dirty = True
                self._wake.notify()

    def check(self) -> None:
        """Raise what stopped the thread: from then on nothing is as durable as it was promised to be."""
        if self._error is not None:
            raise self._error

    def pack(self) -> None:
        """Write the packed columns of blocks that are new, a page a transaction."""
        packed = -1
        while packed != self._packed:
            packed = self._packed
            with self._writing.transaction() as catalog:
                self._packed = snapshot.pack(catalog, packed, pages=1)

    def close(self) -> None:
        """End the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait():
                if not self._writing.durable:
                    self._writing.sync()
                self._tidy_up()
        except Exception as error:
            self._error = error

    def _tidy_up(self) -> None:
        """What appends can do without: where there is no room for it, it waits for the next of them."""
        try:
            self.pack()
            if self._tidy is not None:
                self._tidy(self._writing)
        except NoSpace as error:
            _log.warning("%s", error)

    def _wait(self) -> bool:
        """Until there is something to do; False: the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._dirty or self._closing)
            self._wake.wait_for(lambda: self._closing, SYNC_EVERY)
            self._dirty = False
            return not self._closing
