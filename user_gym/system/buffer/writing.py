"""Alone with the writer: what appends, maintenance and the thread beside them share. It knows no blocks of anybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock

from user_gym.core import Acknowledgement
from user_gym.system.buffer import connection
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.files import Files
from user_gym.system.buffer.writer import Summarized, Writer, explained


class Writing:
    """Thread-safe.

    Attributes:
        lock: held by who writes.
        upkeep: held by who moves blocks or files, which may take long; `lock` is taken inside it, never around it.
        files: of the store.
        durable: whether each commit survives a power cut.
    """

    def __init__(self, writer: Writer, files: Files, durable: bool) -> None:
        self.lock, self.upkeep, self.files, self.durable = RLock(), RLock(), files, durable
        self._writer = writer

    def append(self, requests: Sequence[Sequence[Summarized]]) -> list[list[Acknowledgement]]:
        """As `Writer.append`."""
        with self.lock:
            return self._writer.append(requests)

    @contextmanager
    def transaction(self) -> Iterator[Catalog]:
        """All that is written inside holds together, or not at all. Raises NoSpace, Unwritable, BadBlock."""
        with self.lock, self._writer.transaction():
            yield self._writer.catalog

    @contextmanager
    def exclusive(self) -> Iterator[Catalog]:
        """Alone with the index, for what makes transactions of its own. Raises NoSpace, Unwritable, BadBlock."""
        with self.lock, explained(self.files.folder):
            yield self._writer.catalog

    def active(self) -> set[int]:
        """Segments that are appended to."""
        with self.lock:
            return self._writer.active()

    def retire(self) -> None:
        """Leave the segments that are appended to, so that they can be compacted; the next append begins new ones."""
        with self.lock:
            self._writer.retire()

    def sync(self) -> None:
        """All that is committed survives a power cut: first the segments, then the rows that name them."""
        with explained(self.files.folder):
            with self.lock:
                ends = self._writer.unsynced()
            for number, _ in ends.values():
                with self.files.use(number) as segment:
                    self.files.sync(segment)
            self.files.sync_index(self.files.folder / f"{connection.NAME}-wal")
        with self.lock:
            for group, (number, size) in ends.items():
                self._writer.note_synced(group, number, size)

    def close(self) -> None:
        """Let go of segments and index; all bytes are on the disk unless this raises."""
        with self.lock:
            try:
                self._writer.close()
            finally:
                self._writer.abandon()
                self._writer.catalog.database.close()
