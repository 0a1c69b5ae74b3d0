"""How a process learns that something was committed, by itself or by another. It knows no blocks.

What this process commits it hears of at once, with the rows. Of another process SQLite tells; to ask it each time would cost
a fifth of a draw.
"""

from __future__ import annotations

import sqlite3
from time import monotonic

from user_gym.system.buffer.catalog import Catalog

RECENT = 0.005  # s that a draw may miss what another process committed
_NONE = -1


class Commits:
    """Not thread-safe: its owner locks.

    Args:
        database: that is read.
        own: what this process writes, alone; None: another process writes.
    """

    def __init__(self, database: sqlite3.Connection, own: Catalog | None) -> None:
        self._database, self._own = database, own
        self._seen = _NONE
        self._asked = -RECENT  # s, monotonic

    def newest(self, late: float = 0.0) -> int:
        """A number that is another one after each commit; of another process, one of up to `late` s ago."""
        if self._own is not None:
            return self._own.commits
        now = monotonic()
        if self._seen != _NONE and now - self._asked < late:
            return self._seen
        self._asked = now
        return self._database.execute("PRAGMA data_version").fetchone()[0]

    @property
    def unseen(self) -> bool:
        """Whether all has to be looked at again."""
        return self._seen == _NONE

    def is_seen(self, number: int) -> bool:
        """Whether `see` was told of this one last."""
        return number == self._seen

    def see(self, number: int) -> None:
        """All up to this commit is known now."""
        self._seen = number

    def look_again(self) -> None:
        """Nothing that is known counts."""
        self._seen = _NONE

    def added(self, number: int) -> list[tuple[int, ...]] | None:
        """The rows of all blocks that were added from what is known to this commit; None: SQLite has to be asked."""
        if self._own is None or self._seen == _NONE:
            return None
        news, rows = self._own.news, list[tuple[int, ...]]()
        for wanted in range(self._seen + 1, number + 1):
            committed = news.popleft() if news else None
            while committed is not None and committed.number < wanted:
                committed = news.popleft() if news else None
            if committed is None or committed.number > wanted or committed.blocks is None:
                return None
            rows += committed.blocks
        return rows
