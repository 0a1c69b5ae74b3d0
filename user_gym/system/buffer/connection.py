"""Connections to index.sqlite: the writer's, readers', and one for conditions that strangers wrote. It knows no tables."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from user_gym.errors import WrongRun

NAME = "index.sqlite"
BUSY = 10.0  # s that a connection waits for another's lock: a commit or a checkpoint, never a whole session
Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


def connect_writer(folder: Path, durable: bool) -> sqlite3.Connection:
    """The writer's: WAL; each commit reaches the disk before it returns if `durable`. Makes the file."""
    database = _connect(f"file:{_quoted(folder / NAME)}?mode=rwc")
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        database.execute("PRAGMA secure_delete = OFF")  # zeroing what is freed doubles the cost of pruning
        database.execute("PRAGMA cache_size = -16384")  # KiB
    except sqlite3.Error:
        database.close()
        raise
    return database


def connect_reader(folder: Path) -> sqlite3.Connection:
    """One that sees what is committed and writes nothing, also on media that cannot be written.

    Raises:
        WrongRun: there is no index.
    """
    path = folder / NAME
    if not path.exists():
        raise WrongRun(f"{folder} holds no buffer: there is no {NAME}; open it once to write, which rebuilds a lost index")
    database = _connect(f"file:{_quoted(path)}?mode=ro")
    try:
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # SQLite reads a WAL through a file of shared memory; where neither exists nor may be made, there is no other writer.
        database.close()
        database = _connect_still(path)
    except sqlite3.Error:
        database.close()
        raise
    return database


def connect_restricted(folder: Path, authorizer: Authorizer, steps: int) -> sqlite3.Connection:
    """A reader's for conditions of strangers: all that they do passes `authorizer`, as in sqlite3.

    Args:
        folder: of the store.
        authorizer: as `sqlite3.Connection.set_authorizer`.
        steps: instructions of SQLite's machine after which a statement ends with sqlite3.OperationalError "interrupted".
            A scan takes 10 to 60 a block.
    """
    database = connect_reader(folder)
    for limit, value in _LIMITS.items():
        database.setlimit(limit, value)
    database.set_authorizer(authorizer)
    limit_steps(database, steps)
    return database


def limit_steps(database: sqlite3.Connection, steps: int) -> None:
    """Begin counting anew: the next statements together may take this many instructions."""
    every = max(1, min(steps, _TICK))
    left = steps

    def spent() -> int:
        nonlocal left
        left -= every
        return left < 0

    database.set_progress_handler(spent, every)


_TICK = 10_000  # instructions between two looks at what is left: about 0.1 ms
_LIMITS = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_LENGTH: 10_000_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
}


def _connect_still(path: Path) -> sqlite3.Connection:
    wal = path.with_name(f"{path.name}-wal")
    if not wal.exists() or not wal.stat().st_size:
        return _connect(f"file:{_quoted(path)}?immutable=1")
    with tempfile.TemporaryDirectory(prefix="user_gym-index-") as copy:
        for file in (path, wal):
            shutil.copyfile(file, Path(copy) / file.name)
        database = _connect(f"file:{_quoted(Path(copy) / path.name)}?mode=rw")
        try:
            database.execute("PRAGMA query_only = ON")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            database.close()
            raise
    return database  # its open files outlive their names


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False)


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
