"""The episodes of a store, one after another, and their chunks decoded: for tools that walk through it. It draws nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Chunk
from user_gym.system.buffer.beginning import without_first
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.buffer import Buffer
from user_gym.system.buffer.entries import ABSENT, Entry
from user_gym.system.buffer.items import row_bytes
from user_gym.system.buffer.layout import OBS
from user_gym.system.buffer.stored import Stored

_PLACE = 'b.first, b.steps, b.segment, b."offset", b.nbytes, CASE WHEN b.follows THEN b.previous ELSE -1 END, b.origin'


class Piece(NamedTuple):
    """A chunk as the index knows it."""

    entry: Entry
    sequence: int
    follows: bool  # its first observation is the last one of the chunk before it
    total: float  # of its rewards
    interventions: int  # steps


@dataclass(frozen=True, slots=True)
class Episode:
    """Chunks of an episode that come one after another; one that has a gap inside is as many of these as it has parts."""

    source: str
    number: int
    robot: str
    task: str
    kind: str
    env_id: str
    layout: str  # columns, as `Layout.text` has them
    success: bool  # as far as known
    wall_time: float  # s since the epoch, of its first observation
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """As a person gives it: "collector/12"."""
        return f"{self.source}/{self.number}"

    @property
    def steps(self) -> int:
        """Of all chunks."""
        return sum(piece.entry.steps for piece in self.pieces)

    @property
    def nbytes(self) -> int:
        """Of all blocks."""
        return sum(piece.entry.nbytes for piece in self.pieces)


def episodes(store: Stored, wanted: Collection[int] | None = None) -> list[Episode]:
    """All episodes, in the order of their first chunks.

    Args:
        store: open.
        wanted: numbers (`Entry.first`) of the blocks that count; None: all.
    """
    query = (
        "SELECT s.name, b.episode, o.robot, o.task, o.kind, o.env_id, o.layout, b.success, b.wall_time, b.sequence, b.follows, "
        f'b."return", b.interventions, {_PLACE} FROM blocks b JOIN sources s ON s.id = b.source '
        "JOIN origins o ON o.id = b.origin ORDER BY b.source, b.episode, b.sequence"
    )
    with store.lookup.reading() as catalog:
        rows = catalog.database.execute(query).fetchall()
    runs: list[list[tuple[Any, ...]]] = []
    for row in rows:
        if wanted is not None and row[13] not in wanted:
            continue
        last = runs[-1][-1] if runs else None
        if last is not None and last[:2] == row[:2] and last[9] + 1 == row[9]:
            runs[-1].append(row)
        else:
            runs.append([row])
    made = [_episode(run) for run in runs]
    return sorted(made, key=lambda episode: episode.pieces[0].entry.first)


def chosen(store: Stored, where: str) -> set[int]:
    """Numbers of the blocks with a step that satisfies a condition, which may name labels. Raises BadOption."""
    with Buffer.open(store.folder, read_only=True) as buffer:
        numbers = buffer.view(where).numbers()
    blocks = store.entries()
    return set(blocks.first[np.unique(blocks.rows_of(numbers))].tolist())


def chunks(store: Stored, episode: Episode) -> Iterator[Chunk]:
    """The chunks of an episode, decoded.

    A step whose observation was stored in a chunk that is gone is left out. Raises BadBlock, Gone.
    """
    before: Mapping[str, NDArray[Any]] | None = None
    for piece in episode.pieces:
        block = store.read_block(piece.entry)
        if piece.follows and before is None:
            before = predecessor(store, piece.entry)
        lost = piece.follows and before is None
        chunk = without_first(block) if lost else block.chunk(before)
        before = last_observation(block)
        if chunk is not None:
            yield chunk


def predecessor(store: Stored, entry: Entry) -> Mapping[str, NDArray[Any]] | None:
    """The last observation of the block that this one follows; None if that is gone. Raises BadBlock, Gone."""
    if entry.before == ABSENT:
        return None
    return last_observation(store.read_block(store.lookup.find(np.array([entry.before])).entry(0)))


def last_observation(block: Block) -> dict[str, NDArray[Any]]:
    """What a block was followed by. Raises BadBlock."""
    head, rows = block.head, {}
    for column in head.layout.columns:
        if column.of != OBS:
            continue
        if column.key in head.layout.light:
            rows[column.name] = head.light(column.key)[-1]
            continue
        row = np.empty(column.shape, column.dtype)
        begin, stop = head.items.span(head.steps, head.steps)
        head.items.decode(memoryview(block.data)[begin:stop], begin, [head.steps], {column.key: row_bytes(row[None])})
        rows[column.name] = row
    return rows


def _episode(run: list[tuple[Any, ...]]) -> Episode:
    source, number, robot, task, kind, env_id, layout, success, wall_time = run[0][:9]
    pieces = tuple(Piece(Entry(*row[13:]), row[9], bool(row[10]), row[11], row[12]) for row in run)
    return Episode(source, number, robot, task, kind, env_id, layout, bool(success), wall_time, pieces)
