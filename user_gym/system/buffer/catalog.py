"""What index.sqlite says, and how it is changed. It knows rows, no files; its owner begins and ends transactions.

All that changes for blocks already there (they moved, became a gap, their episode succeeded) is also noted in the table
`changes`, in order, so that an index or a view in memory, in this process or in another, follows by reading what is new.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from user_gym.errors import Gone
from user_gym.system.buffer import schema
from user_gym.system.buffer.entries import ABSENT, Entries
from user_gym.system.buffer.gaps import Live

SEGMENTS = "segments"  # a counter, like those of the groups
MOVED, GAP, DROPPED, SUCCESS = "moved", "gap", "dropped", "success"  # kinds of change
ORPHANED = "orphaned"  # reason of a gap: the block that holds the observation before this transition is not here
_NEWS = 4096  # commits, and blocks of each, that are kept for who follows without asking SQLite
_PLACE = ", ".join(f'"{name}"' for name in schema.PLACE)


class Beside(NamedTuple):
    """The chunk before or after another in its episode."""

    first: int
    follows: bool
    origin: int


class Change(NamedTuple):
    """Something new about blocks that were there already."""

    id: int
    kind: str  # MOVED: place or predecessor; GAP: which steps can be sampled; DROPPED: they left; SUCCESS: of the episode
    first: int  # of the first of these blocks
    last: int  # of the last


class Committed(NamedTuple):
    """What a commit brought."""

    number: int  # 1, 2, ...
    blocks: list[tuple[int, ...]] | None  # rows as of `schema.PLACE`, where it only added blocks, and few; None: more than that


class Catalog:
    """The tables over one connection. Not thread-safe: its owner locks.

    Attributes:
        commits: how many it made; other threads see by it that there is something new.
        news: the newest of them, for one other thread, which takes them out.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database, self.commits = database, 0
        self.news: deque[Committed] = deque(maxlen=_NEWS)
        self._blocks: list[tuple[int, ...]] | None = []  # as in Committed, of the transaction that is open
        self._sources: dict[str, int] = {}
        self._origins: dict[tuple[str, ...], int] = {}

    def begin(self) -> None:
        """A transaction that may write."""
        self.database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """It holds from here on."""
        self.database.execute("COMMIT")
        self.news.append(Committed(self.commits + 1, self._blocks))
        self.commits, self._blocks = self.commits + 1, []

    def rollback(self) -> None:
        """It never was."""
        self._sources.clear()  # numbers given inside the transaction
        self._origins.clear()
        self._blocks = []
        if self.database.in_transaction:
            self.database.execute("ROLLBACK")

    # What is there.

    def total(self, group: str) -> int:
        """Steps of a group ever."""
        return int(self.database.execute("SELECT next FROM counters WHERE name = ?", (group,)).fetchone()[0])

    def live(self) -> Live:
        """What can be sampled."""
        rows = self.database.execute("SELECT first, steps FROM gaps ORDER BY first").fetchall()
        gaps, missing = np.array(rows, np.int64).reshape(-1, 2).T
        return Live.of(self.total("training"), gaps, missing)

    def entries(self, since: int, stop: int | None = None, many: int = 4096) -> Iterator[Entries]:
        """Blocks whose number is `since` or above, and below `stop`, oldest first, in parts of at most `many`."""
        until = (1 << 62) if stop is None else stop
        query = f"SELECT {_PLACE} FROM blocks WHERE first >= ? AND first < ? ORDER BY first"
        cursor = self.database.execute(query, (since, until))
        while rows := cursor.fetchmany(many):
            yield Entries.of(rows)

    def has(self, since: int, blocks: int) -> bool:
        """Whether there are so many blocks from number `since` on."""
        query = "SELECT 1 FROM blocks WHERE first >= ? ORDER BY first LIMIT 1 OFFSET ?"
        return self.database.execute(query, (since, blocks - 1)).fetchone() is not None

    def at(self, numbers: Iterable[int]) -> Entries:
        """For each number the block that holds that step, in their order. Raises Gone."""
        query = f"SELECT {_PLACE} FROM blocks WHERE first <= ? ORDER BY first DESC LIMIT 1"
        rows: list[tuple[int, ...]] = []
        for number in numbers:
            row = self.database.execute(query, (number,)).fetchone()
            if row is None or number >= row[0] + row[1]:
                raise Gone(f"step {number} of the buffer is in no block; it was pruned or quarantined")
            rows.append(row)
        return Entries.of(rows)

    def following(self, first: int) -> int:
        """`first` of the next chunk of the same episode; ABSENT if that is not stored."""
        row = self.database.execute(
            "SELECT b.first FROM blocks a JOIN blocks b ON (b.source, b.episode, b.sequence) = "
            "(a.source, a.episode, a.sequence + 1) WHERE a.first = ?",
            (first,),
        ).fetchone()
        return row[0] if row else ABSENT

    def origin(self, number: int) -> dict[str, str]:
        """What blocks of this origin have in common: source, robot, task, kind, env_id, spec_hash, clock, layout."""
        query = f"SELECT {', '.join(schema.ORIGIN)} FROM origins WHERE id = ?"
        return dict(zip(schema.ORIGIN, self.database.execute(query, (number,)).fetchone(), strict=True))

    def layouts(self) -> list[str]:
        """All layouts of blocks that were ever stored, oldest first."""
        return [text for (text,) in self.database.execute("SELECT layout FROM origins GROUP BY layout ORDER BY min(id)")]

    def changes(self, after: int) -> list[Change]:
        """Those with an id above `after`, oldest first."""
        query = "SELECT id, kind, first, last FROM changes WHERE id > ? ORDER BY id"
        return [Change(*row) for row in self.database.execute(query, (after,))]

    def last_change(self) -> int:
        """Id of the newest change; 0 before the first."""
        return int(self.database.execute("SELECT coalesce(max(id), 0) FROM changes").fetchone()[0])

    # Keys.

    def source(self, name: str) -> int:
        """The number of a source; given if it is new."""
        number = self._sources.get(name)
        if number is None:
            self.database.execute("INSERT OR IGNORE INTO sources (name) VALUES (?)", (name,))
            number = int(self.database.execute("SELECT id FROM sources WHERE name = ?", (name,)).fetchone()[0])
            self._sources[name] = number
        return number

    def origin_of(self, values: tuple[str, ...]) -> int:
        """The number of an origin, its values in the order of `schema.ORIGIN`; given if it is new."""
        number = self._origins.get(values)
        if number is None:
            names = ", ".join(schema.ORIGIN)
            marks = ", ".join("?" * len(schema.ORIGIN))
            row = self.database.execute(f"SELECT id FROM origins WHERE ({names}) = ({marks})", values).fetchone()
            if row is None:
                number = self.database.execute(f"INSERT INTO origins ({names}) VALUES ({marks})", values).lastrowid or 0
            else:
                number = int(row[0])
            self._origins[values] = number
        return number

    def find(self, table: str, source: int, episode: int, sequence: int) -> tuple[int, int] | None:
        """First step and steps of a chunk that is here."""
        query = f"SELECT first, steps FROM {table} WHERE source = ? AND episode = ? AND sequence = ?"
        return self.database.execute(query, (source, episode, sequence)).fetchone()

    def beside(self, table: str, source: int, episode: int, sequence: int) -> tuple[Beside | None, Beside | None]:
        """The chunks before and after one in its episode, as far as they are here."""
        query = (
            f"SELECT sequence, first, follows, origin FROM {table} "
            "WHERE source = ? AND episode = ? AND sequence BETWEEN ? AND ? ORDER BY sequence"
        )
        rows = self.database.execute(query, (source, episode, sequence - 1, sequence + 1)).fetchall()
        sides = {row[0] - sequence: Beside(row[1], bool(row[2]), row[3]) for row in rows}
        return sides.get(-1), sides.get(1)

    def raw_of(self, firsts: Iterable[int]) -> list[int]:
        """The blocks of the group "raw" of the same chunks."""
        if self.database.execute("SELECT 1 FROM raw LIMIT 1").fetchone() is None:
            return []
        query = (
            "SELECT raw.first FROM blocks JOIN raw ON (raw.source, raw.episode, raw.sequence) = "
            "(blocks.source, blocks.episode, blocks.sequence) WHERE blocks.first = ?"
        )
        found = (self.database.execute(query, (first,)).fetchone() for first in firsts)
        return [row[0] for row in found if row]

    def gone(self, raw: bool, source: int, episode: int, sequence: int) -> tuple[int, int] | None:
        """First step and steps of a chunk that was stored and left on purpose."""
        query = "SELECT first, steps FROM gone WHERE source = ? AND episode = ? AND sequence = ? AND raw = ?"
        return self.database.execute(query, (source, episode, sequence, raw)).fetchone()

    def was_stored(self, source: str, episode: int, sequence: int) -> bool:
        """Whether a chunk is here, or was and left on purpose: it will not be stored again."""
        query = (
            "SELECT 1 FROM sources AS s WHERE s.name = ?1 AND (EXISTS (SELECT 1 FROM blocks AS b WHERE (b.source, b.episode, "
            "b.sequence) = (s.id, ?2, ?3)) OR EXISTS (SELECT 1 FROM gone AS g WHERE (g.source, g.episode, g.sequence, g.raw) "
            "= (s.id, ?2, ?3, 0)))"
        )
        return self.database.execute(query, (source, episode, sequence)).fetchone() is not None

    def succeeded(self, source: int, episode: int) -> bool:
        """Whether the chunks of an episode that are here say that it succeeded."""
        query = "SELECT success FROM blocks WHERE source = ? AND episode = ? LIMIT 1"
        return bool((self.database.execute(query, (source, episode)).fetchone() or (0,))[0])

    # What changes.

    def insert(self, table: str, row: tuple[Any, ...]) -> None:
        """A block, its values in the order of the schema."""
        if table == "blocks" and self._blocks is not None:
            self._blocks.append(row[: len(schema.PLACE)])
            if len(self._blocks) > _NEWS:
                self._blocks = None
        self.database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)

    def count(self, group: str, total: int) -> None:
        """Steps of a group ever."""
        self.database.execute("UPDATE counters SET next = ? WHERE name = ?", (total, group))

    def add_segment(self, number: int, raw: bool, place: int, state: str = "live") -> None:
        """A new file."""
        self.database.execute("INSERT INTO segments VALUES (?, ?, ?, ?, 0, 0, 0)", (number, raw, place, state))

    def extend_segment(self, number: int, size: int, synced: int, live: int) -> None:
        """A file has `size` bytes, of which `synced` survive a power cut, and `live` more belong to blocks."""
        query = "UPDATE segments SET bytes = ?, synced = ?, live = live + ? WHERE id = ?"
        self.database.execute(query, (size, synced, live, number))

    def places(self) -> dict[int, int]:
        """Segment -> the place in which it lies."""
        return dict(self.database.execute("SELECT id, place FROM segments").fetchall())

    def next_segment(self, least: int) -> int:
        """A number for a new file, `least` or above; none is given twice, so an old place never means a new file."""
        number = max(self.total(SEGMENTS), least)
        self.count(SEGMENTS, number + 1)
        return number

    def succeed(self, source: int, episode: int) -> None:
        """An episode succeeded: so did all its chunks that are here."""
        where = "WHERE source = ? AND episode = ? AND NOT success"
        found = self.database.execute(f"SELECT first FROM blocks {where}", (source, episode)).fetchall()
        self.database.execute(f"UPDATE blocks SET success = 1 {where}", (source, episode))
        self.note(SUCCESS, (row[0] for row in found))

    def precede(self, table: str, first: int, previous: int) -> None:
        """The chunk before a block is this one from now on."""
        self.database.execute(f"UPDATE {table} SET previous = ? WHERE first = ?", (previous, first))
        if table == "blocks":
            self.note(MOVED, (first,))
            self.forget_pages(first, first)

    def forget_pages(self, first: int, last: int) -> None:
        """Pages that hold blocks first .. last are not true any more."""
        start = "(SELECT coalesce(max(first), 0) FROM pages WHERE first <= ?)"
        self.database.execute(f"DELETE FROM pages WHERE first >= {start} AND first <= ?", (first, last))

    def note(self, kind: str, firsts: Iterable[int]) -> None:
        """Something changed for each of these blocks."""
        self._blocks = None
        rows = ((kind, first, first) for first in firsts)
        self.database.executemany("INSERT INTO changes (kind, first, last) VALUES (?, ?, ?)", rows)

    def note_run(self, kind: str, first: int, last: int) -> None:
        """Something changed for all blocks from one to another."""
        self._blocks = None
        self.database.execute("INSERT INTO changes (kind, first, last) VALUES (?, ?, ?)", (kind, first, last))

    def add_gap(self, first: int, steps: int, reason: str, detail: str = "") -> None:
        """These steps cannot be sampled. Gaps within are swallowed, neighbours of the same reason joined."""
        run, why = self.database.execute, (reason, detail)
        run("DELETE FROM gaps WHERE first >= ? AND first < ?", (first, first + steps))
        if reason != ORPHANED:
            for side in ("first < ? ORDER BY first DESC", "first > ? ORDER BY first"):
                row = run(f"SELECT first, steps, reason, detail FROM gaps WHERE {side} LIMIT 1", (first,)).fetchone()
                if row and row[2:] == why and (row[0] + row[1] == first or row[0] == first + steps):
                    run("DELETE FROM gaps WHERE first = ?", row[:1])
                    first, steps = min(first, row[0]), steps + row[1]
        run("INSERT INTO gaps VALUES (?, ?, ?, ?)", (first, steps, *why))

    def lift_gap(self, first: int, reason: str) -> None:
        """The gap that begins here, for this reason, is none any more."""
        self.database.execute("DELETE FROM gaps WHERE first = ? AND reason = ?", (first, reason))
        self.note(GAP, (first,))
