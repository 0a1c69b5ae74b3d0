"""The folders in which segments lie, and which of them are open. It knows names and bytes, no index.

A segment has a number that never changes and lies in one of several places: place 0 is the folder `segments` of the store,
others are the cold tier's. Few are open at a time: a terabyte has thousands.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from user_gym.errors import Gone
from user_gym.system.buffer.segment import Segment

FOLDER = "segments"
HERE = 0  # the place inside the store
PLACES = "places"  # a file with a path a line: place 1, 2, ... Not in the index, which is made anew from what lies there
_NAME = re.compile(r"(\d{8,})\.ugs")
_OPEN = 128  # files at a time, of the 1024 that a process may usually have


def name(segment: int) -> str:
    """Of its file."""
    return f"{segment:08d}.ugs"


class Files:
    """Segments by number. Thread-safe.

    Args:
        folder: of the store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[int, Path] = {HERE: folder / FOLDER}
        self._read_places()
        self._place: dict[int, int] = {}
        self._lock = Lock()
        self._open: OrderedDict[int, Segment] = OrderedDict()
        self._users: dict[int, int] = {}
        self._dropped: list[Segment] = []  # still in somebody's hands

    def put(self, segments: Mapping[int, int]) -> None:
        """Segments lie in these places from now on; a file open at another place is let go of."""
        with self._lock:
            if not self.places.keys() >= set(segments.values()):
                self._read_places()  # another process moved them
            for segment, place in segments.items():
                if self._place.get(segment, place) != place:
                    self._forget(segment)
                self._place[segment] = place

    def path(self, segment: int) -> Path:
        """Of a segment's file."""
        return self.places[self._place.get(segment, HERE)] / name(segment)

    def place(self, path: Path) -> int:
        """The number of a place; given, and written down, if it is new."""
        path = path.absolute()
        for number, known in self.places.items():
            if known == path:
                return number
        make(path)
        self.places[len(self.places)] = path
        written = self.folder / f"{PLACES}.new"
        written.write_text("".join(f"{self.places[number]}\n" for number in range(1, len(self.places))))
        sync(written)
        written.replace(self.folder / PLACES)
        sync(self.folder)
        return len(self.places) - 1

    def found(self, place: int) -> dict[int, int]:
        """Segments that lie in a place, and their sizes in bytes; none where the folder is not there."""
        found: dict[int, int] = {}
        if not self.places[place].is_dir():
            return found
        with os.scandir(self.places[place]) as files:
            for file in files:
                if (match := _NAME.fullmatch(file.name)) and file.is_file():
                    with suppress(FileNotFoundError):  # removed since it was listed, by a quota beside this
                        found[int(match[1])] = file.stat().st_size
        return found

    def create(self, segment: int, place: int = HERE) -> Segment:
        """A new one to append to, empty, whose name survives a power cut; its maker closes it."""
        made = Segment.create(self.places[place] / name(segment))
        self.put({segment: place})
        try:
            self.sync_folder(place)
        except BaseException:
            made.close()
            self.remove(segment)
            raise
        return made

    def open(self, segment: int) -> Segment:
        """One to read; whoever asked closes it. Raises Gone if there is none."""
        path = self.path(segment)
        try:
            return Segment.open(path)
        except FileNotFoundError as error:
            raise Gone(f"segment {path} is not there; it was removed, or its disk is not mounted") from error

    @contextmanager
    def use(self, segment: int) -> Iterator[Segment]:
        """An open file; it stays open inside, whatever happens to its name. Raises Gone if there is none."""
        with self._lock:
            opened = self._open.get(segment)
            if opened is None:
                opened = self._opened(segment)
            self._open.move_to_end(segment)
            self._users[id(opened)] = self._users.get(id(opened), 0) + 1
        try:
            yield opened
        finally:
            with self._lock:
                self._leave(opened)

    def remove(self, segment: int) -> None:
        """Delete a file; who has it open goes on reading."""
        self.path(segment).unlink(missing_ok=True)
        with self._lock:  # once its name is gone: who opened it a moment before would keep its bytes on the disk
            self._forget(segment)
            self._place.pop(segment, None)

    def forget(self, segment: int) -> None:
        """Let go of an open file."""
        with self._lock:
            self._forget(segment)

    def forget_deleted(self) -> None:
        """Let go of open files that another process has deleted."""
        with self._lock:
            for segment in [number for number, opened in self._open.items() if opened.is_deleted]:
                self._forget(segment)

    def sync(self, opened: Segment) -> None:
        """All of a file survives a power cut from here on."""
        opened.sync()

    def sync_folder(self, place: int = HERE) -> None:
        """So do the names of the files in a place."""
        sync(self.places[place])

    def sync_index(self, path: Path) -> None:
        """So does what was committed; `path` is of SQLite's log."""
        if path.exists():
            sync(path)

    def close(self) -> None:
        """Close all files but those in somebody's hands; these close when they are given back."""
        with self._lock:
            for segment in list(self._open):
                self._forget(segment)

    def _read_places(self) -> None:
        listed = self.folder / PLACES
        if listed.exists():
            self.places |= {row + 1: Path(line) for row, line in enumerate(listed.read_text().splitlines())}

    def _opened(self, segment: int) -> Segment:
        while len(self._open) >= _OPEN:
            self._forget(next(iter(self._open)))
        opened = self._open[segment] = self.open(segment)
        opened.expect_disorder()
        return opened

    def _forget(self, segment: int) -> None:
        opened = self._open.pop(segment, None)
        if opened is None:
            return
        if self._users.get(id(opened)):
            self._dropped.append(opened)
        else:
            opened.close()

    def _leave(self, opened: Segment) -> None:
        self._users[id(opened)] -= 1
        if self._users[id(opened)]:
            return
        del self._users[id(opened)]
        if opened in self._dropped:
            self._dropped.remove(opened)
            opened.close()


def make(path: Path) -> None:
    """A folder, with those that it lies in, whose names survive a power cut; nothing where it is there already."""
    if not path.is_dir():
        make(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Write a file's or a folder's bytes through to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
