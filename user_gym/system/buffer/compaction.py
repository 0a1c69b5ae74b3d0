"""Segments that are mostly dead are written anew without what left. Copy, one transaction, delete: a kill costs no block."""

from __future__ import annotations

from typing import NamedTuple

from user_gym.errors import BadBlock
from user_gym.system.buffer import dropping, schema
from user_gym.system.buffer.catalog import MOVED
from user_gym.system.buffer.files import HERE
from user_gym.system.buffer.pruning import delete_empty
from user_gym.system.buffer.segment import FIRST
from user_gym.system.buffer.writer import explained
from user_gym.system.buffer.writing import Writing

_NEAR = 100_000  # steps between blocks that are noted as one run


class _Live(NamedTuple):
    """A block to be copied."""

    table: str
    first: int
    steps: int
    offset: int
    nbytes: int


def candidates(writing: Writing, dead: float) -> list[int]:
    """Segments of which at least this share is dead, and anything at all; the worst first."""
    active = writing.active()
    with writing.transaction() as catalog:
        rows = catalog.database.execute(
            "SELECT id FROM segments WHERE state = 'live' AND live > 0 AND bytes - live >= max(? * bytes, ?) "
            "ORDER BY CAST(live AS REAL) / bytes",
            (dead, FIRST + 1),
        ).fetchall()
    return [number for (number,) in rows if number not in active]


def compact(writing: Writing, number: int) -> int:
    """Write one segment anew. Returns the bytes won. Damaged blocks are quarantined instead of being copied.

    Raises:
        NoSpace: the disk has no room for the copy; the segment stays as it is.
    """
    with writing.upkeep:
        new, live, size = _begin(writing, number)
        try:
            places, bad = _copy(writing, number, new, live)
        except BaseException:
            writing.files.remove(new)
            with writing.transaction() as catalog:
                catalog.database.execute("DELETE FROM segments WHERE id = ?", (new,))
            raise
        end = _replace(writing, number, new, live, places, bad)
        delete_empty(writing)
    return size - end


def _begin(writing: Writing, number: int) -> tuple[int, list[_Live], int]:
    """The number of the copy, what goes into it, and the bytes of the segment."""
    with writing.transaction() as catalog:
        new = catalog.next_segment(1 + max(writing.files.found(HERE), default=0))
        raw, size = catalog.database.execute("SELECT raw, bytes FROM segments WHERE id = ?", (number,)).fetchone()
        catalog.add_segment(new, bool(raw), HERE, state="making")
        live = [
            _Live(table, *row)
            for table in schema.TABLES.values()
            for row in catalog.database.execute(
                f"SELECT first, steps, offset, nbytes FROM {table} WHERE segment = ? ORDER BY offset", (number,)
            )
        ]
    return new, live, size


def _replace(
    writing: Writing,
    number: int,
    new: int,
    live: list[_Live],
    places: dict[str, dict[int, int]],
    bad: list[tuple[_Live, str]],
) -> int:
    """The copy takes over. Returns its bytes."""
    with writing.transaction() as catalog:
        for block, reason in bad:
            dropping.quarantine(catalog, block.table, (block.first,), reason)
        held = 0
        for block in live:
            if block.first in places[block.table]:
                row = (new, places[block.table][block.first], block.first, number)  # it may have left meanwhile
                text = f"UPDATE {block.table} SET segment = ?, offset = ? WHERE first = ? AND segment = ?"
                held += block.nbytes * catalog.database.execute(text, row).rowcount
        for first, last, _ in dropping.runs(sorted((b.first, b.steps) for b in live if b.table == "blocks"), _NEAR):
            catalog.note_run(MOVED, first, last)
            catalog.forget_pages(first, last)
        end = writing.files.path(new).stat().st_size
        catalog.extend_segment(new, end, end, held)
        catalog.database.execute("UPDATE segments SET state = 'live' WHERE id = ?", (new,))
        catalog.database.execute("UPDATE segments SET live = 0 WHERE id = ?", (number,))
    return end


def _copy(
    writing: Writing, number: int, new: int, live: list[_Live]
) -> tuple[dict[str, dict[int, int]], list[tuple[_Live, str]]]:
    """Copy blocks: where each lies now, by table and first, and those that are damaged, with the reason."""
    files = writing.files
    places: dict[str, dict[int, int]] = {table: {} for table in schema.TABLES.values()}
    bad: list[tuple[_Live, str]] = []
    with explained(files.folder), files.create(new) as to, files.use(number) as segment:
        for block in live:
            try:
                segment.head(block.offset)
                data = segment.read(block.offset, block.nbytes)
            except BadBlock as error:
                bad.append((block, str(error)))
            else:
                places[block.table][block.first] = to.append(data)
        files.sync(to)
    return places, bad
