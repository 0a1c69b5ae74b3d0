"""Records as lines of a file in the run's folder, for other processes to read at any moment. It is bounded, and never in parts.

Who reads takes the newest whole line: one that is half written, or that a killed process left, is passed over.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from user_gym.core import real, whole
from user_gym.errors import NoSpace, WrongRun
from user_gym.system.metrics.record import RunRecord

NAME, EARLIER = "metrics.jsonl", "metrics.earlier.jsonl"
_TAIL = 1 << 16  # bytes read first from the end; a record of one robot has about 1000


class JsonLines:
    """A `Sink`: metrics.jsonl in a folder. When it is full it becomes metrics.earlier.jsonl, in place of the one before.

    Args:
        folder: of the run; it is there when this opens.
        period: s between two records.
        limit: bytes of a file; twice that is the most that a run of any length keeps.
    """

    def __init__(self, folder: Path, period: float = 1.0, limit: int = 1 << 26) -> None:
        self.period = real("period", period, 0.0, 3600.0, "s, 0 .. 3600")
        self._path, self._earlier, self._limit = folder / NAME, folder / EARLIER, whole("limit", limit, 1)
        self._descriptor: int | None = None
        self._size, self._torn = 0, False

    def open(self) -> None:
        """As `Sink.open`."""
        if self._descriptor is not None:
            return
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._descriptor).st_size
        self._torn = self._size > 0 and os.pread(self._descriptor, 1, self._size - 1) != b"\n"

    def write(self, record: RunRecord) -> None:
        """As `Sink.write`: one write of one line."""
        if self._size >= self._limit:
            self.close()
            os.replace(self._path, self._earlier)
            self.open()
        assert self._descriptor is not None
        line = b"\n" * self._torn + record.to_json().encode() + b"\n"
        written = os.write(self._descriptor, line)
        self._size, self._torn = self._size + written, written < len(line)
        if self._torn:
            raise NoSpace(f"no room for {self._path}: {written} of {len(line)} bytes were written; free some")

    def close(self) -> None:
        """As `Sink.close`."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def newest(folder: Path) -> RunRecord:
    """The newest record of the run in `folder`, which may be going on. Raises WrongRun where there is none."""
    path = folder / NAME
    if not folder.is_dir():
        raise WrongRun(f"{folder} is {'a file' if folder.exists() else 'not there'}; take the folder of a run")
    try:
        if not path.exists() and (folder / EARLIER).exists():  # between two files
            path = folder / EARLIER
        file = path.open("rb")
    except FileNotFoundError:
        raise WrongRun(
            f"{folder} holds no {NAME}; a run writes it from its first second on: is this the folder of one?"
        ) from None
    with file:
        size, tail = file.seek(0, os.SEEK_END), _TAIL
        while True:
            file.seek(max(0, size - tail))
            lines = file.read(size - file.tell()).split(b"\n")
            # The last piece is empty or half written; the first one may have lost its head.
            for line in reversed(lines[0 if tail >= size else 1 : -1]):
                with suppress(WrongRun):  # a killed process left it; the one before it will do
                    return RunRecord.from_json(line)
            if tail >= size:
                break
            tail *= 2
    raise WrongRun(f"{path} holds no whole record")
