"""One row of SQLite per chunk, for conditions over whole chunks. It knows no arrays of experience.

A condition is an expression over the columns below. It runs behind an authorizer that lets it read those columns and nothing
else: no function, no subquery, no pragma, no other database. So a condition may come from a configuration file.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from user_gym.core import Chunk
from user_gym.errors import BadOption

_COLUMNS = {
    "source": "TEXT",
    "episode": "INTEGER",
    "sequence": "INTEGER",
    "robot": "TEXT",
    "task": "TEXT",
    "kind": "TEXT",
    "env_id": "TEXT",
    "spec_hash": "TEXT",
    "steps": "INTEGER",
    "success": "INTEGER",  # of the whole episode as known so far; all other columns are of the chunk alone
    "policy_version_min": "INTEGER",
    "policy_version_max": "INTEGER",
    "interventions": "INTEGER",  # steps
    "return": "REAL",  # sum of the chunk's rewards
    "first": "INTEGER",  # index of its first transition
    "first_row": "INTEGER",
}
_INTERNAL = "id"


class Entry(NamedTuple):
    """Where a chunk lies."""

    id: int
    first: int
    first_row: int
    steps: int


class ChunkIndex:
    """The table of chunks, in memory. Not thread-safe: its owner locks.

    Attributes:
        changes: for each episode whose success changed when some of its chunks were here already, the oldest of these.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        columns = ", ".join(f'"{name}" {kind} NOT NULL' for name, kind in _COLUMNS.items())
        self._database.execute(
            f"CREATE TABLE chunks ({_INTERNAL} INTEGER PRIMARY KEY, {columns}, UNIQUE (source, episode, sequence))"
        )
        self._insert = f"INSERT INTO chunks VALUES (NULL, {', '.join('?' * len(_COLUMNS))})"
        self._reads: set[str] = set()
        self._selects = 0
        self.changes: list[Entry] = []

    def find(self, chunk: Chunk) -> Entry | None:
        """The entry of a chunk stored before."""
        row = self._database.execute(
            "SELECT id, first, first_row, steps FROM chunks WHERE source = ? AND episode = ? AND sequence = ?",
            (chunk.source, chunk.episode, chunk.sequence),
        ).fetchone()
        return Entry(*row) if row else None

    def add(self, chunk: Chunk, first: int, first_row: int) -> None:
        """Enter a chunk; the success of its episode then holds for all chunks of that episode."""
        of_episode = (chunk.source, chunk.episode)
        here = bool(chunk.success.any())
        before = self._database.execute(
            "SELECT 1 FROM chunks WHERE source = ? AND episode = ? AND success LIMIT 1", of_episode
        ).fetchone()
        values = (
            *(chunk.source, chunk.episode, chunk.sequence, chunk.robot, chunk.task, chunk.kind, chunk.env_id),
            *(chunk.spec_hash, len(chunk)),
            here or before is not None,
            *(int(chunk.policy_version.min()), int(chunk.policy_version.max()), int(chunk.is_intervention.sum())),
            *(float(chunk.reward.sum()), first, first_row),
        )
        self._database.execute(self._insert, values)
        if here and before is None:
            oldest = self._database.execute(
                "SELECT id, first, first_row, steps FROM chunks WHERE source = ? AND episode = ? AND NOT success "
                "ORDER BY id LIMIT 1",
                of_episode,
            ).fetchone()
            if oldest:
                self._database.execute("UPDATE chunks SET success = 1 WHERE source = ? AND episode = ?", of_episode)
                self.changes.append(Entry(*oldest))

    def columns_read(self, where: str) -> frozenset[str]:
        """The columns a condition reads. Raises BadOption if it is no allowed condition."""
        # It must be a condition alone and in brackets: so a bracket or comment inside it cannot change what stands around it.
        self._select(f"SELECT 1 FROM chunks WHERE {where}", (), where)
        self.select(where, 0, 0)
        return frozenset(self._reads)

    def select(self, where: str, after: int, oldest_row: int) -> list[Entry]:
        """Entries with an id above `after`, not older than `oldest_row`, that satisfy a condition; oldest first."""
        text = f"SELECT id, first, first_row, steps FROM chunks WHERE id > ? AND first_row >= ? AND ({where}\n) ORDER BY id"
        return [Entry(*row) for row in self._select(text, (after, oldest_row), where)]

    def close(self) -> None:
        """Let go of the table."""
        self._database.close()

    def _select(self, text: str, values: tuple[int, ...], where: str) -> list[tuple[int, ...]]:
        self._reads, self._selects = set(), 0
        self._database.set_authorizer(self._authorize)
        try:
            return self._database.execute(text, values).fetchall()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise BadOption(
                "view condition",
                where,
                f"one SQL condition over {', '.join(_COLUMNS)}",
                f"without functions or subqueries ({error})",
            ) from error
        finally:
            self._database.set_authorizer(None)

    def _authorize(self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
        if action == sqlite3.SQLITE_SELECT:
            self._selects += 1
            # A subquery would make the answer depend on other chunks, and so on when it was asked.
            return sqlite3.SQLITE_OK if self._selects == 1 else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ and first == "chunks" and (second in _COLUMNS or second == _INTERNAL):
            self._reads.add(second)
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY
