"""Weights that another process on the same host publishes, read where they lie: no copy, no message, no wait."""

from __future__ import annotations

import contextlib
import os
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from user_gym.core import Weights
from user_gym.core.arrays import U8
from user_gym.errors import Closed, Unwritable
from user_gym.system.weights import locks
from user_gym.system.weights.image import Image
from user_gym.system.weights.shared_file import (
    FOLDER,
    HEAD,
    READER,
    SLOT,
    Head,
    Place,
    Record,
    map_slot,
    path_of,
    require_private,
)

_TRIES = 100  # each fails only if the publisher went once round all slots since the look before


@dataclass(slots=True)
class _File:
    """What is mapped of a publisher's file. The lock that says so ends with the last of it."""

    descriptor: int
    head: Head
    place: Place
    slots: dict[int, U8] = field(default_factory=dict)
    idle: list[int] = field(default_factory=list)  # the same file, open once more each, for locks on slots; none is held
    closed: bool = False

    def lock(self) -> int:
        """Where to take a lock that is independent of all others."""
        try:
            return self.idle.pop()  # whoever drops the last array of a slot puts one back, in whatever thread
        except IndexError:
            return locks.again(self.descriptor, os.O_RDONLY)

    def give_back(self, lock: int, k: int) -> None:
        """Nobody reads slot k by this lock any more."""
        locks.release(lock, SLOT + k)
        self.idle.append(lock)
        if self.closed:
            self.close_idle()

    def close(self) -> None:
        """Locks that are held stay so until their arrays are gone."""
        self.closed = True
        os.close(self.descriptor)
        self.close_idle()

    def close_idle(self) -> None:
        """Close what nobody uses; two threads may do so at once."""
        with contextlib.suppress(IndexError):
            while True:
                os.close(self.idle.pop())


class SharedSubscriber:
    """A `Subscriber` of whatever publishes under a name, now or later, also after it was restarted.

    The arrays it hands out are the publisher's memory, read-only. A policy that copies them and lets go keeps that to two
    slots; one that acts with them as they are costs one more.

    Args:
        name: as the publisher's.
        folder: as the publisher's.
    """

    def __init__(self, name: str, *, folder: Path = FOLDER) -> None:
        self._name, self._path = name, path_of(name, folder)
        self._file: _File | None = None
        self._given: Record | None = None
        self._closed = False

    def newest(self, than: int = -1) -> Weights | None:
        """As `Subscriber.newest`.

        Raises:
            BadBlock: there is a file of this name that is none of ours.
            Unwritable: it is another user's, or others may write it.
            Closed: after close.
        """
        if self._closed:
            raise Closed(f"shared weights {self._name!r} are closed")
        if self._file is not None and self._file.head.retired:
            self._detach()
        if self._file is None:
            self._file = self._attached()
        file = self._file
        if file is None or file.head.newest < 0 or not self._is_news(file.head.record(file.head.newest), than):
            return None
        lock = file.lock()
        found = _lock_newest(file.head, lock)
        if found is None:
            file.idle.append(lock)
            return None
        k, record = found
        if not self._is_news(record, than):
            file.give_back(lock, k)
            return None
        if k not in file.slots:
            file.slots[k] = map_slot(file.descriptor, file.place, k, False)
        # Behind a memoryview this array lives exactly as long as any made of it (see `Slot.lend`), and so does its lock.
        flat = np.frombuffer(file.slots[k].data, np.uint8, file.place.layout.nbytes)
        weakref.finalize(flat, file.give_back, lock, k)
        self._given = record
        return Weights(record.version, Image(file.place.layout, flat), file.place.spec_hash)

    def _is_news(self, record: Record, than: int) -> bool:
        return record.version > than or (self._given is not None and record.lineage != self._given.lineage)

    def _attached(self) -> _File | None:
        """The publisher's file, if it is there and complete."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise Unwritable(f"shared weights {self._name!r} are another user's: {error}; choose another name") from error
        try:
            require_private(descriptor, self._path)
            if os.fstat(descriptor).st_size >= HEAD and locks.take(descriptor, READER, shared=True):
                head = Head(descriptor, writable=False)
                if head.ready and not head.retired:
                    file = _File(descriptor, head, head.place(descriptor))
                    descriptor = -1
                    return file
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _detach(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def close(self) -> None:
        """Let go of the memory; arrays that are still held stay. May be called twice."""
        self._detach()
        self._closed = True

    def __enter__(self) -> SharedSubscriber:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _lock_newest(head: Head, lock: int) -> tuple[int, Record] | None:
    """The newest slot, locked against being written, and what it holds; None: look again at the next step."""
    for _ in range(_TRIES):
        k = head.newest
        if locks.take(lock, SLOT + k, shared=True):
            record = head.record(k)
            if record.whole:
                return k, record
            locks.release(lock, SLOT + k)
    return None
