"""Labels: columns that are written later than the steps that they are of, by a classifier or a person. It knows no blocks.

They lie in a database of their own beside the segments, by source, episode and sequence of the chunk: so observations are not
written again, an index that is rebuilt changes nothing, and another process than the collector's may write them. Nothing is
overwritten: each writing is a version with its source, and of a step the newest label counts.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import NamedTuple

import numpy as np

from user_gym.core import F32, I64, Bool
from user_gym.errors import BadOption, Closed, Unwritable
from user_gym.system.buffer import label_file
from user_gym.system.buffer.condition import KNOWN
from user_gym.system.buffer.label_column import LabelColumn

_COMMIT = 64  # chunks that are committed together: a kill costs no more
Place = Callable[[str, int, int], tuple[int, int] | None]


class Labelled(NamedTuple):
    """Labels of a chunk."""

    source: str
    episode: int
    sequence: int
    values: F32  # (steps,)
    selected: Bool  # (steps,) which of them are labels; the others say nothing


class Version(NamedTuple):
    """One writing of a label."""

    name: str
    version: int  # 1, 2, ... of this name
    source: str  # who says so
    time: float  # s since the epoch, when it began
    chunks: int
    steps: int


class Labels:
    """Thread-safe. Made by `Labels.open`; ends with `close`.

    Args:
        database: of the labels.
        place: source, episode and sequence of a chunk -> its first step's number and its length; None: it is not here.
    """

    def __init__(self, database: sqlite3.Connection, place: Place) -> None:
        self._database, self._place, self._lock = database, place, RLock()
        self._columns: dict[str, LabelColumn] = {}
        self._read: dict[str, int] = {}  # name -> newest row in memory
        self._closed = False
        self.damaged = 0  # rows whose bytes are not those that were written; they count as not written

    @classmethod
    def open(cls, folder: str | Path, place: Place, *, durable: bool = True, read_only: bool = False) -> Labels:
        """Open the labels in a buffer's folder, or ":memory:"; made if it is not there. A damaged file is moved aside.

        Args:
            folder: of the buffer.
            place: as for `Labels`.
            durable: each commit reaches the disk before it returns.
            read_only: write nothing.

        Raises:
            WrongRun: the file is another program's, or of another version, or (read-only) damaged.
            Unwritable: the file may not be written.
        """
        return cls(label_file.connect(folder, durable, read_only), place)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        with self._using() as database:
            return tuple(name for (name,) in database.execute("SELECT DISTINCT name FROM versions ORDER BY name"))

    @property
    def newest(self) -> int:
        """Changes whenever a label is written, here or by another process."""
        with self._using() as database:
            return int(database.execute("SELECT coalesce(max(id), 0) FROM labels").fetchone()[0])

    def check(self, name: str) -> None:
        """Raise BadOption if there is no label of this name."""
        if name not in self.names:
            allowed = f"one of {list(self.names)}" if self.names else "nothing yet: no label was written"
            raise BadOption("label", name, allowed, "write it with relabel")

    def versions(self, name: str | None = None) -> list[Version]:
        """All writings of a label, or of all labels, oldest first."""
        text = (
            "SELECT v.name, v.version, v.source, v.time, count(l.id), coalesce(sum(length(l.data)) / 4, 0) FROM versions v "
            "LEFT JOIN labels l ON l.version = v.id WHERE ?1 IS NULL OR v.name = ?1 GROUP BY v.id ORDER BY v.id"
        )
        with self._using() as database:
            return [Version(*row) for row in database.execute(text, (name,))]

    def write(self, name: str, source: str, labels: Iterable[Labelled], pass_over: bool = False) -> Version:
        """Write labels as a new version of a name. What is committed is safe as the buffer's chunks are.

        An interrupted writing keeps what it has committed: whole chunks, at most 64 fewer than it was given.

        Args:
            name: of the label.
            source: who says so.
            labels: of chunks.
            pass_over: chunks that are not here, as they may have left while their labels were found, instead of refusing them.

        Raises:
            BadOption: the name is a column's, a value is not finite, their number is not the chunk's steps, or there is no
                such chunk.
            Unwritable: opened read-only, or the disk takes no more.
        """
        if not isinstance(name, str) or not name.isidentifier() or name in KNOWN:
            allowed = f"a word of letters, digits and _ that is none of the columns {', '.join(sorted(KNOWN))}"
            raise BadOption("name of a label", name, allowed)
        if not source or not isinstance(source, str):
            raise BadOption("source of a label", source, "who says so, such as a classifier with its version, or a person")
        try:
            return self._write(name, source, labels, pass_over)
        except sqlite3.OperationalError as error:
            cure = "open the buffer without read_only, with room on its disk, and with nobody else writing labels"
            raise Unwritable(f"label {name!r} cannot be written: {error}; {cure}") from error

    def at(self, name: str, numbers: I64) -> F32:
        """The newest label of each of these steps, whatever the shape; NaN where there is none.

        Beside a batch: `numbers = view.draw(n, rng)`, `view.read(numbers)`, and this of the same numbers. Raises BadOption if
        there is no label of this name.
        """
        return self._column(name).at(numbers)

    def changes(self, names: Sequence[str], after: int) -> tuple[I64, int]:
        """Blocks for which labels of these names came after a state of `newest`, by first number; and its state now."""
        marks = ", ".join("?" * len(names))
        text = (
            "SELECT DISTINCT l.source, l.episode, l.sequence FROM labels l JOIN versions v ON v.id = l.version "
            f"WHERE l.id > ? AND l.id <= ? AND v.name IN ({marks})"
        )
        if not names:
            return np.empty(0, np.int64), after
        with self._using() as database:
            newest = self.newest
            places = [self._place(*key) for key in database.execute(text, (after, newest, *names)).fetchall()]
        return np.array(sorted(place[0] for place in places if place), np.int64), newest

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            self._closed = True
            self._columns.clear()
            self._database.close()

    def _write(self, name: str, source: str, labels: Iterable[Labelled], pass_over: bool) -> Version:
        latest = "SELECT coalesce(max(version), 0) + 1 FROM versions WHERE name = ?"
        with self._writing() as database:
            version = database.execute(latest, (name,)).fetchone()[0]
            row = (name, version, source, time.time())
            number = database.execute("INSERT INTO versions VALUES (NULL, ?, ?, ?, ?)", row).lastrowid
        rows: list[tuple[object, ...]] = []
        for given in labels:
            place = self._place(given.source, given.episode, given.sequence)
            if place is None and pass_over:
                continue
            data = self._checked(name, given, place).tobytes()
            rows.append((number, given.source, given.episode, given.sequence, zlib.crc32(data), data))
            if len(rows) == _COMMIT:
                self._insert(rows)
        self._insert(rows)
        return next(written for written in self.versions(name) if written.version == version)

    def _insert(self, rows: list[tuple[object, ...]]) -> None:
        with self._writing() as database:
            database.executemany("INSERT INTO labels VALUES (NULL, ?, ?, ?, ?, ?, ?)", rows)
        rows.clear()

    def _checked(self, name: str, given: Labelled, place: tuple[int, int] | None) -> F32:
        what = f"label {name!r} of source {given.source!r}, episode {given.episode}, sequence {given.sequence}"
        if place is None:
            raise BadOption(what, "no such chunk", "a chunk that is stored")
        try:
            values = np.asarray(given.values, np.float32)
        except (TypeError, ValueError) as error:
            raise BadOption(what, given.values, f"one number for each of its {place[1]} steps") from error
        if values.shape != (place[1],) or given.selected.shape != values.shape:
            raise BadOption(what, values.shape, f"one number for each of its {place[1]} steps")
        if not np.isfinite(values[given.selected]).all():
            raise BadOption(what, values[given.selected], "finite numbers")
        return np.where(given.selected, values, np.float32(np.nan)).astype("<f4")

    def _column(self, name: str) -> LabelColumn:
        """The labels of a name, with those written since they were read last."""
        text = (
            "SELECT l.source, l.episode, l.sequence, l.crc, l.data FROM labels l JOIN versions v ON v.id = l.version "
            "WHERE v.name = ? AND l.id > ? ORDER BY l.id"
        )
        with self._using() as database:
            if name not in self._columns:
                self.check(name)
            newest = self.newest
            if newest > self._read.get(name, -1):
                blocks: list[tuple[int, F32]] = []
                for *key, crc, data in database.execute(text, (name, self._read.get(name, -1))).fetchall():
                    place = self._place(*key)
                    if zlib.crc32(data) != crc or (place is not None and len(data) != 4 * place[1]):
                        self.damaged += 1
                    elif place is not None:  # else it was pruned
                        blocks.append((place[0], np.frombuffer(data, "<f4")))
                self._columns[name] = self._columns.get(name, LabelColumn.empty()).joined(blocks)
                self._read[name] = newest
            return self._columns[name]

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise Closed("the buffer is closed; open it again")
            with label_file.explained():
                yield self._database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._using() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
