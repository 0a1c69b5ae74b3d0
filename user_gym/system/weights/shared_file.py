"""The file in memory through which one process gives weights to others on the same host: what lies where in it.

    head (4096 bytes) | layout and spec hash, as JSON | slot 0 | slot 1 | ...

Everything in the head is a word of 8 bytes, or is guarded by a lock on a slot. Locks are on bytes of the file, whatever those
hold: WRITER, READER (shared), and SLOT + k: alone to write slot k, shared to read it. A lock orders memory between its holders
on any processor; and because it is the kernel's, it ends with whoever had it.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import U8
from user_gym.errors import BadBlock, BadOption, NoSpace, Unwritable
from user_gym.system.weights.layout import Layout

FOLDER = Path("/dev/shm")
PREFIX = "user-gym-weights-"
WRITER, READER, SLOT = 0, 1, 16  # bytes to lock
MOST_SLOTS = 64

_MAGIC = int.from_bytes(b"UGWSHM01", "little")
HEAD = 4096
_PAGE = mmap.ALLOCATIONGRANULARITY
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Words of the head: magic (written last), whether no more comes, newest slot, number of slots, bytes of the JSON, writer's pid
_MAGIC_AT, _RETIRED_AT, _NEWEST_AT, _SLOTS_AT, _WORDS_AT, _WRITER_AT = range(6)
_RECORDS = 1024  # byte where the slots' records begin
_RECORD = struct.Struct("<qq16s")  # whether it is whole, version, lineage


class Record(NamedTuple):
    """What a slot holds."""

    whole: int
    version: int
    lineage: bytes


def path_of(name: str, folder: Path) -> Path:
    """Of the file. Raises BadOption."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadOption("name of shared weights", name, "1..100 of A-Z a-z 0-9 . _ -, the first a letter or digit")
    return folder / f"{PREFIX}{name}"


def require_private(descriptor: int, path: Path) -> None:
    """Raises Unwritable unless the open file is this user's and nobody else's: a policy would act with what is in it."""
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise Unwritable(
            f"shared weights {path} are of user {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}; allowed: of user "
            f"{os.geteuid()}, who runs this process, with mode 0600; remove the file, or choose another name"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where slots begin, and how long each is."""

    words: bytes  # layout and spec hash
    layout: Layout
    spec_hash: str

    @classmethod
    def of(cls, layout: Layout, spec_hash: str) -> Place:
        """Of weights."""
        return cls(json.dumps([spec_hash, layout.words], separators=(",", ":")).encode(), layout, spec_hash)

    @classmethod
    def parse(cls, words: bytes) -> Place:
        """The inverse of `words`. Raises BadBlock."""
        try:
            spec_hash, layout = json.loads(words)
        except (ValueError, TypeError) as error:
            raise BadBlock("head of shared weights", words, "layout and spec hash") from error
        return cls(words, Layout.parse(layout), str(spec_hash))

    def slot(self, k: int) -> tuple[int, int]:
        """Byte where slot k begins, and its bytes."""
        size = _pages(max(1, self.layout.nbytes))
        return HEAD + _pages(len(self.words)) + k * size, size


class Head:
    """The first page of the file, mapped.

    Args:
        descriptor: of the open file, which is as long as a head at least.
        writable: as the writer has it.
    """

    def __init__(self, descriptor: int, writable: bool) -> None:
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self._page = mmap.mmap(descriptor, HEAD, mmap.MAP_SHARED, access)
        self._words: NDArray[np.int64] = np.frombuffer(self._page, np.int64, _RECORDS // 8)

    @property
    def ready(self) -> bool:
        """Whether the file is complete. Raises BadBlock where it is none of ours."""
        magic = int(self._words[_MAGIC_AT])
        if magic not in (0, _MAGIC):
            raise BadBlock("magic of shared weights", magic.to_bytes(8, "little", signed=True), "UGWSHM01")
        return magic == _MAGIC

    @property
    def writer(self) -> int:
        """Process that has it, or had it last; 0: none yet."""
        return int(self._words[_WRITER_AT])

    @writer.setter
    def writer(self, pid: int) -> None:
        self._words[_WRITER_AT] = pid

    @property
    def retired(self) -> bool:
        """Whether no more will come through this file."""
        return bool(self._words[_RETIRED_AT])

    def retire(self) -> None:
        """Send readers to look for another file."""
        self._words[_RETIRED_AT] = 1

    @property
    def newest(self) -> int:
        """Slot of the newest weights; -1 before the first."""
        return int(self._words[_NEWEST_AT])

    @newest.setter
    def newest(self, k: int) -> None:
        self._words[_NEWEST_AT] = k

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return int(self._words[_SLOTS_AT])

    @slots.setter
    def slots(self, n: int) -> None:
        self._words[_SLOTS_AT] = n

    def record(self, k: int) -> Record:
        """Of slot k; certain only under its lock."""
        return Record(*_RECORD.unpack_from(self._page, _RECORDS + k * _RECORD.size))

    def write_record(self, k: int, record: Record) -> None:
        """Under its lock."""
        _RECORD.pack_into(self._page, _RECORDS + k * _RECORD.size, *record)

    def begin(self, place: Place, descriptor: int) -> None:
        """Make an empty file complete. Raises NoSpace."""
        reserve(descriptor, HEAD + _pages(len(place.words)))
        os.pwrite(descriptor, place.words, HEAD)
        self._words[_RETIRED_AT], self._words[_NEWEST_AT], self._words[_SLOTS_AT] = 0, -1, 0
        self._words[_WORDS_AT] = len(place.words)
        self._words[_MAGIC_AT] = _MAGIC

    def place(self, descriptor: int) -> Place:
        """What the file says. Raises BadBlock."""
        return Place.parse(os.pread(descriptor, int(self._words[_WORDS_AT]), HEAD))


def reserve(descriptor: int, size: int) -> None:
    """Let the file have memory for so many bytes: without it, the first touch would kill the process. Raises NoSpace."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.ENOMEM):
            raise
        raise NoSpace(
            f"shared memory has no room for {size} bytes of weights; allowed: what `df {FOLDER}` shows; give it more (of a "
            f"container: --shm-size), or choose another folder in memory"
        ) from error


def map_slot(descriptor: int, place: Place, k: int, writable: bool) -> U8:
    """Slot k, every page there before it is touched. It stays mapped as long as any array made of it lives."""
    begin, size = place.slot(k)
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return np.frombuffer(mmap.mmap(descriptor, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, access, offset=begin), np.uint8)


def _pages(nbytes: int) -> int:
    return -(-nbytes // _PAGE) * _PAGE
