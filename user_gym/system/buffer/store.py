"""Blocks on disk, each acknowledged once and then never lost: segments with the bytes, an index that says where they lie.

One process writes, many read, and each may do so from many threads. It knows no columns of a batch, no cache and no views.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from user_gym.core import I64, Acknowledgement, whole
from user_gym.errors import BadBlock, BadOption, Closed, Unwritable
from user_gym.system.buffer import connection, filing, recovery
from user_gym.system.buffer.block import Block, read_block
from user_gym.system.buffer.catalog import Change
from user_gym.system.buffer.entries import Entries, Entry
from user_gym.system.buffer.files import Files
from user_gym.system.buffer.gaps import Live
from user_gym.system.buffer.head import Head, sizes
from user_gym.system.buffer.housekeeping import Housekeeping
from user_gym.system.buffer.joining import Joining
from user_gym.system.buffer.lock import WriterLock
from user_gym.system.buffer.lookup import Lookup
from user_gym.system.buffer.writer import Writer, explained

DURABILITY = ("power", "kill")
SEGMENT_BYTES = 128 << 20  # large enough to read in sequence, small enough to compact
_FIRST_READ = 16 << 10  # bytes: the prefix of most blocks


class Store:
    """Thread-safe. Made by `Store.open`; ends with `close`.

    Attributes:
        folder: in which it lies.
        read_only: whether it was opened so.
        lookup: where live steps lie.
        files: the segments.
    """

    def __init__(self, folder: Path, files: Files, lookup: Lookup, lock: WriterLock | None, writer: Writer | None) -> None:
        self.folder, self.files, self.lookup, self.read_only = folder, files, lookup, writer is None
        self._lock, self._writer = lock, writer
        self._writing = RLock()  # the writer
        self._joining = Joining(self._commit, self._writing)
        self._housekeeping: Housekeeping | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        durability: str = "power",
        segment_bytes: int = SEGMENT_BYTES,
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
            read_only: see what is committed; there may be a writer in another process, and media that cannot be written.
            drop_absent: quarantine what lies in a cold place that is not there now, instead of refusing to open.
            files: how files are made and synced; another class is a model of a disk that fails.

        Raises:
            Busy: another process writes it.
            Unwritable: the folder may not be written.
            WrongRun: it holds something else, or (read-only) nothing.
        """
        folder = Path(path)
        if durability not in DURABILITY:
            raise BadOption("durability", durability, " or ".join(DURABILITY))
        whole("segment_bytes", segment_bytes, 1)
        if read_only:
            return cls._open_reader(folder, files(folder))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unwritable(f"buffer {folder} cannot be made: {error}; allow it, or take another path") from error
        lock = WriterLock.take(folder)
        opened = files(folder)
        try:
            return cls._open_writer(folder, opened, lock, durability == "power", segment_bytes, drop_absent)
        except BaseException:
            opened.close()
            lock.release()
            raise

    @classmethod
    def _open_reader(cls, folder: Path, files: Files) -> Store:
        lookup = Lookup(lambda: connection.connect_reader(folder))
        store = cls(folder, files, lookup, None, None)
        lookup.start()
        return store

    @classmethod
    def _open_writer(
        cls, folder: Path, files: Files, lock: WriterLock, durable: bool, segment_bytes: int, drop_absent: bool
    ) -> Store:
        with explained(folder):
            catalog = recovery.recovered(folder, files, durable, drop_absent)
        try:
            writer = Writer(catalog, files, durable, segment_bytes)
            for group, number, size in recovery.unfinished(catalog):
                writer.resume(group, number, size)
            lookup = Lookup(lambda: connection.connect_reader(folder))
        except BaseException:
            catalog.database.close()
            raise
        store = cls(folder, files, lookup, lock, writer)
        store._housekeeping = Housekeeping(writer, store._writing, files, durable)
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
        for block in blocks:
            filing.check(block.head)
        self._writable()
        return self._joining(blocks)

    def _commit(self, requests: Sequence[Sequence[Block]]) -> list[list[Acknowledgement]]:
        writer = self._writable()
        assert self._housekeeping is not None
        self._housekeeping.check()
        answers = writer.append(requests)
        self._housekeeping.wake()
        return answers

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Alone with the writer, inside one transaction. Raises Unwritable, Closed, NoSpace."""
        with self._writing:
            writer = self._writable()
            with writer.transaction():
                yield writer

    # Where steps lie.

    @property
    def live(self) -> Live:
        """What can be sampled now: draw ordinals below its length, and hand it to `locate` with them."""
        return self.lookup.live

    @property
    def total(self) -> int:
        """Steps ever."""
        return self.lookup.live.total

    def __len__(self) -> int:
        return len(self.lookup.live)

    def locate(self, ordinals: I64, live: Live | None = None) -> tuple[Entries, I64]:
        """The block that holds each live step, and which of its steps that is.

        Args:
            ordinals: 0 .. len - 1, in any order.
            live: what they count; by default what is live now.

        Raises:
            BadOption: an ordinal is out of range.
            Gone: a block was dropped since `live`.
        """
        numbers = (self.live if live is None else live).numbers(ordinals)
        found = self.lookup.find(numbers)
        return found, numbers - found.first

    def entries(self, since: int = 0) -> Entries:
        """All blocks whose number is `since` or above."""
        return self.lookup.entries(since)

    def changes(self, after: int) -> list[Change]:
        """What became of blocks that were there already, since the change with this id."""
        return self.lookup.changes(after)

    # Bytes.

    def read_prefix(self, entry: Entry) -> Head:
        """All of a block but its pictures. Raises BadBlock if it is damaged or another than the index says, Gone."""
        with self.files.use(entry.segment) as segment:
            data = segment.read(entry.offset, min(_FIRST_READ, entry.nbytes))
            prefix = sizes(data).prefix
            if prefix > len(data):
                data += segment.read(entry.offset + len(data), min(prefix, entry.nbytes) - len(data))
        head = Head.parse(data)
        if (head.steps, head.block_bytes) != (entry.steps, entry.nbytes):
            found = f"{head.steps} steps in {head.block_bytes} bytes"
            raise BadBlock("block", found, f"{entry.steps} in {entry.nbytes}, as the index says", entry.offset)
        return head

    def read(self, entry: Entry, begin: int, stop: int) -> bytes:
        """Bytes of a block, counted from its start; what `Head.span` asks for. Raises BadBlock, Gone."""
        with self.files.use(entry.segment) as segment:
            return segment.read(entry.offset + begin, stop - begin)

    def read_block(self, entry: Entry) -> Block:
        """All of a block. Raises BadBlock, Gone."""
        return read_block(self.read(entry, 0, entry.nbytes))

    def close(self) -> None:
        """Write through what is left, and let go of files and lock; may be called twice."""
        with self._writing:
            if self._closed:
                return
            self._closed = True
        if self._housekeeping is not None:
            self._housekeeping.close()
        self.lookup.close()
        try:
            if self._writer is not None:
                with self._writing:
                    self._finish(self._writer)
        finally:
            self.files.close()
            if self._lock is not None:
                self._lock.release()

    def _finish(self, writer: Writer) -> None:
        try:
            writer.close()
        finally:
            writer.abandon()
            writer.catalog.database.close()

    def _writable(self) -> Writer:
        self._check_open()
        if self._writer is None:
            raise Unwritable(f"buffer {self.folder} was opened with read_only=True; allowed: reading; open it without")
        return self._writer

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"buffer {self.folder} is closed; open it again")
