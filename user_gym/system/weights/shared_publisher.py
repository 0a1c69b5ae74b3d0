"""Gives weights to any number of processes on the same host, by one copy into memory that all see.

Nothing is torn and nobody waits: who reads a slot has a lock on it, and the publisher writes into one that nobody has. A
publisher that is killed leaves the weights before, and the next one of the same name goes on in the same memory.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Weights
from user_gym.errors import Busy, Closed, Unwritable
from user_gym.system.cap.memory import MemoryCopier
from user_gym.system.weights import locks
from user_gym.system.weights.arena import Copy, Slot
from user_gym.system.weights.layout import Layout
from user_gym.system.weights.numbering import Numbering
from user_gym.system.weights.shared_file import (
    FOLDER,
    HEAD,
    MOST_SLOTS,
    PREFIX,
    READER,
    SLOT,
    WRITER,
    Head,
    Place,
    Record,
    map_slot,
    path_of,
    require_private,
    reserve,
)  # fmt: skip

_PATIENCE = 1.0  # s; who looks for what the dead left has a lock for microseconds
_AGAIN = 0.005  # s


class SharedPublisher:
    """A `Publisher` to every `SharedSubscriber` of the same name.

    Args:
        name: of the memory, unique on this host; letters, digits and . _ -.
        version: of the last weights published before, as on resume; -1 for none.
        folder: a file system in memory.
        copier: copies under its cap, and `publish` lasts as long as that takes: call it in a thread of its own (`Relay`).
            It is the caller's to open and to close. None: a plain copy.
    """

    def __init__(self, name: str, *, version: int = -1, folder: Path = FOLDER, copier: MemoryCopier | None = None) -> None:
        self._name, self._path = name, path_of(name, folder)
        self._numbering = Numbering(version)
        self._lineage = os.urandom(16)
        self._descriptor = -1
        self._place: Place | None = None  # once something is published
        self._slots: list[Slot] = []
        self._slot: Slot | None = None  # of the newest that this object published
        self._publishing = Lock()
        self._copy = np.copyto if copier is None else _capped(copier)

    def open(self) -> SharedPublisher:
        """Take the name; and remove memory of other names that nobody has any more.

        Raises:
            Busy: another process publishes under this name.
            NoSpace: there is no memory for a page.
            Unwritable: the name belongs to another user, or others may write its memory.
        """
        remove_abandoned(self._path.parent, keep=self._path)
        self._descriptor = _owned(self._path, self._name)
        self._head = Head(self._descriptor, writable=True)
        self._head.writer = os.getpid()
        return self

    @property
    def version(self) -> int:
        """As `Publisher.version`."""
        return self._numbering.version

    def publish(
        self, arrays: Mapping[str, NDArray[Any]], spec_hash: str, *, version: int | None = None, partial: bool = False
    ) -> Weights:
        """As `Publisher.publish`. Raises Busy where readers hold as many versions as there may be slots, 64.

        What the copier raises, such as Closed, is raised too; the weights before stay the newest.
        """
        with self._publishing:
            if self._descriptor < 0:
                raise Closed(f"shared weights {self._name!r} are not open")
            number = self._numbering.next(spec_hash, version, partial)
            place = self._place
            if place is None:
                place = self._place = self._settle(Place.of(Layout.of(arrays), spec_hash))
            place.layout.require(arrays, partial)
            k = self._free(place)
            self._head.write_record(k, Record(0, number, self._lineage))
            slot = self._slots[k]
            slot.fill(arrays, number, self._slot, self._copy)
            self._head.write_record(k, Record(1, number, self._lineage))
            locks.release(self._descriptor, SLOT + k)
            self._head.newest = k
            self._slot = slot
            self._numbering.set(number, spec_hash)
        return Weights(number, slot.lend(), spec_hash)

    def _settle(self, place: Place) -> Place:
        """Make the file one of these weights; what is in it already stays if it is of the same."""
        if self._head.ready and self._head.place(self._descriptor).words != place.words:
            self._head.retire()  # who reads there goes on with what it has, until it finds the new file
            self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1
            self.open()
        if not self._head.ready:
            self._head.begin(place, self._descriptor)
        self._slots = [Slot(place.layout, map_slot(self._descriptor, place, k, True)) for k in range(self._head.slots)]
        return place

    def _free(self, place: Place) -> int:
        """A slot that nobody holds, locked."""
        for k, slot in enumerate(self._slots):
            if k != self._head.newest and not slot.held and locks.take(self._descriptor, SLOT + k, shared=False):
                return k
        k = len(self._slots)
        if k == MOST_SLOTS:
            raise Busy(f"{k} versions of shared weights {self._name!r} are held by readers; let them drop old ones")
        begin, size = place.slot(k)
        reserve(self._descriptor, begin + size)
        self._slots.append(Slot(place.layout, map_slot(self._descriptor, place, k, True)))
        locks.take(self._descriptor, SLOT + k, shared=False)
        self._head.slots = k + 1
        return k

    def close(self) -> None:
        """Remove the name. Readers keep what they hold. May be called twice."""
        with self._publishing:
            if self._descriptor < 0:
                return
            self._head.retire()
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor, self._place, self._slots, self._slot = -1, None, [], None
            self._numbering = Numbering(self.version)  # once it is open again, its first publication is of all weights

    def __enter__(self) -> SharedPublisher:
        return self if self._descriptor >= 0 else self.open()

    def __exit__(self, *error: object) -> None:
        self.close()


def remove_abandoned(folder: Path = FOLDER, keep: Path | None = None) -> list[Path]:
    """Remove shared weights of this user that no process publishes or reads; which they were."""
    removed = []
    for path in folder.glob(f"{PREFIX}*"):
        if path == keep:
            continue
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # gone by now, or another user's
            continue
        try:
            mine = os.fstat(descriptor).st_uid == os.geteuid()  # others' may be open to all; in a sticky folder they stay
            alone = mine and locks.take(descriptor, WRITER, shared=False) and locks.take(descriptor, READER, shared=False)
            if alone and _is_at(descriptor, path):
                path.unlink()
                removed.append(path)
        finally:
            os.close(descriptor)
    return removed


def forget(name: str, folder: Path = FOLDER) -> bool:
    """Remove what a publisher that is gone left under this name, so that nobody acts with it; whether there was any.

    Raises Busy, Unwritable.
    """
    path = path_of(name, folder)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except PermissionError as error:
        raise Unwritable(f"shared weights {name!r}: {error}; choose another name") from error
    try:
        require_private(descriptor, path)
        if not locks.take(descriptor, WRITER, shared=False):
            raise Busy(f"shared weights {name!r} are those of {_writer(descriptor)}; wait until it ends")
        if os.fstat(descriptor).st_size >= HEAD:
            Head(descriptor, writable=True).retire()  # who reads there looks for another file
        if _is_at(descriptor, path):
            path.unlink()
    finally:
        os.close(descriptor)
    return True


def _capped(copier: MemoryCopier) -> Copy:
    """Copies bytes: what lies scattered, or has another order of bytes, is put right first."""

    def copy(target: NDArray[Any], source: NDArray[Any]) -> None:
        copier.copy(np.ascontiguousarray(source, target.dtype), target)

    return copy


def _owned(path: Path, name: str) -> int:
    """The file at this path, this process its writer, with a head of zeros or a complete one that is not retired."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except PermissionError as error:
            raise Unwritable(f"shared weights {name!r}: {error}; choose another name") from error
        try:
            require_private(descriptor, path)
            if not locks.take(descriptor, WRITER, shared=False):
                if time.monotonic() > deadline:
                    raise Busy(f"shared weights {name!r} are those of {_writer(descriptor)}; choose another name")
                time.sleep(_AGAIN)
            elif _is_at(descriptor, path):
                reserve(descriptor, HEAD)
                head = Head(descriptor, writable=True)
                if not (head.ready and head.retired):
                    mine, descriptor = descriptor, -1
                    return mine
                path.unlink()
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _writer(descriptor: int) -> str:
    pid = Head(descriptor, writable=False).writer if os.fstat(descriptor).st_size >= HEAD else 0
    return f"process {pid}" if pid else "another process"


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still leads to this open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
