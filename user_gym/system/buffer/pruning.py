"""Blocks leave a store on purpose, and files in which nothing lives any more are deleted."""

from __future__ import annotations

from collections.abc import Iterable

from user_gym.errors import NoSpace
from user_gym.system.buffer import dropping, reserve
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.condition import Condition
from user_gym.system.buffer.writing import Writing

_PART = 10_000  # blocks a transaction: appends do not wait long
_PART_IN_NEED = 500  # where the disk is full: SQLite's log stays below what was reserved


def chosen(catalog: Catalog, condition: Condition) -> list[int]:
    """The blocks of which every step satisfies a condition."""
    text, values = condition.certainly()
    return [first for (first,) in catalog.database.execute(f"SELECT first FROM chunks WHERE {text} ORDER BY first", values)]


def prune(writing: Writing, firsts: Iterable[int]) -> int:
    """Blocks leave, and what lies beside them in the group "raw". Returns their bytes; the files stay as they are.

    Raises:
        NoSpace: the disk is full, and so is what was reserved for this.
    """
    left, freed, many = list(firsts), 0, _PART
    while left:
        part = left[:many]
        try:
            freed += _prune(writing, part)
        except NoSpace:
            many = _PART_IN_NEED
            if not reserve.give(writing.files.folder):
                raise
        else:
            left = left[many:]
    return freed


def _prune(writing: Writing, firsts: list[int]) -> int:
    with writing.transaction() as catalog:
        raw = catalog.raw_of(firsts)
        freed = dropping.prune(catalog, "blocks", firsts)
        return freed + dropping.prune(catalog, "raw", raw) if raw else freed


def delete_empty(writing: Writing) -> int:
    """Delete the segments in which no block lives. Returns their bytes. Who has one open goes on reading it."""
    with writing.upkeep:
        return _delete_empty(writing)


def _delete_empty(writing: Writing) -> int:
    active = writing.active()
    with writing.transaction() as catalog:
        rows = catalog.database.execute("SELECT id, bytes FROM segments WHERE live <= 0 AND state = 'live'").fetchall()
        leaving = {number: size for number, size in rows if number not in active}
        # From here on a kill leaves only files that the next open removes.
        catalog.database.executemany("UPDATE segments SET state = 'leaving' WHERE id = ?", ((n,) for n in leaving))
    if leaving:
        writing.sync()  # a file must not be gone while a power cut could bring back rows that name it
        for number in leaving:
            writing.files.remove(number)
        with writing.transaction() as catalog:
            catalog.database.executemany("DELETE FROM segments WHERE id = ?", ((number,) for number in leaving))
    return sum(leaving.values())
