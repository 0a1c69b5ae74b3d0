"""Blocks leave the index: pruned, or quarantined. It knows rows, no files; its owner begins and ends transactions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from user_gym.system.buffer.catalog import ABSENT, DROPPED, GAP, MOVED, ORPHANED, Catalog

PRUNED, QUARANTINED = "pruned", "quarantined"  # reasons of gaps


def prune(catalog: Catalog, table: str, firsts: Iterable[int]) -> int:
    """Blocks leave on purpose: their keys stay, so that a repeated chunk is not stored again. Returns their bytes."""
    _choose(catalog, firsts)
    catalog.database.execute(
        f"INSERT OR REPLACE INTO gone SELECT source, episode, sequence, ?, first, steps FROM {table} JOIN doomed USING (first)",
        (table == "raw",),
    )
    return _drop(catalog, table, PRUNED)


def quarantine(catalog: Catalog, table: str, firsts: Iterable[int], reason: str) -> int:
    """Blocks whose bytes are bad leave: their keys are free, so that who still has them may store them again."""
    _choose(catalog, firsts)
    place = "first, steps, segment, offset, nbytes"
    catalog.database.execute(
        f"INSERT INTO quarantine (source, episode, sequence, raw, {place}, reason, at) "
        f"SELECT source, episode, sequence, ?, {place}, ?, ? FROM {table} JOIN doomed USING (first)",
        (table == "raw", reason, time.time()),
    )
    return _drop(catalog, table, QUARANTINED)


def note_damage(catalog: Catalog, segment: int, offset: int, nbytes: int, reason: str) -> None:
    """Bytes of which nobody can say what they were; said once."""
    if catalog.database.execute("SELECT 1 FROM quarantine WHERE (segment, offset) = (?, ?)", (segment, offset)).fetchone():
        return
    catalog.database.execute(
        "INSERT INTO quarantine (source, episode, sequence, raw, first, steps, segment, offset, nbytes, reason, at) "
        "VALUES (0, -1, -1, 0, -1, 0, ?, ?, ?, ?, ?)",
        (segment, offset, nbytes, reason, time.time()),
    )


def _choose(catalog: Catalog, firsts: Iterable[int]) -> None:
    catalog.database.execute("CREATE TEMP TABLE IF NOT EXISTS doomed (first INTEGER PRIMARY KEY)")
    catalog.database.execute("DELETE FROM doomed")
    catalog.database.executemany("INSERT OR IGNORE INTO doomed VALUES (?)", ((first,) for first in firsts))


def _drop(catalog: Catalog, table: str, reason: str) -> int:
    """What is chosen leaves its table; returns its bytes."""
    run = catalog.database.execute
    held = run(f"SELECT segment, sum(nbytes) FROM {table} JOIN doomed USING (first) GROUP BY segment").fetchall()
    catalog.database.executemany(
        "UPDATE segments SET live = live - ? WHERE id = ?", [(nbytes, number) for number, nbytes in held]
    )
    orphans = run(
        f"SELECT b.first, b.follows FROM {table} a JOIN doomed USING (first) JOIN {table} b "
        "ON b.source = a.source AND b.episode = a.episode AND b.sequence = a.sequence + 1 "
        "WHERE b.first NOT IN (SELECT first FROM doomed)"
    ).fetchall()
    leaving = run(f"SELECT first, steps FROM {table} JOIN doomed USING (first) ORDER BY first").fetchall()
    run(f"DELETE FROM {table} WHERE first IN (SELECT first FROM doomed)")
    catalog.database.executemany(f"UPDATE {table} SET previous = {ABSENT} WHERE first = ?", [(first,) for first, _ in orphans])
    if table == "blocks":
        for first, last, steps in runs(leaving):
            catalog.add_gap(first, steps, reason)
            catalog.note_run(DROPPED, first, last)
            catalog.forget_pages(first, last)
        for first, follows in orphans:
            catalog.forget_pages(first, first)
            if follows:
                catalog.add_gap(first, 1, ORPHANED)
        catalog.note(MOVED, (first for first, _ in orphans))
        catalog.note(GAP, (first for first, follows in orphans if follows))
    return sum(nbytes for _, nbytes in held)


def runs(blocks: Sequence[tuple[int, int]], near: int = 0) -> Iterator[tuple[int, int, int]]:
    """Of ascending blocks (first, steps) that lie at most `near` steps apart: first of the first, first of the last, steps."""
    begin = last = end = None
    for first, steps in blocks:
        if begin is None or last is None or end is None:
            begin = first
        elif first > end + near:
            yield begin, last, end - begin
            begin = first
        last, end = first, first + steps
    if begin is not None and last is not None and end is not None:
        yield begin, last, end - begin
