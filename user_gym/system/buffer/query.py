"""Asks the index of a buffer which blocks a condition selects. It knows no positions, no steps and no view.

Two walls: SQL is written from the parsed condition, never from its text; and what runs may read the columns of `chunks` and do
nothing else (authorizer), for a bounded number of instructions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64
from user_gym.errors import BadOption, Closed, Gone
from user_gym.system.buffer.condition import Condition
from user_gym.system.buffer.connection import limit_steps
from user_gym.system.buffer.schema import CHUNKS

INSTRUCTIONS = 2_000_000_000  # of SQLite's machine for one statement: about 20 s; a plain condition takes 60 a block
PART = 65_536  # blocks that one statement answers with
_UNDECIDED = 4096  # blocks whose steps are looked at in one go
_FUNCTIONS = frozenset(("like", "group_concat", "max"))
_LIMITS = {sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000_000, sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 1000}  # `grammar` keeps below


class Found(NamedTuple):
    """Blocks, ascending: their first steps' numbers and their lengths."""

    first: I64
    steps: I64


class Undecided(NamedTuple):
    """Blocks of which some steps may satisfy a condition, and what the condition asks of them."""

    first: I64
    steps: I64
    columns: dict[str, NDArray[Any]]  # each (blocks,)


class Query:
    """Thread-safe. Owns its connection, which reads an index.

    Args:
        database: a reader's, that nobody else uses.
        instructions: that a statement may take.
    """

    def __init__(self, database: sqlite3.Connection, instructions: int = INSTRUCTIONS) -> None:
        self._database, self._instructions, self._lock = database, instructions, Lock()
        self._closed = False
        for limit, value in _LIMITS.items():
            database.setlimit(limit, value)

    def certain(self, condition: Condition, begin: int, end: int) -> Found:
        """The first PART blocks among those that begin at begin .. end - 1 of which every step satisfies a condition."""
        sure = condition.certainly()
        # One text for all blocks: half the time of a row each.
        text = (
            "SELECT group_concat(first || ',' || steps) FROM (SELECT chunks.first AS first, chunks.steps AS steps FROM chunks "
            f"WHERE chunks.first >= ? AND chunks.first < ? AND {sure.text} ORDER BY chunks.first LIMIT {PART})"
        )
        joined = self._run(condition, text, (begin, end, *sure.values))[0][0]
        pairs = np.fromstring(joined or "", np.int64, sep=",").reshape(-1, 2)
        return Found(pairs[:, 0], pairs[:, 1])

    def undecided(self, condition: Condition, begin: int, end: int) -> Iterator[Undecided]:
        """The blocks that begin at begin .. end - 1 and whose steps have to be asked."""
        if not condition.of_step:
            return
        possible, sure, names = condition.possibly(), condition.certainly(), sorted(condition.of_block)
        columns = "".join(f', chunks."{name}"' for name in names)
        text = (
            f"SELECT chunks.first, chunks.steps{columns} FROM chunks WHERE chunks.first >= ? AND chunks.first < ? "
            f"AND {possible.text} AND NOT {sure.text} ORDER BY chunks.first LIMIT {_UNDECIDED}"
        )
        while begin < end:
            rows = self._run(condition, text, (begin, end, *possible.values, *sure.values))
            if not rows:
                return
            first, steps, *values = zip(*rows, strict=True)
            block = {name: np.array(column) for name, column in zip(names, values, strict=True)}
            yield Undecided(np.array(first, np.int64), np.array(steps, np.int64), block)
            if len(rows) < _UNDECIDED:
                return
            begin = first[-1] + 1

    def place(self, source: str, episode: int, sequence: int) -> tuple[int, int] | None:
        """First step's number and length of a chunk; None if it is not here."""
        text = (
            "SELECT first, steps FROM blocks WHERE source = (SELECT id FROM sources WHERE name = ?) "
            "AND episode = ? AND sequence = ?"
        )
        with self._lock:
            return self._open().execute(text, (source, episode, sequence)).fetchone()

    def block_at(self, number: int) -> tuple[int, int]:
        """First step's number and length of the block that holds this step. Raises Gone."""
        first, steps = self._newest_at(number)
        if number >= first + steps:
            raise Gone(f"step {number} of the buffer is in no block; it was pruned or quarantined")
        return first, steps

    def end_of(self, first: int) -> int:
        """Number after the last step of the newest block that begins at `first` or before; 0 if there is none."""
        return sum(self._newest_at(first))

    def _newest_at(self, number: int) -> tuple[int, int]:
        text = "SELECT first, steps FROM blocks WHERE first <= ? ORDER BY first DESC LIMIT 1"
        with self._lock:
            return self._open().execute(text, (number,)).fetchone() or (0, 0)

    def close(self) -> None:
        """Close the connection. May be called twice."""
        with self._lock:
            self._closed = True
            self._database.close()

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise Closed("the buffer is closed; open it again")
        return self._database

    def _run(self, condition: Condition, text: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            self._open().set_authorizer(_authorize)
            limit_steps(self._database, self._instructions)
            try:
                return self._database.execute(text, values).fetchall()
            except sqlite3.OperationalError as error:
                if "interrupted" not in str(error):
                    raise
                allowed = f"one that takes {self._instructions} instructions of SQLite at most over all blocks"
                raise BadOption("view condition", condition.text[:300], allowed, "join fewer comparisons") from error
            finally:
                self._database.set_progress_handler(None, 0)
                self._database.set_authorizer(None)


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, through: str | None) -> int:
    # `through` is the view that reads a table on behalf of the statement.
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ:
        # An empty column: a table behind `chunks` is walked, and nothing of it read.
        behind = through == "chunks" or (first in ("blocks", "origins") and second == "")
        return sqlite3.SQLITE_OK if behind or (first == "chunks" and second in CHUNKS) else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY
