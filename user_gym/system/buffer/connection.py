"""Connections to index.sqlite: the writer's and readers', and a bound on what they may compute. It asks no table."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

from user_gym.errors import Unwritable, WrongRun
from user_gym.system.buffer import schema
from user_gym.system.buffer.files import FOLDER

NAME = "index.sqlite"
_LOG = 4000  # pages of the log, 16 MB, after which it is played into the index: with SQLite's 1000 that takes half of a commit
BUSY = 10.0  # s that a connection waits for another's lock: a commit or a checkpoint, never a whole session


def connect_writer(folder: Path, durable: bool) -> sqlite3.Connection:
    """The writer's: WAL; each commit reaches the disk before it returns if `durable`. Makes the file."""
    database = _connect(f"file:{_quoted(folder / NAME)}?mode=rwc")
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        database.execute("PRAGMA secure_delete = OFF")  # zeroing what is freed doubles the cost of pruning
        database.execute("PRAGMA cache_size = -16384")  # KiB
        database.execute(f"PRAGMA wal_autocheckpoint = {_LOG}")
    except sqlite3.Error:
        database.close()
        raise
    return database


def connect_reader(folder: Path) -> sqlite3.Connection:
    """One that sees what is committed and writes nothing, also on media that cannot be written.

    Raises:
        WrongRun: there is no index, or it is damaged, unfinished, another program's or of another version.
        Unwritable: it may not even be read.
    """
    path = folder / NAME
    try:
        _expect(folder)
        database = _connect_reader(path)
        try:
            finished = schema.check(database, path)
        except BaseException:
            database.close()
            raise
    except PermissionError as error:  # the folder may not be entered, or the log not be read
        raise Unwritable(f"buffer {folder} may not be read: {error}; give this user the right to") from error
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise Unwritable(f"{path} may not be read: {error}; give this user the right to") from error
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        raise WrongRun(
            f"{path} is damaged: {error}; open it once to write, or `user-gym buffer repair` it, which "
            "makes a new one from the segments"
        ) from error
    if not finished:
        database.close()
        raise WrongRun(f"{path} is empty: a kill came while it was made; open it once to write, which makes it anew")
    return database


def _expect(folder: Path) -> None:
    """Raises WrongRun where there is no index."""
    if not folder.exists():
        cure = "begin with the process that writes it, or take another path"
        raise WrongRun(f"{folder} holds no buffer: there is no such folder; {cure}")
    if (folder / NAME).exists():
        return
    if not (folder / FOLDER).is_dir():
        raise WrongRun(f"{folder} holds no buffer; take a folder with {NAME} and {FOLDER}/")
    cure = "open it once to write, or `user-gym buffer repair` it, which makes a lost index anew"
    raise WrongRun(f"{folder} holds no buffer: there is no {NAME}; {cure}")


def _connect_reader(path: Path) -> sqlite3.Connection:
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
