"""What a store does beside its callers: writing through in time, and packing the index. It knows no blocks and no readers."""

from __future__ import annotations

from threading import Condition, RLock, Thread

from user_gym.system.buffer import connection
from user_gym.system.buffer.files import Files
from user_gym.system.buffer.writer import Writer, explained

SYNC_EVERY = 0.5  # s from an append to writing through: with the time that takes, a power cut costs a second at most


class Housekeeping:
    """A thread of its own, from `start` to `close`.

    Args:
        writer: of the store.
        writing: lock of the writer.
        files: of the store.
        durable: each commit writes through by itself.
    """

    def __init__(self, writer: Writer, writing: RLock, files: Files, durable: bool) -> None:
        self._writer, self._writing, self._files, self._durable = writer, writing, files, durable
        self._wake = Condition()
        self._dirty = self._closing = False
        self._packed = 0
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
        """Raise what stopped the thread: from then on nothing is as durable as it should be."""
        if self._error is not None:
            raise self._error

    def sync(self) -> None:
        """Write through all that is committed: first the segments, then the rows that name them."""
        with self._writing:
            ends = self._writer.unsynced()
        for number, _ in ends.values():
            with self._files.use(number) as segment:
                self._files.sync(segment)
        self._files.sync_index(self._files.folder / f"{connection.NAME}-wal")
        with self._writing:
            for group, (number, size) in ends.items():
                self._writer.note_synced(group, number, size)

    def close(self) -> None:
        """End the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                with self._wake:
                    self._wake.wait_for(lambda: self._dirty or self._closing)
                    self._wake.wait_for(lambda: self._closing, SYNC_EVERY)
                    if self._closing:
                        return
                    self._dirty = False
                with explained(self._files.folder):
                    if not self._durable:
                        self.sync()
        except Exception as error:
            self._error = error
