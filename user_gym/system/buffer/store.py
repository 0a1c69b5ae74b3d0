"""Blocks on disk, each acknowledged once and then never lost: segments with the bytes, an index that says where they lie.

One process writes, many read, and each may do so from many threads. It knows no columns of a batch, no cache and no views.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import RLock

from user_gym.core import Acknowledgement, real, whole
from user_gym.errors import BadOption, Unwritable
from user_gym.system.buffer import compaction, connection, dropping, outer, pruning, recovery, repair, reserve, tiers
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.condition import parse
from user_gym.system.buffer.entries import Entry
from user_gym.system.buffer.files import Files, make
from user_gym.system.buffer.filing import summarized
from user_gym.system.buffer.housekeeping import Housekeeping
from user_gym.system.buffer.joining import Joining
from user_gym.system.buffer.lock import WriterLock
from user_gym.system.buffer.lookup import Lookup
from user_gym.system.buffer.quota import Enforced, Holding, Quota, enforce
from user_gym.system.buffer.stored import Stored
from user_gym.system.buffer.writer import Summarized, Writer, explained
from user_gym.system.buffer.writing import Writing

DURABILITY = ("power", "kill")
SEGMENT_BYTES = 128 << 20  # large enough to read in sequence, small enough to compact


class Store(Stored):
    """Thread-safe. Made by `Store.open`; ends with `close`.

    Attributes:
        read_only: whether it was opened so.
    """

    def __init__(
        self, folder: Path, files: Files, lookup: Lookup, lock: WriterLock | None = None, writing: Writing | None = None
    ) -> None:
        super().__init__(folder, files, lookup)
        self.read_only = writing is None
        self._lock, self._writing = lock, writing
        self._joining = Joining(self._commit, writing.lock if writing else RLock())
        self._housekeeping: Housekeeping | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        durability: str = "power",
        segment_bytes: int = SEGMENT_BYTES,
        bound: Quota | None = None,
        read_only: bool = False,
        drop_absent: bool = False,
        files: type[Files] = Files,
    ) -> Store:
        """Open the store in a folder; made if it is not there. Takes time with the index, never with the data.

        Args:
            path: the folder.
            durability: what an acknowledgement survives. "power": a power cut. "kill": the death of the process; a power cut
                takes what was acknowledged in the last second.
            segment_bytes: after so many a new segment begins.
            bound: on the bytes of the segments; what has to leave does so beside the appends.
            read_only: see what is committed; there may be a writer in another process, and media that cannot be written.
            drop_absent: quarantine what lies in a cold place that is not there now, instead of refusing to open.
            files: how files are made and synced; another class is a model of a disk that fails.

        Raises:
            Busy: another process writes it.
            Unwritable: the folder may not be written, or not even be read.
            WrongRun: it is a file, or holds something else, or (read-only) nothing.
        """
        folder = outer.folder(path)
        if durability not in DURABILITY:
            raise BadOption("durability", durability, " or ".join(DURABILITY))
        whole("segment_bytes", segment_bytes, 1)
        if read_only:
            return cls._open_reader(folder, files(folder))
        try:
            make(folder)
        except OSError as error:
            raise Unwritable(f"buffer {folder} cannot be made: {error}; allow it, or take another path") from error
        lock = WriterLock.take(folder)
        opened = files(folder)
        try:
            return cls._open_writer(folder, opened, lock, durability == "power", segment_bytes, bound, drop_absent)
        except BaseException:
            opened.close()
            lock.release()
            raise

    @classmethod
    def _open_reader(cls, folder: Path, files: Files) -> Store:
        lookup = Lookup(lambda: connection.connect_reader(folder), left=files.forget_deleted)
        files.put(lookup.places())
        lookup.start()
        return cls(folder, files, lookup)

    @classmethod
    def _open_writer(
        cls,
        folder: Path,
        files: Files,
        lock: WriterLock,
        durable: bool,
        segment_bytes: int,
        bound: Quota | None,
        drop_absent: bool,
    ) -> Store:
        with explained(folder):
            catalog = recovery.recovered(folder, files, durable, drop_absent)
            reserve.take(folder)
        try:
            writer = Writer(catalog, files, durable, segment_bytes)
            for group, number, size in recovery.unfinished(catalog):
                writer.resume(group, number, size)
            lookup = Lookup(lambda: connection.connect_reader(folder), own=catalog)
        except BaseException:
            catalog.database.close()
            raise
        writing = Writing(writer, files, durable)
        store = cls(folder, files, lookup, lock, writing)
        store._housekeeping = Housekeeping(writing, Holding(bound) if bound else None)
        store._housekeeping.start()
        lookup.start()
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def append(self, blocks: Sequence[Block]) -> list[Acknowledgement]:
        """Store blocks, all or none: when it returns they are as safe as the durability level says.

        Blocks of several threads that append at once share one commit. A chunk that was stored before is not stored again:
        its first acknowledgement is repeated, also after a restart, and after it was pruned.

        Raises:
            BadChunk: a number of a block cannot be stored.
            BadOption: a block is of an unknown group.
            NoSpace: the disk is full; nothing was stored.
            Unwritable: opened read-only, or the files may not be written any more.
            Closed: `close` was called.
        """
        self._writable()
        return self._joining([(block, summarized(block.head)) for block in blocks])

    def _commit(self, requests: Sequence[Sequence[Summarized]]) -> list[list[Acknowledgement]]:
        writing = self._writable()
        assert self._housekeeping is not None
        self._housekeeping.check()
        answers = writing.append(requests)
        self._housekeeping.wake()
        return answers

    def sync(self) -> None:
        """All that was acknowledged survives a power cut from here on, at each level. Raises Unwritable, NoSpace, Closed."""
        self._writable().sync()

    # Maintenance.

    def quarantine(self, entry: Entry, reason: str) -> None:
        """A block turned out to be bad: it is not sampled any more. Opened read-only, in this process alone."""
        if self._writing is None:
            self.lookup.hide(entry.first, entry.steps)
        else:
            with self._writable().transaction() as catalog:
                dropping.quarantine(catalog, "blocks", (entry.first,), reason)

    def prune(self, where: str | None = None, firsts: Iterable[int] = ()) -> int:
        """Blocks leave: those of which every step satisfies a condition, or those with these numbers.

        A chunk that comes again is still known. Files in which nothing lives are deleted; what shares one with live blocks
        stays on the disk until `compact`. Returns the bytes of the blocks.

        Raises:
            BadOption: `where` is no condition.
        """
        writing = self._writable()
        with writing.transaction() as catalog:
            leaving = pruning.chosen(catalog, parse(where)) if where is not None else list(firsts)
        freed = pruning.prune(writing, leaving)
        pruning.delete_empty(writing)
        return freed

    def compact(self, dead: float = 0.5) -> int:
        """Write segments anew of which at least this share is dead; 0.0: all that hold anything dead. Returns the bytes won."""
        writing = self._writable()
        dead = max(real("dead", dead, 0.0, 1.0, "a share 0..1"), sys.float_info.min)
        writing.retire()
        won = pruning.delete_empty(writing)
        return won + sum(compaction.compact(writing, number) for number in compaction.candidates(writing, dead))

    def move_cold(self, folder: str | Path, keep_bytes: int = 0) -> int:
        """Move the oldest segments to a folder on another disk until at most `keep_bytes` stay. Returns the bytes moved."""
        writing = self._writable()
        return tiers.move(writing, tiers.coldest(writing, whole("keep_bytes", keep_bytes, 0)), Path(folder))

    def enforce(self, bound: Quota) -> Enforced:
        """Hold a quota once; given to `open`, it is held all the time."""
        return enforce(self._writable(), bound)

    def repair(self, progress: repair.Progress = repair.unseen) -> None:
        """Read everything; quarantine what is bad, and enter what is sound and not in the index."""
        repair.repair(self._writable(), progress)

    def close(self) -> None:
        """Write through what is left, and let go of files and lock; may be called twice."""
        with self._writing.lock if self._writing else nullcontext():
            if self._closed:
                return
            self._closed = True
        if self._housekeeping is not None:
            self._housekeeping.close()
        self.lookup.close()
        try:
            if self._writing is not None:
                self._writing.close()
        finally:
            self.files.close()
            if self._lock is not None:
                self._lock.release()

    def _writable(self) -> Writing:
        self._check_open()
        if self._writing is None:
            raise Unwritable(f"buffer {self.folder} was opened with read_only=True; allowed: reading; open it without")
        return self._writing
