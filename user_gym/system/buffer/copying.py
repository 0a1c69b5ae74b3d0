"""Blocks go from one store into another as they are: for merging and splitting. It decides nothing about which.

A block whose predecessor does not come along is decoded and encoded anew, since its first observation is stored there. What is
in the target already is not read again: so a copy that was interrupted goes on when it is repeated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from user_gym.errors import BadBlock, BadOption, Gone
from user_gym.system.buffer import schema
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.entries import Entry
from user_gym.system.buffer.episodes import predecessor
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.renaming import renamed
from user_gym.system.buffer.repair import Finding, Progress, unseen
from user_gym.system.buffer.store import Store
from user_gym.system.buffer.stored import Stored

_BATCH = 32 << 20  # bytes that are committed together
_MOST = 256  # blocks that are
_SAME = ("reward", "time", "action")  # columns by which a chunk that comes again is told from another of the same key


@dataclass(slots=True)
class Copied:
    """What a copy did."""

    blocks: int = 0  # that came
    nbytes: int = 0  # of them
    known: int = 0  # blocks that were there already
    recoded: int = 0  # of those that came: decoded and encoded anew
    bad: list[Finding] = field(default_factory=list)  # cannot be read, or left meanwhile; they stayed behind


class _Row(NamedTuple):
    entry: Entry
    follows: bool
    source: str
    episode: int
    sequence: int


def copy(
    origin: Stored, target: Store, wanted: Collection[int] | None = None, name: str = "", progress: Progress = unseen
) -> Copied:
    """Copy blocks, and what lies beside them in the group "raw".

    Args:
        origin: open; it stays as it is.
        target: open to write.
        wanted: numbers (`Entry.first`) of the blocks to be copied; None: all.
        name: put before the sources, as "name/source": two runs may have sources of the same name.
        progress: is told bytes.

    Raises:
        BadOption: the target holds another chunk of the same source, episode and sequence.
        NoSpace: the disk of the target is full; what was copied before stays.
    """
    copied, waiting, done = Copied(), [], 0
    rows = {group: _rows(origin, group, wanted) for group in schema.TABLES}
    total = sum(row.entry.nbytes for group in rows.values() for row in group)
    for group, found in rows.items():
        encoder = Encoder(group=group)
        coming = {row.entry.first for row in found}
        for row in found:
            try:
                if _is_known(origin, target, group, row, name):
                    copied.known += 1
                else:
                    block, recoded = _block(origin, group, row, coming, encoder)
                    waiting.append(renamed(block, f"{name}/{row.source}") if name else block)
                    copied.blocks, copied.nbytes = copied.blocks + 1, copied.nbytes + len(waiting[-1].data)
                    copied.recoded += recoded
            except (BadBlock, Gone) as error:  # damaged, without a file, or pruned meanwhile
                copied.bad.append(Finding(group, row.entry.first, row.entry.segment, row.entry.offset, str(error)))
            done += row.entry.nbytes
            if len(waiting) == _MOST or sum(len(block.data) for block in waiting) >= _BATCH:
                target.append(waiting)
                waiting = []
                progress(done, total)
        if waiting:
            target.append(waiting)
            waiting = []
        progress(done, total)
    return copied


def _rows(origin: Stored, group: str, wanted: Collection[int] | None) -> list[_Row]:
    place = 'b.first, b.steps, b.segment, b."offset", b.nbytes, CASE WHEN b.follows THEN b.previous ELSE -1 END, b.origin'
    query = f"SELECT {place}, b.follows, s.name, b.episode, b.sequence"
    with origin.lookup.reading() as catalog:
        run = catalog.database.execute
        if group == "training":
            found = run(f"{query} FROM blocks b JOIN sources s ON s.id = b.source ORDER BY b.first").fetchall()
            beside = [row[0] for row in found]
        else:
            query += (
                ", t.first FROM raw b JOIN sources s ON s.id = b.source "
                "LEFT JOIN blocks t ON (t.source, t.episode, t.sequence) = (b.source, b.episode, b.sequence) ORDER BY b.first"
            )
            found = run(query).fetchall()
            beside = [row[11] for row in found]
    chosen = (row for row, first in zip(found, beside, strict=True) if wanted is None or first in wanted)
    return [_Row(Entry(*row[:7]), bool(row[7]), *row[8:11]) for row in chosen]


def _block(origin: Stored, group: str, row: _Row, coming: Collection[int], encoder: Encoder) -> tuple[Block, bool]:
    """A block, all its bytes verified, and whether it was encoded anew."""
    block = origin.read_block(row.entry)
    block.head.items.verify_all(block.data)
    found = (block.head.group, block.head.source, block.head.episode, block.head.sequence)
    if found != (expected := (group, row.source, row.episode, row.sequence)):
        raise BadBlock("group, source, episode, sequence", found, f"{expected}, as the index says", row.entry.offset)
    if not row.follows or row.entry.before in coming:
        return block, False
    before = predecessor(origin, row.entry) if group == "training" else None
    if before is None:  # lost here, too; it may be in another store
        return block, False
    return encoder.encode(block.chunk(before)), True


def _is_known(origin: Stored, target: Store, group: str, row: _Row, name: str) -> bool:
    """Whether the target has, or had, a chunk. Raises BadOption if it has another one in its place."""
    table, source = schema.TABLES[group], f"{name}/{row.source}" if name else row.source
    key = (source, row.episode, row.sequence)
    where = "WHERE x.source = (SELECT id FROM sources WHERE name = ?) AND x.episode = ? AND x.sequence = ?"
    place = 'x.first, x.steps, x.segment, x."offset", x.nbytes, -1, x.origin'
    with target.lookup.reading() as catalog:
        run = catalog.database.execute
        found = run(f"SELECT {place} FROM {table} x {where}", key).fetchone()
        if found is None:
            return run(f"SELECT 1 FROM gone x {where} AND x.raw = ?", (*key, group == "raw")).fetchone() is not None
    if not _same(origin.read_prefix(row.entry), target.read_prefix(Entry(*found))):
        raise BadOption(
            "merge",
            f"chunk {row.sequence} of episode {row.episode} of source {source!r}, from {origin.folder}",
            f"one that {target.folder} does not have with other content",
            "the runs have sources of the same name: give each buffer a name of its own with --names",
        )
    return True


def _same(one: Head, other: Head) -> bool:
    """Whether two blocks are of the same chunk, however they are encoded."""
    facts = [(h.steps, h.robot, h.task, h.wall_time, *(h.light(name).tobytes() for name in _SAME)) for h in (one, other)]
    return facts[0] == facts[1]
