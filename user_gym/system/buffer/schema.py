"""The tables of index.sqlite. It knows what they are for, not who writes them.

`blocks` has a row per block of the group "training", keyed by the cumulative number of its first step; `raw` the same for the
group that is kept and never sampled, with numbers of its own. Both hold live blocks only: what leaves them becomes a gap, and
its key stays in `gone` if it left on purpose.
"""

from __future__ import annotations

import sqlite3

from user_gym.errors import WrongRun

VERSION = 1  # of the tables; PRAGMA user_version. Another one is refused, never guessed at
APPLICATION = 0x55474249  # "UGBI": PRAGMA application_id, so that `file` and we tell it from another program's database

PLACE = {
    "first": int,  # cumulative number of the first step: the key
    "steps": int,
    "segment": int,
    "offset": int,
    "nbytes": int,
    "previous": int,  # as Entries.previous
    "follows": int,
    "origin": int,
}
KEY = {"source": int, "episode": int, "sequence": int}
SUMMARY = {
    "success": int,  # of the whole episode as known so far; all below are of the block alone
    "return": float,  # sum of its rewards
    "reward_min": float,
    "reward_max": float,
    "policy_version_min": int,
    "policy_version_max": int,
    "time_min": float,
    "time_max": float,
    "interventions": int,  # steps
    "terminated": int,
    "truncated": int,
    "wall_time": float,
}
ORIGIN = {"source": str, "robot": str, "task": str, "kind": str, "env_id": str, "spec_hash": str, "clock": str, "layout": str}
BLOCKS = {**PLACE, **KEY, **SUMMARY}
RAW = {**PLACE, **KEY}
TABLES = {"training": "blocks", "raw": "raw"}  # group -> table

CHUNKS = {  # columns of the view that conditions read: name -> what it is in SQL
    **{name: f"origins.{name}" for name in ("source", "robot", "task", "kind", "env_id", "spec_hash")},
    **{name: f'blocks."{name}"' for name in ("episode", "sequence", "steps", *SUMMARY, "first")},
}


def create(database: sqlite3.Connection) -> None:
    """Make all tables in an empty database, in one transaction."""
    statements = _statements()
    columns = ", ".join(f'{what} AS "{name}"' for name, what in CHUNKS.items())
    # CROSS JOIN: SQLite keeps the order, so that a scan walks the blocks as they lie and looks their origins up.
    view = f"CREATE VIEW chunks AS SELECT {columns} FROM blocks CROSS JOIN origins ON origins.id = blocks.origin"
    numbers = [f"INSERT INTO counters VALUES ('{name}', 0)" for name in (*TABLES, "segments")]
    marks = [f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {VERSION}"]
    with database:
        database.execute("BEGIN IMMEDIATE")
        for statement in (*statements, view, *numbers, *marks):
            database.execute(statement)


def _statements() -> list[str]:
    from sqlite_utils import Database  # 0.1 s to import, and needed once in a store's life

    # In memory: sqlite-utils commits as it goes, and tables that are half there must never be seen.
    model = Database(memory=True)
    model.table("origins").create({"id": int, **ORIGIN}, pk="id", not_null=set(ORIGIN))
    model.table("sources").create({"id": int, "name": str}, pk="id", not_null={"name"}).create_index(["name"], unique=True)
    for table, columns in (("blocks", BLOCKS), ("raw", RAW)):
        model.table(table).create(columns, pk="first", not_null=set(columns)).create_index(list(KEY), unique=True)
    model.table("counters").create({"name": str, "next": int}, pk="name", not_null={"next"})  # the next block's `first`
    gone = {**KEY, "raw": int, "first": int, "steps": int}
    model.table("gone").create(gone, pk=("source", "episode", "sequence", "raw"), not_null=set(gone))
    gap = {"first": int, "steps": int, "reason": str, "detail": str}
    model.table("gaps").create(gap, pk="first", not_null=set(gap))
    # live: bytes of blocks that the tables above name; synced: bytes known to survive a power cut.
    segment = {"id": int, "raw": int, "place": int, "state": str, "bytes": int, "synced": int, "live": int}
    model.table("segments").create(segment, pk="id", not_null=set(segment))
    bad = {"id": int, **KEY, "raw": int, "first": int, "steps": int, "segment": int, "offset": int, "nbytes": int}
    bad |= {"reason": str, "at": float}
    model.table("quarantine").create(bad, pk="id", not_null=set(bad) - {"id"})
    page = {"first": int, "last": int, "sum": int, "data": bytes}  # sum: Adler-32
    model.table("pages").create(page, pk="first", not_null=set(page))
    change = {"id": int, "kind": str, "first": int, "last": int}
    model.table("changes").create(change, pk="id", not_null=set(change) - {"id"})
    made = [row[0] for row in model.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()]
    model.close()
    return made


def check(database: sqlite3.Connection, path: object) -> bool:
    """Whether the tables are there; False for an empty database.

    Raises:
        WrongRun: they are another program's, or of another version.
        sqlite3.DatabaseError: the file is damaged.
    """
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables:
        return False
    if (application, version) != (APPLICATION, VERSION):
        raise WrongRun(
            f"{path} is no index of this version: application {application:#x}, version {version}; "
            f"allowed: {APPLICATION:#x}, {VERSION}; open it with the version of user-gym that made it"
        )
    return True
