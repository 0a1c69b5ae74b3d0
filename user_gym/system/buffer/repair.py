"""Every byte of a store is looked at: what is bad is reported, or set right. Takes as long as reading it all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from user_gym.errors import BadBlock, Gone
from user_gym.system.buffer import connection, recovery, schema
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.files import Files
from user_gym.system.buffer.writing import Writing

HEAD = "head"
Progress = Callable[[int, int], object]  # bytes looked at, bytes in all


class Finding(NamedTuple):
    """A block that cannot be read, or is not the one that the index says; or the head of a segment."""

    group: str  # HEAD: of a segment; its blocks are read all the same
    first: int  # -1 for that
    segment: int
    offset: int
    reason: str


class Report(NamedTuple):
    """What was found."""

    blocks: int  # looked at
    nbytes: int
    bad: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether all is as it should be."""
        return not self.bad


def unseen(done: int, total: int) -> None:
    """Progress that nobody looks at."""


def verify(folder: Path, files: Files, progress: Progress) -> Report:
    """Read all blocks of the index, and compare each with its row. Changes nothing."""
    with closing(connection.connect_reader(folder)) as database:
        return _verify(Catalog(database), files, progress)


def _verify(catalog: Catalog, files: Files, progress: Progress) -> Report:
    total = int(catalog.database.execute("SELECT coalesce(sum(live), 0) FROM segments").fetchone()[0])
    blocks = done = 0
    bad: list[Finding] = []
    for group, table in schema.TABLES.items():
        query = (
            f"SELECT first, steps, segment, offset, nbytes, name, episode, sequence FROM {table} "
            "JOIN sources ON sources.id = source ORDER BY segment, offset"
        )
        for first, steps, segment, offset, nbytes, *key in catalog.database.execute(query):
            reason = _damage(files, segment, offset, (steps, nbytes, *key))
            if reason:
                bad.append(Finding(group, first, segment, offset, reason))
            blocks, done = blocks + 1, done + nbytes
            progress(done, total)
    heads = [Finding(HEAD, -1, number, 0, why) for number in sorted(catalog.places()) if (why := _head_damage(files, number))]
    return Report(blocks, done, (*heads, *(found for found in bad if _is_there(catalog, found))))


def _is_there(catalog: Catalog, found: Finding) -> bool:
    """Whether the index still says so: a writer may have moved or pruned the block since it was looked at."""
    query = f'SELECT 1 FROM {schema.TABLES[found.group]} WHERE (first, segment, "offset") = (?, ?, ?)'
    return catalog.database.execute(query, (found.first, found.segment, found.offset)).fetchone() is not None


def repair(writing: Writing, progress: Progress) -> None:
    """Compare all segments with the index from their first byte: bad blocks are quarantined, sound ones entered."""
    with writing.upkeep:
        writing.retire()
        with writing.transaction() as catalog:
            numbers = sorted(catalog.places())
        again: list[int] = []
        for done, number in enumerate(numbers):
            with writing.exclusive() as catalog:
                if recovery.reconcile(catalog, writing.files, number):
                    again.append(number)
            progress(done + 1, len(numbers))
        for number in again:
            with writing.exclusive() as catalog:
                recovery.reconcile(catalog, writing.files, number)


def _head_damage(files: Files, number: int) -> str:
    try:
        with files.use(number) as opened:
            opened.check()
    except BadBlock as error:
        return str(error)
    except Gone:
        pass  # its blocks say so, if it has any
    return ""


def _damage(files: Files, segment: int, offset: int, expected: tuple[object, ...]) -> str:
    try:
        with files.use(segment) as opened:
            head = opened.head(offset)
            head.items.verify_all(opened.read(offset, head.block_bytes))
    except (BadBlock, Gone) as error:
        return str(error)
    found = (head.steps, head.block_bytes, head.source, head.episode, head.sequence)
    return "" if found == expected else f"steps, bytes, source, episode, sequence {found}, but the index says {expected}"
