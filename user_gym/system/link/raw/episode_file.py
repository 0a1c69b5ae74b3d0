"""One raw episode on a disk: blocks in a segment as those of a buffer, under a name that says whether more is to come."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import NamedTuple

from user_gym.errors import Gone
from user_gym.system.buffer.block import Block, read_block
from user_gym.system.buffer.segment import Segment

WHOLE, PART = ".segment", ".part"
_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a block lies."""

    sequence: int
    offset: int
    nbytes: int


class EpisodeFile:
    """Not thread-safe, but `read`. Its blocks are looked up when somebody asks for the first time.

    Args:
        path: it may not be there yet.
        nbytes: that it has.

    Attributes:
        path: now.
        nbytes: that it has now.
    """

    def __init__(self, path: Path, nbytes: int) -> None:
        self.path, self.nbytes = path, nbytes
        self._segment: Segment | None = None  # while it is written
        self._places: dict[int, Place] | None = None

    @property
    def is_whole(self) -> bool:
        """Nothing more comes."""
        return self.path.suffix == WHOLE

    @property
    def is_written(self) -> bool:
        """Whether it is open for that."""
        return self._segment is not None

    @property
    def places(self) -> dict[int, Place]:
        """By sequence, in the order in which they were written."""
        if self._places is None:
            self._places = {}
            if self.nbytes:
                self._places = _found(self.path)
        return self._places

    def append(self, block: Block) -> int:
        """Write a block behind the last. Returns the bytes that the file has more. Raises OSError; it is as before then."""
        segment, before = self._open(), self.nbytes
        try:
            offset = segment.append(block.data)
        except OSError:
            if not before:
                self.remove()
            raise
        self.places[block.head.sequence] = Place(block.head.sequence, offset, len(block.data))
        self.nbytes = segment.size
        return self.nbytes - before

    def finish(self) -> None:
        """Nothing more comes: all of it survives a power cut from now on."""
        segment = self._open()
        segment.sync()
        self.nbytes = segment.size
        self.close()
        path = self.path.with_suffix(WHOLE)
        self.path.rename(path)
        self.path = path
        _sync(path.parent)

    def read(self, place: Place) -> Block:
        """A block, every byte of it checked. From any thread. Raises BadBlock, Gone."""
        try:
            with Segment.open(self.path) as segment:
                block = read_block(segment.read(place.offset, place.nbytes))
        except FileNotFoundError as error:  # removed, or finished, since
            raise Gone(f"{self.path} is not there any more; ask again") from error
        block.head.items.verify_all(block.data)
        return block

    def remove(self) -> None:
        """Delete it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it. May be called twice."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()

    def _open(self) -> Segment:
        if self._segment is None and self.nbytes:
            self._segment = Segment.open(self.path, write=True)
            self._segment.mend()
            _cut(self._segment)
        elif self._segment is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)  # a kill may leave one without a byte
            self._segment = Segment.create(self.path)
        return self._segment


def _found(path: Path) -> dict[int, Place]:
    places: dict[int, Place] = {}
    with Segment.open(path) as segment:
        for found in segment.scan():
            if found.head is None:
                _log.error("%s is damaged at byte %s: %s", path, found.offset, found.reason)
                continue
            places[found.head.sequence] = Place(found.head.sequence, found.offset, found.nbytes)
    return places


def _cut(segment: Segment) -> None:
    """What a kill left of the last block goes: its append never returned."""
    for found in list(segment.scan()):
        if found.head is None and found.offset + found.nbytes == segment.size:
            segment.truncate(found.offset)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
