"""Blocks that the hub has not acknowledged yet, on the edge's own disk: what is in here outlives outages and kills.

    NUMBER.segment   blocks in the order in which they are sent, in segments as those of a buffer
    name             of this spool, drawn once: two that come to a hub as one edge are told apart
    numbers.json     by source the first episode that was never used, for when its blocks have left
    refused.segment  blocks that the hub does not take, for a person to look at

It knows no network and no hub.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Condition, Lock
from typing import NamedTuple

from user_gym.core import whole
from user_gym.errors import BadBlock, BadOption, Closed
from user_gym.system.buffer.block import Block, read_block
from user_gym.system.buffer.files import sync
from user_gym.system.buffer.lock import WriterLock
from user_gym.system.buffer.segment import FIRST, Segment
from user_gym.system.buffer.writer import explained
from user_gym.system.link.edge.episodes import Episodes
from user_gym.system.link.edge.spool_name import drawn_once
from user_gym.system.link.wire.words import Key

MOST_BYTES = 8 << 30
SEGMENT_BYTES = 16 << 20
_REFUSED, _ENDING = "refused.segment", ".segment"
_log = logging.getLogger(__name__)


class Spooled(NamedTuple):
    """A block that waits."""

    number: int  # grows in the order of appends
    key: Key
    steps: int
    segment: int
    offset: int
    nbytes: int


class Spool:
    """Thread-safe. Build it with `Spool.open`.

    Attributes:
        name: of this spool and no other, 32 hexadecimal digits.
    """

    def __init__(self, folder: Path, lock: WriterLock, most_bytes: int, segment_bytes: int, durable: bool) -> None:
        self.name = ""
        self._folder, self._lock, self._durable = folder, lock, durable
        self._most_bytes, self._segment_bytes = most_bytes, segment_bytes
        self._appending = Lock()  # taken before the other; held while a block is synced, for which nobody else has to wait
        self._changed = Condition()
        self._segments: dict[int, Segment] = {}  # the last is appended to
        self._waiting: dict[int, Spooled] = {}
        self._numbers: dict[Key, int] = {}
        self._left: dict[int, int] = {}  # segment -> blocks of it that wait, or are being synced
        self._first = self._next = 0
        self._episodes = Episodes(folder, durable)
        self._nbytes = self._steps = 0
        self._closed = False

    @classmethod
    def open(
        cls, folder: Path, *, most_bytes: int = MOST_BYTES, segment_bytes: int = SEGMENT_BYTES, durability: str = "power"
    ) -> Spool:
        """The spool in a folder, made if it is not there. After a kill it goes on with all that was appended.

        Args:
            folder: of one edge.
            most_bytes: of blocks that wait; with so many, appends wait for room.
            segment_bytes: after so many a new file begins, and an old one can leave.
            durability: what an append survives: "power", a power cut; "kill", the death of the process.

        Raises:
            Busy: another process has it.
            Unwritable: the folder may not be written.
        """
        most_bytes, segment_bytes = whole("most_bytes", most_bytes, 1), whole("segment_bytes", segment_bytes, 1)
        if durability not in ("power", "kill"):
            raise BadOption("durability", durability, "power or kill")
        with explained(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = WriterLock.take(folder)
        made = cls(folder, lock, most_bytes, segment_bytes, durability == "power")
        try:
            with explained(folder):
                made._load()
        except BaseException:
            made.close()
            raise
        return made

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def append(self, block: Block, timeout: float | None = None, beyond: bool = False) -> None:
        """Keep a block, waiting for room; it is safe when this returns. One that is here already is not kept twice.

        Args:
            block: of a robot of this edge.
            timeout: s; None: as long as it takes.
            beyond: do not wait, whatever is here already: it would be lost.

        Raises:
            TimeoutError: there is no room after `timeout` s.
            BadOption: the block alone is larger than the spool.
            NoSpace: the disk is full; nothing was kept.
            Closed: after close.
        """
        if len(block.data) > self._most_bytes:
            raise BadOption("bytes of a block", len(block.data), f"{self._most_bytes}, the size of the spool")
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._appending:
            with self._changed:
                while not (beyond or self._closed or self._nbytes + len(block.data) <= self._most_bytes):
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        raise TimeoutError(f"the spool is full: {self._nbytes} of {self._most_bytes} bytes wait for the hub")
                    self._changed.wait(left)
                self._check_open()
                key = Key.of(block.head)
                if key in self._numbers:
                    return
                with explained(self._folder):
                    self._episodes.reserve()
                    number, segment = self._active()
                    offset = segment.append(block.data)
                self._left[number] += 1
            try:
                with explained(self._folder):
                    if self._durable:
                        segment.sync()
            except BaseException:
                with self._changed:
                    self._left[number] -= 1
                    segment.truncate(offset)
                raise
            with self._changed:
                self._enter(key, block.head.steps, number, offset, len(block.data))
                self._changed.notify_all()

    def after(self, number: int) -> tuple[Spooled, Block] | None:
        """The first block behind `number` (-1: of all) that waits; None: there is none.

        A block that is damaged is reported, leaves, and the next one is returned.
        """
        while True:
            with self._changed:
                self._check_open()
                found = next((n for n in range(max(number + 1, self._first), self._next) if n in self._waiting), None)
                if found is None:
                    return None
                spooled = self._waiting[found]
                data = self._segments[spooled.segment].read(spooled.offset, spooled.nbytes)
            try:
                return spooled, read_block(data)
            except BadBlock as error:
                _log.error("a block of %s in spool %s is damaged and cannot be sent: %s", spooled.key, self._folder, error)
                self.acknowledge(spooled.key)

    def acknowledge(self, key: Key) -> bool:
        """The hub has it: it need not be kept any more; whether it was here."""
        with self._changed:
            self._check_open()
            number = self._numbers.pop(key, None)
            if number is None:
                return False
            spooled = self._waiting.pop(number)
            self._nbytes, self._steps = self._nbytes - spooled.nbytes, self._steps - spooled.steps
            self._first = next(iter(self._waiting), self._next)
            self._left[spooled.segment] -= 1
            self._tidy(spooled.segment)
            self._changed.notify_all()
            return True

    def acknowledge_up_to(self, source: str, episode: int, sequence: int) -> None:
        """The hub has all of a source up to this block, for they are sent in order."""
        with self._changed:
            keys = [key for key in self._numbers if key.source == source and key[1:] <= (episode, sequence)]
            self._episodes.used(source, episode)
        for key in keys:
            self.acknowledge(key)

    def set_aside(self, key: Key) -> None:
        """The hub will never take it: it goes to `refused.segment`."""
        with self._changed:
            self._check_open()
            number = self._numbers.get(key)
            if number is None:
                return
            spooled, path = self._waiting[number], self._folder / _REFUSED
            data = self._segments[spooled.segment].read(spooled.offset, spooled.nbytes)
            with explained(self._folder), Segment.open(path, write=True) if path.exists() else Segment.create(path) as aside:
                aside.append(data)
                aside.sync()
            self.acknowledge(key)

    def next_episode(self, source: str) -> int | None:
        """Above all episodes of a source that were ever in here; None: it never had any."""
        with self._changed:
            return self._episodes.next(source)

    @property
    def nbytes(self) -> int:
        """Of the blocks that wait. It waits for nothing, as `steps`."""
        return self._nbytes

    @property
    def steps(self) -> int:
        """Of the blocks that wait."""
        return self._steps

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    def close(self) -> None:
        """Let go of the files. May be called twice; whoever waits gets Closed."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        with self._appending, self._changed:
            for segment in self._segments.values():
                segment.close()
            self._lock.release()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"spool {self._folder} is closed")

    def _active(self) -> tuple[int, Segment]:
        number = max(self._segments, default=-1)
        if number >= 0 and self._segments[number].size < self._segment_bytes:
            return number, self._segments[number]
        segment = self._segments[number + 1] = Segment.create(self._path(number + 1))
        self._left[number + 1] = 0
        if self._durable:
            sync(self._folder)  # its name
        if number >= 0:
            self._tidy(number)
        return number + 1, segment

    def _enter(self, key: Key, steps: int, segment: int, offset: int, nbytes: int) -> None:
        self._waiting[self._next] = Spooled(self._next, key, steps, segment, offset, nbytes)
        self._numbers[key] = self._next
        self._next += 1
        self._nbytes, self._steps = self._nbytes + nbytes, self._steps + steps
        self._episodes.used(key.source, key.episode)

    def _tidy(self, number: int) -> None:
        """Free the bytes of a segment of which nothing waits; of the last one when that is worth the trouble."""
        segment = self._segments[number]
        last = number == max(self._segments)
        if self._left[number] or (last and segment.size < max(self._segment_bytes // 4, 2 * FIRST)):
            return
        self._episodes.write()  # first: what is forgotten here would be used again
        if last:
            segment.truncate(FIRST)
        else:
            segment.close()
            self._path(number).unlink()
            del self._segments[number], self._left[number]

    def _load(self) -> None:
        self._episodes.load()
        self.name = drawn_once(self._folder, self._durable)
        for number, path in sorted(self._files()):
            segment = self._segments[number] = Segment.open(path, write=True)
            self._left[number] = 0
            segment.mend()
            for found in list(segment.scan()):
                if found.head is not None:
                    self._left[number] += 1
                    self._enter(Key.of(found.head), found.head.steps, number, found.offset, found.nbytes)
                elif found.offset + found.nbytes == segment.size:
                    segment.truncate(found.offset)  # torn by a kill: its append never returned
                else:
                    _log.error("%s is damaged at byte %s: %s", path, found.offset, found.reason)

    def _files(self) -> Iterator[tuple[int, Path]]:
        for path in self._folder.glob(f"*{_ENDING}"):
            if path.stem.isdecimal():
                yield int(path.stem), path

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}{_ENDING}"
