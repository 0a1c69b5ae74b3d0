"""labels.sqlite: its tables, how it is opened, and what becomes of it where it is damaged. It knows no chunk and no column."""

from __future__ import annotations

import logging
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from user_gym.errors import Unwritable, WrongRun

NAME = "labels.sqlite"
MEMORY = ":memory:"
_APPLICATION = 0x5547424C  # "UGBL": PRAGMA application_id
_VERSION = 1  # PRAGMA user_version
_BUSY = 10.0  # s that a connection waits for another's commit
_TABLES = (
    "CREATE TABLE versions (id INTEGER PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, source TEXT NOT NULL, "
    "time REAL NOT NULL, UNIQUE (name, version))",
    # data: float32, little-endian, one for each step of the chunk; NaN: no label. crc: CRC32 of data.
    "CREATE TABLE labels (id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL REFERENCES versions (id), "
    "source TEXT NOT NULL, episode INTEGER NOT NULL, sequence INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL)",
)
_log = logging.getLogger(__name__)


class Damage(NamedTuple):
    """What is wrong with the labels of a buffer."""

    file: str  # why it cannot be read; "" where it can
    rows: tuple[int, ...]  # ids of labels whose bytes are not those that were written

    def __str__(self) -> str:
        return self.file or (f"of {len(self.rows)} chunks they are not as they were written" if self.rows else "")


def connect(folder: str | Path, durable: bool = True, read_only: bool = False) -> sqlite3.Connection:
    """As `Labels.open`."""
    path = Path(folder).absolute() / NAME
    if folder == MEMORY or (read_only and _is_missing(path)):
        return _connect(None, durable)
    try:
        return _connect(path, durable, read_only)
    except sqlite3.OperationalError as error:
        raise _refused(path, error) from error
    except sqlite3.DatabaseError as error:
        if read_only:
            cure = "open the buffer to write, or `user-gym buffer repair` it, which moves the labels aside"
            raise WrongRun(f"{path} cannot be read: {error}; {cure}") from error
    _set_aside(path)
    return _connect(path, durable)


@contextmanager
def explained() -> Iterator[None]:
    """Damage that SQLite meets while it reads or writes becomes WrongRun, with its cure."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        cure = "close the buffer and `user-gym buffer repair` it, which moves the labels aside"
        raise WrongRun(f"the labels of the buffer are damaged: {error}; {cure}") from error


def damage(folder: Path) -> Damage:
    """Read every label, and compare it with its checksum. Changes nothing. Raises WrongRun, Unwritable."""
    path = folder.absolute() / NAME
    if _is_missing(path):
        return Damage("", ())
    try:
        with closing(_connect(path, durable=True, read_only=True)) as database:
            found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                return Damage(str(found), ())
            rows = database.execute("SELECT id, crc, data FROM labels ORDER BY id")
            return Damage("", tuple(number for number, crc, data in rows if zlib.crc32(data) != crc))
    except sqlite3.OperationalError as error:
        raise _refused(path, error) from error
    except sqlite3.DatabaseError as error:
        return Damage(str(error), ())


def repair(folder: Path) -> Damage:
    """A file that cannot be read is moved aside; labels that are not as they were written leave. Returns what was wrong.

    Raises:
        WrongRun: the file is another program's, or of another version.
        Unwritable: it may not be written.
    """
    path, found = folder.absolute() / NAME, damage(folder)
    if found.file:
        _set_aside(path)
    elif found.rows:
        with closing(connect(folder)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("DELETE FROM labels WHERE id = ?", [(number,) for number in found.rows])
            database.execute("COMMIT")
    return found


def _is_missing(path: Path) -> bool:
    """Whether there is no file, or an empty one: a kill came while it was made."""
    return not path.exists() or not path.stat().st_size


def _refused(path: Path, error: sqlite3.OperationalError) -> Unwritable:
    return Unwritable(f"{path} cannot be opened: {error}; give this user the right to, or open the buffer read-only")


def _set_aside(path: Path) -> None:
    aside = path.with_name(f"{NAME}.damaged-{time.time_ns()}")
    path.rename(aside)
    _log.warning("the labels of the buffer are damaged; they were moved to %s, and there are none now", aside)


def _connect(path: Path | None, durable: bool, read_only: bool = False) -> sqlite3.Connection:
    """Open, make the tables in a new file, or see that they are ours. None: in memory."""
    quoted = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    uri = MEMORY if path is None else f"file:{quoted}?mode={'ro' if read_only else 'rwc'}"
    database = sqlite3.connect(uri, uri=True, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        # A rollback journal, no WAL: labels come seldom, and one file alone can be read where nothing may be written.
        database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        if not read_only:
            database.execute("BEGIN IMMEDIATE")  # so that of two that open a new file one makes the tables
            if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in (*_TABLES, f"PRAGMA application_id = {_APPLICATION}", f"PRAGMA user_version = {_VERSION}"):
                    database.execute(statement)
            database.execute("COMMIT")
        found = tuple(database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if found != (_APPLICATION, _VERSION):
            raise WrongRun(
                f"{path} holds no labels of this version: application {found[0]:#x}, version {found[1]}; "
                f"allowed: {_APPLICATION:#x}, {_VERSION}; open it with the version of user-gym that made it"
            )
    except BaseException:
        database.close()
        raise
    return database
