"""Raw episodes on a disk, a file each, bounded: the oldest leave whole.

    EDGE/ROBOT/00000012.segment   blocks of the group "raw", in a segment as those of a buffer: docs/format.md
    EDGE/ROBOT/00000013.part      the same, of which more is to come
    lock                          held by the one process that writes

An edge has one of what its robots record, a hub and an operator one each of what they fetched. It knows no network.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from user_gym.core import Chunk, whole
from user_gym.errors import BadOption, Closed, Gone, NoSpace, UnknownName, Unwritable
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.lock import WriterLock
from user_gym.system.buffer.writer import explained
from user_gym.system.link.identity import names
from user_gym.system.link.raw.episode_file import PART, WHOLE, EpisodeFile, Place
from user_gym.system.link.raw.recorded import Recorded

RAW = "raw"  # the group of its blocks
MOST_BYTES = 64 << 30
SPARE_BYTES = 1 << 30  # that stay free on the disk, for what matters more: the spool of what has to travel
_SHOWN = 6  # episodes that an error names
_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """An episode that is here."""

    source: str  # "EDGE/ROBOT"
    episode: int
    nbytes: int
    whole: bool  # nothing more comes


class Archive:
    """Thread-safe. Build it with `Archive.open`."""

    def __init__(self, folder: Path, lock: WriterLock | None, most_bytes: int | None, spare_bytes: int) -> None:
        self.folder = folder
        self._lock, self._most_bytes, self._spare_bytes = lock, most_bytes, spare_bytes
        self._mutex = RLock()
        self._files: dict[tuple[str, int], EpisodeFile] = {}  # the oldest first
        self._nbytes = 0
        self._closed = False

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        most_bytes: int | None = MOST_BYTES,
        spare_bytes: int = SPARE_BYTES,
        read_only: bool = False,
    ) -> Archive:
        """The archive in a folder, made if it is not there. After a kill it goes on with all blocks that were appended.

        Args:
            folder: its files belong to nobody else.
            most_bytes: of all files; above it the oldest episodes leave. None: none ever leaves by itself.
            spare_bytes: that stay free on the disk; for them the oldest episodes leave, too.
            read_only: for who looks at it beside the process that writes, and sees what there was when it was opened.

        Raises:
            Busy: another process writes it.
            Unwritable: the folder may not be written, or (read-only) is not there.
        """
        most_bytes = None if most_bytes is None else whole("most_bytes", most_bytes, 1)
        whole("spare_bytes", spare_bytes, 0)
        if read_only and not folder.is_dir():
            raise Unwritable(f"there is no archive {folder}; allowed: one that was written; open it without read_only")
        if not read_only:
            with explained(folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = cls(folder, None if read_only else WriterLock.take(folder), most_bytes, spare_bytes)
        made._load()
        return made

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Writing.

    def begin(self, source: str, episode: int) -> None:
        """An episode is recorded from now on. One of the same number gives way: it was killed before any of it had left."""
        with self._mutex:
            self._writable()
            if (source, episode) in self._files:
                self._remove((source, episode))

    def append(self, block: Block) -> bool:
        """Keep a block of an episode that is not whole; False: one of this sequence is here already.

        Raises:
            BadOption: it is not raw, its source is none, or its episode is whole.
            NoSpace: there is no room even without the other episodes; nothing of it was kept.
            Closed: after close.
        """
        head, nbytes = block.head, len(block.data)
        key = (head.source, head.episode)
        edge, _, robot = head.source.partition("/")
        if head.group != RAW or not (names.is_name(edge) and names.is_name(robot)):
            raise BadOption("block of an archive", (head.group, head.source), f"of the group {RAW!r}, from EDGE/ROBOT")
        with self._mutex:
            self._writable()
            file = self._files.get(key)
            if file is not None and file.is_whole:
                raise BadOption("episode", f"{head.episode} of {head.source}", "one of which more is to come")
            if file is not None and head.sequence in file.places:
                return False
            with explained(self.folder):
                self._make_room(nbytes, key)
                file = file or EpisodeFile(self.folder / head.source / f"{head.episode:08d}{PART}", 0)
                self._nbytes += file.append(block)
            self._files[key] = file
            return True

    def finish(self, source: str, episode: int) -> None:
        """Nothing more comes: what is here of it survives a power cut from now on."""
        with self._mutex:
            self._writable()
            file = self._files.get((source, episode))
            if file is None or file.is_whole:
                return
            if not file.places:  # killed before its first block was
                return self._remove((source, episode))
            self._nbytes -= file.nbytes
            with explained(self.folder):
                file.finish()
            self._nbytes += file.nbytes

    def settle(self, source: str | None = None) -> None:
        """Episodes of which a killed process left a part are over, those of one source or all: nobody goes on with them."""
        for kept in self.episodes(source):
            self.finish(kept.source, kept.episode)

    # Reading.

    @property
    def nbytes(self) -> int:
        """Of all files."""
        with self._mutex:
            return self._nbytes

    def episodes(self, source: str | None = None) -> tuple[Kept, ...]:
        """Those that are here, the oldest first: of one source, or all."""
        with self._mutex:
            return tuple(
                Kept(name, episode, file.nbytes, file.is_whole)
                for (name, episode), file in self._files.items()
                if source in (None, name)
            )

    def is_whole(self, source: str, episode: int) -> bool:
        """Whether all that there will be of an episode is here."""
        with self._mutex:
            file = self._files.get((source, episode))
            return file is not None and file.is_whole

    def places(self, source: str, episode: int) -> tuple[Place, ...]:
        """The blocks of an episode, in the order in which they were written. Raises UnknownName."""
        with self._mutex:
            return tuple(self._found(source, episode).places.values())

    def read(self, source: str, episode: int, sequence: int) -> Block:
        """One block, every byte of it checked. Raises UnknownName, Gone, BadBlock."""
        with self._mutex:
            file = self._found(source, episode)
            place = file.places.get(sequence)
        if place is None:
            raise Gone(f"episode {episode} of {source} has no block {sequence} in {self.folder}")
        return file.read(place)

    def chunks(self, source: str, episode: int) -> Iterator[Chunk]:
        """What was recorded: in each chunk one stream for a second or so, its samples in `extra`, their moments in `time`."""
        for place in self.places(source, episode):
            yield self.read(source, episode, place.sequence).chunk()

    def stream(self, source: str, episode: int, name: str) -> Recorded:
        """All samples of one stream of an episode, in memory. Raises UnknownName."""
        return Recorded.of(self.chunks(source, episode), name)

    def close(self) -> None:
        """Let go of the files. May be called twice."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            for file in self._files.values():
                file.close()
            if self._lock is not None:
                self._lock.release()

    def _found(self, source: str, episode: int) -> EpisodeFile:
        self._check_open()
        file = self._files.get((source, episode))
        if file is not None:
            return file
        known = [number for name, number in self._files if name == source]
        if not known:
            cure = "nothing was recorded of it, or all had to leave"
            raise UnknownName("source of raw episodes", source, {name for name, _ in self._files}, cure)
        shown = [str(n) for n in known] if len(known) <= _SHOWN else [f"{known[0]} .. {known[-1]} ({len(known)} of them)"]
        raise UnknownName(f"raw episode of {source}", episode, shown, "it was never recorded, or the oldest had to leave")

    def _make_room(self, nbytes: int, key: tuple[str, int]) -> None:
        """The oldest episodes leave, but not the one that is written."""
        while lacking := self._lacking(nbytes):
            others = (other for other, file in self._files.items() if other != key and not file.is_written)
            oldest = None if self._most_bytes is None else next(others, None)
            if oldest is None:
                raise NoSpace(
                    f"no room for {nbytes} bytes more of episode {key[1]} of {key[0]} in {self.folder}: {lacking}; "
                    "allow more bytes, or free some"
                )
            _log.info("raw episode %s of %s leaves: %s", oldest[1], oldest[0], lacking)
            self._remove(oldest)

    def _lacking(self, nbytes: int) -> str:
        """Why so many bytes may not be added; "" where they may."""
        if self._most_bytes is not None and self._nbytes + nbytes > self._most_bytes:
            return f"it has {self._nbytes} of {self._most_bytes} bytes"
        free = shutil.disk_usage(self.folder).free
        return f"{free} bytes are free, {self._spare_bytes} stay so" if free < self._spare_bytes + nbytes else ""

    def _remove(self, key: tuple[str, int]) -> None:
        file = self._files.pop(key)
        file.remove()
        self._nbytes -= file.nbytes

    def _load(self) -> None:
        found: list[tuple[float, tuple[str, int], EpisodeFile]] = []
        for path in self.folder.glob("*/*/*"):
            source = "/".join(path.parts[-3:-1])
            if path.suffix in (WHOLE, PART) and path.stem.isdecimal():
                status = path.stat()
                found.append((status.st_mtime, (source, int(path.stem)), EpisodeFile(path, status.st_size)))
        self._files = {key: file for _, key, file in sorted(found, key=lambda row: row[:2])}
        self._nbytes = sum(file.nbytes for file in self._files.values())

    def _writable(self) -> None:
        self._check_open()
        if self._lock is None:
            raise Unwritable(f"archive {self.folder} was opened with read_only=True; allowed: reading; open it without")

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"archive {self.folder} is closed; open it again")
