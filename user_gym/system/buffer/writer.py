"""Blocks go to the end of a segment, and their rows into the index: one commit for many. It knows no threads and no readers.

The order is what makes an acknowledgement true: the bytes are in the segment, and on the disk where the level says so, before
the row that names them is committed. What fails before the commit is taken back, so a failed append leaves no trace.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from user_gym.core import Acknowledgement
from user_gym.errors import BadBlock, NoSpace, Unwritable
from user_gym.system.buffer import connection
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.files import HERE, Files
from user_gym.system.buffer.filing import Filing, Summary
from user_gym.system.buffer.recovery import REBUILD
from user_gym.system.buffer.segment import Segment

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What SQLite says of a full disk, and of a limit on the size of files, while it writes to its log or its shared memory.
_NO_WRITE = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_TRUNCATE)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)  # the latter: it is no folder


Summarized = tuple[Block, Summary]  # as `filing.summarized` says


@dataclass(slots=True)
class _Active:
    """The segment that a group's blocks are appended to."""

    number: int
    segment: Segment
    size: int  # bytes, as committed
    synced: int  # bytes that survive a power cut
    live: int = 0  # bytes filed since the last commit
    new: bool = False  # made since the last commit


class Writer:
    """Appends. Not thread-safe: its owner locks.

    Args:
        catalog: over the writer's connection.
        files: of the store.
        durable: each commit survives a power cut.
        segment_bytes: a segment that is longer gets no more blocks.
    """

    def __init__(self, catalog: Catalog, files: Files, durable: bool, segment_bytes: int) -> None:
        self.catalog = catalog
        self.filing = Filing(catalog)
        self._files, self._durable, self._segment_bytes = files, durable, segment_bytes
        self._active: dict[str, _Active] = {}

    def append(self, requests: Sequence[Sequence[Summarized]]) -> list[list[Acknowledgement]]:
        """Store the blocks of several callers in one commit. Raises NoSpace, Unwritable, BadBlock; then none is stored."""
        self.retire(self._segment_bytes)
        with self.transaction():
            answers = [[self._append(*given) for given in blocks] for blocks in requests]
            for active in self._active.values():
                if self._durable and active.live:
                    self._files.sync(active.segment)
                    active.synced = active.segment.size
                self.catalog.extend_segment(active.number, active.segment.size, active.synced, active.live)
        return answers

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All inside is committed together, or none of it happened. Raises NoSpace, Unwritable, BadBlock."""
        with explained(self._files.folder):
            try:
                self.catalog.begin()
                self.filing.begin()
                yield
                self.filing.end()
                self.catalog.commit()
            except BaseException:
                self._take_back()
                raise
        for active in self._active.values():
            active.size, active.live, active.new = active.segment.size, 0, False

    def unsynced(self) -> dict[str, tuple[int, int]]:
        """By group the segments whose end does not survive a power cut yet: number and bytes."""
        return {group: (active.number, active.size) for group, active in self._active.items() if active.synced < active.size}

    def note_synced(self, group: str, number: int, size: int) -> None:
        """So much of a segment survives a power cut; the next commit says so."""
        active = self._active.get(group)
        if active is not None and active.number == number:
            active.synced = max(active.synced, size)

    def retire(self, least: int = 0) -> None:
        """Leave segments of this many bytes; a batch never spans two, so that taking it back is cutting one."""
        for group, active in list(self._active.items()):
            if active.size >= least:
                self._files.sync(active.segment)
                with self.transaction():
                    self.catalog.extend_segment(active.number, active.size, active.size, 0)
                active.segment.close()
                del self._active[group]

    def resume(self, group: str, number: int, size: int) -> None:
        """Go on appending to a segment that is there, if it has room."""
        if size < self._segment_bytes:
            self._active[group] = _Active(number, Segment.open(self._files.path(number), write=True), size, size)

    def active(self) -> set[int]:
        """Numbers of the segments that are appended to."""
        return {active.number for active in self._active.values()}

    def close(self) -> None:
        """Let go of the files, all bytes on the disk, and say so in the index."""
        self.retire()

    def abandon(self) -> None:
        """Let go of the files as they are."""
        for active in self._active.values():
            active.segment.close()
        self._active.clear()

    def _append(self, block: Block, summary: Summary) -> Acknowledgement:
        known = self.filing.known(block.head)
        if known is not None:
            return known
        active = self._active.get(block.head.group) or self._start(block.head.group)
        offset = active.segment.append(block.data)
        active.live += len(block.data)
        return self.filing.file(block.head, summary, active.number, offset)

    def _start(self, group: str) -> _Active:
        number = self.catalog.next_segment(1 + max(self._files.found(HERE), default=0))
        active = _Active(number, self._files.create(number), 0, 0, new=True)
        self._active[group] = active
        self.catalog.add_segment(number, group == "raw", HERE)
        return active

    def _take_back(self) -> None:
        self.catalog.rollback()
        for group, active in list(self._active.items()):
            if active.new:
                active.segment.close()
                self._files.remove(active.number)
                del self._active[group]
            elif active.segment.size > active.size:
                active.segment.truncate(active.size)
            active.live = 0


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """What the disk and SQLite say becomes an error that names the folder and the cure."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _no_space(folder, error) from error
        if error.errno in _REFUSED:
            cure = "give this user the right to, or choose another folder"
            raise Unwritable(f"buffer {folder} may not be written: {error}; {cure}") from error
        raise
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF  # the primary one
        if code == sqlite3.SQLITE_FULL or error.sqlite_errorcode in _NO_WRITE:
            raise _no_space(folder, error) from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise Unwritable(f"index of buffer {folder} may not be written: {error}; give this user the right to") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            (folder / REBUILD).touch()  # the next open makes a new one
            found, cure = f"{folder / connection.NAME}: {error}", "close the buffer and open it again: that makes a new one"
            raise BadBlock("index", found, "one that SQLite can read", cure=cure) from error
        raise


def _no_space(folder: Path, error: Exception) -> NoSpace:
    return NoSpace(
        f"no room for buffer {folder}: {_free(folder)} bytes are free ({error}); nothing was stored; "
        "free some, prune the buffer or set a quota, then append again"
    )


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
