"""One file of blocks that only grows at its end. It knows bytes and blocks' heads, no index.

A segment begins with 64 bytes of its own; blocks follow, each at a multiple of 64. What was written last may be torn by a kill
or a power cut; `scan` says so.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from user_gym.errors import BadBlock, Closed
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.prefix import ALIGNMENT, HEAD, MAGIC, Bytes, sizes

SEGMENT_MAGIC, SEGMENT_VERSION = b"UGS1", 1
FIRST = ALIGNMENT  # offset of the first block
SEGMENT_HEAD = struct.pack("<4sHH56x", SEGMENT_MAGIC, SEGMENT_VERSION, 0)
_VECTORS = 1024  # IOV_MAX of Linux
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

    @classmethod
    def create(cls, path: Path) -> Segment:
        """A new segment that can be appended to. Its name survives a power cut once its folder is synced: see `sync`.

        Raises:
            FileExistsError: there is a file already.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        segment = cls(path, descriptor, 0)
        segment.append(SEGMENT_HEAD)
        return segment

    @classmethod
    def open(cls, path: Path, *, write: bool = False) -> Segment:
        """An existing segment. Raises BadBlock if it is none, FileNotFoundError."""
        descriptor = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
        segment = cls(path, descriptor, os.fstat(descriptor).st_size)
        try:
            head = os.pread(descriptor, FIRST, 0)
            if len(head) < FIRST or head[:6] != SEGMENT_HEAD[:6]:
                allowed = f"{SEGMENT_MAGIC!r}, version {SEGMENT_VERSION}, {FIRST} bytes"
                raise BadBlock(f"head of segment {path}", head[:6], allowed, 0)
        except BaseException:
            segment.close()
            raise
        return segment

    @property
    def size(self) -> int:
        """Bytes of the file, as far as this object knows: those it found and those it appended."""
        return self._size

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

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
        """As `readv`, for few writable contiguous arrays, all of them with bytes: the least work that a read can be."""
        if os.preadv(self._descriptor, pieces, offset) != sum([piece.nbytes for piece in pieces]):
            self.readv(offset, pieces)

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
            head.verify_all(self.read(offset, head.block_bytes))
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
