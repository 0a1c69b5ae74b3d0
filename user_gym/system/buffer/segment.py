"""One file of blocks that only grows at its end. It knows bytes and blocks' heads, no index.

A segment begins with 64 bytes of its own; blocks follow, each at a multiple of 64. What was written last may be torn by a kill
or a power cut; `scan` says so.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from user_gym.errors import BadBlock, Closed, WrongRun
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.prefix import ALIGNMENT, HEAD, MAGIC, Bytes, sizes

SEGMENT_MAGIC, SEGMENT_VERSION = b"UGS1", 1
FIRST = ALIGNMENT  # offset of the first block
SEGMENT_HEAD = struct.pack("<4sHH56x", SEGMENT_MAGIC, SEGMENT_VERSION, 0)
_VECTORS = 1024  # IOV_MAX of Linux
_CAN_ADVISE = hasattr(os, "posix_fadvise")
_PIECE = 1 << 20  # bytes read at once while looking for the next block behind a damaged one


class Found(NamedTuple):
    """What lies at an offset of a segment."""

    offset: int
    nbytes: int
    head: Head | None  # None: no sound block
    reason: str  # why not; "" where it is sound


class Segment:
    """An open segment. Appended to by one thread; read by any number. Build it with `create` or `open`."""

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._size = size
        self._tells = hasattr(os, "RWF_NOWAIT")  # whether a read would have to wait: not every file system does

    @classmethod
    def create(cls, path: Path) -> Segment:
        """A new segment that can be appended to. Its name survives a power cut once its folder is synced: see `sync`.

        Raises:
            FileExistsError: there is a file already.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        segment = cls(path, descriptor, 0)
        try:
            segment.append(SEGMENT_HEAD)
        except BaseException:  # a full disk: each try would leave another file
            segment.close()
            path.unlink()
            raise
        return segment

    @classmethod
    def open(cls, path: Path, *, write: bool = False) -> Segment:
        """An existing one. Its head is not looked at: who knows where a block lies needs no more. Raises FileNotFoundError."""
        descriptor = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
        return cls(path, descriptor, os.fstat(descriptor).st_size)

    @property
    def size(self) -> int:
        """Bytes of the file, as far as this object knows: those it found and those it appended."""
        return self._size

    @property
    def is_deleted(self) -> bool:
        """Whether the file has no name any more, and is on the disk only because it is open."""
        return not os.fstat(self._open()).st_nlink

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def check(self) -> None:
        """Raise BadBlock unless it begins as segments of this version do."""
        head = os.pread(self._open(), FIRST, 0)
        if len(head) < FIRST or head[:6] != SEGMENT_HEAD[:6]:
            allowed = f"{SEGMENT_MAGIC!r}, version {SEGMENT_VERSION}, {FIRST} bytes"
            raise BadBlock(f"head of segment {self.path}", head[:6], allowed, 0)

    def mend(self) -> None:
        """Write the head, which is the same for all, over a damaged one.

        Raises:
            WrongRun: it says another version, and no block here is of this one.
        """
        head = os.pread(self._open(), FIRST, 0)
        if head[:4] == SEGMENT_MAGIC and self._size > FIRST and not any(found.head for found in self.scan()):
            version = int.from_bytes(head[4:6], "little")
            if version != SEGMENT_VERSION:
                raise WrongRun(
                    f"segment {self.path} is of version {version}; allowed: {SEGMENT_VERSION}; "
                    "open it with the version of user-gym that made it"
                )
        os.pwrite(self._open(), SEGMENT_HEAD, 0)
        self._size = max(self._size, FIRST)

    def append(self, data: Bytes) -> int:
        """Write a block behind the last; returns its offset. It survives a kill of the process, and a power cut after `sync`.

        Raises:
            OSError: the disk is full or gone; the segment is then as it was before.
        """
        descriptor, offset, view = self._open(), self._size, memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view):
                done += os.pwrite(descriptor, view[done:], offset + done)
        except OSError:
            if done:
                os.ftruncate(descriptor, offset)
            raise
        self._size = offset + len(view)
        return offset

    def sync(self) -> None:
        """Wait until all that was appended would survive a power cut; the file's name is its folder's."""
        os.fdatasync(self._open())

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from an offset. Raises BadBlock if the file ends before."""
        data = os.pread(self._open(), size, offset)
        if len(data) == size:
            return data
        data = bytearray(size)  # the kernel gave a part, or the file is too short
        self.readv(offset, [data])
        return bytes(data)

    def readv(self, offset: int, buffers: Sequence[Any]) -> None:
        """Fill writable buffers, one after the other, with the bytes from an offset; arrays have to be contiguous.

        The kernel copies straight into them, without the GIL.

        Raises:
            BadBlock: the file ends before they are full.
        """
        left = [memoryview(buffer).cast("B") for buffer in buffers if memoryview(buffer).nbytes]
        at = offset
        while left:
            count = os.preadv(self._open(), left[:_VECTORS], at)
            if count == 0:
                missing = sum(map(len, left))
                raise BadBlock(f"end of segment {self.path}", at, f"{missing} bytes more", at, "its end is torn off")
            at += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]

    def scatter(self, offset: int, pieces: Sequence[Any]) -> None:
        """As `readv`, for writable contiguous arrays, all of them with bytes: the least work that a read can be."""
        if len(pieces) > _VECTORS or os.preadv(self._open(), pieces, offset) != sum([piece.nbytes for piece in pieces]):
            self.readv(offset, pieces)

    def scatter_held(self, offset: int, pieces: Sequence[Any]) -> bool:
        """As `scatter` where the bytes are in the page cache; else they are on their way from now on, and False.

        More arrays than the kernel takes at once are waited for.
        """
        if self._tells and len(pieces) <= _VECTORS:
            size = sum([piece.nbytes for piece in pieces])
            try:
                if os.preadv(self._open(), pieces, offset, os.RWF_NOWAIT) == size:
                    return True
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                self._tells = False
            if self._tells:
                self.expect(offset, size)
                return False
        self.scatter(offset, pieces)
        return True

    def expect(self, offset: int, size: int) -> None:
        """These bytes will be read soon: the kernel begins to bring them, and nobody waits."""
        if _CAN_ADVISE:
            os.posix_fadvise(self._open(), offset, size, os.POSIX_FADV_WILLNEED)

    def expect_disorder(self) -> None:
        """What is read here lies anywhere: the kernel need not bring what comes after it."""
        if _CAN_ADVISE:
            os.posix_fadvise(self._open(), 0, 0, os.POSIX_FADV_RANDOM)

    def head(self, offset: int) -> Head:
        """The head of the block at an offset. Raises BadBlock."""
        prefix, block = sizes(self.read(offset, HEAD.size))
        if offset + block > self._size:  # or another object has appended since this one was made
            end = os.fstat(self._open()).st_size
            if offset + block > end:
                raise BadBlock("size of the block", block, f"{end - offset}, up to the end of {self.path}", offset)
        return Head.parse(self.read(offset, prefix))

    def scan(self, start: int = FIRST, *, items: bool = False) -> Iterator[Found]:
        """All that lies in the segment from `start`, in order; what is no sound block is one piece up to the next that is.

        Args:
            start: offset of a block.
            items: also check the pictures, which reads all bytes of the file.
        """
        at = start
        while at < self._size:
            try:
                head = self.head(at)
            except BadBlock as error:
                end = self._next(at + ALIGNMENT)
                yield Found(at, end - at, None, str(error))
                at = end
                continue
            reason = self._damage(at, head) if items else ""
            yield Found(at, head.block_bytes, None if reason else head, reason)
            at += head.block_bytes

    def truncate(self, offset: int) -> None:
        """Cut off what lies from an offset, as a torn end."""
        os.ftruncate(self._open(), offset)
        self._size = offset

    def close(self) -> None:
        """Let go of the file; may be called twice. Whatever comes after raises Closed."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self) -> int:
        if self._descriptor < 0:
            raise Closed(f"segment {self.path} is closed")
        return self._descriptor

    def _damage(self, offset: int, head: Head) -> str:
        try:
            head.items.verify_all(self.read(offset, head.block_bytes))
        except BadBlock as error:
            return str(error)
        return ""

    def _next(self, at: int) -> int:
        """Offset of the next sound block, or the end of the file."""
        while at < self._size:
            data = self.read(at, min(_PIECE, self._size - at))
            found = data.find(MAGIC)
            while found >= 0:
                if (at + found) % ALIGNMENT == 0 and self._is_sound(at + found):
                    return at + found
                found = data.find(MAGIC, found + 1)
            at += len(data)
        return self._size

    def _is_sound(self, offset: int) -> bool:
        try:
            self.head(offset)
        except BadBlock:
            return False
        return True
