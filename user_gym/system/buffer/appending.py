"""Chunks on their way in: what they may follow, whether they fit, and room for them. It knows no batches and no memory.

A chunk that goes on where the last one of its source ended, bit for bit, is stored without the observation that it shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from user_gym.core import Acknowledgement, Chunk
from user_gym.errors import BadChunk
from user_gym.system.buffer.batches import columns_of
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.kinds import Kind, rows_of
from user_gym.system.buffer.query import Query
from user_gym.system.buffer.store import Store
from user_gym.system.chunk import check_types

TRAINING = "training"  # the group of blocks that is sampled
_SLACK = 64  # one in so many transitions leaves at once from a full buffer: a commit for many appends


class Appended(NamedTuple):
    """A chunk as it was stored."""

    block: Block
    answer: Acknowledgement


class Appender:
    """Not thread-safe: its owner locks.

    Args:
        store: where blocks go.
        query: of its index.
        capacity: most transitions kept: the oldest chunks leave first, whole. None: no bound.
        lossy: observation or extra column -> quality of JPEG.
    """

    def __init__(self, store: Store, query: Query, capacity: int | None, lossy: Mapping[str, int]) -> None:
        self._store, self._lookup, self._query = store, store.lookup, query
        self._capacity, self._lossy = capacity, lossy
        self._newest: dict[str, _Newest] = {}
        self._encoders: dict[str, Encoder] = {}

    @property
    def is_bounded(self) -> bool:
        """Whether chunks leave to make room."""
        return self._capacity is not None

    def append(self, chunks: Sequence[Chunk | Block], kinds: Sequence[Kind]) -> list[Appended]:
        """Store them in one commit, all or none. Raises as `Store.append`, and BadChunk beside blocks of these kinds."""
        incoming = [_Incoming.of(item) for item in chunks]
        self._check(incoming, kinds)
        self._make_room(incoming)
        blocks = self._encoded(chunks)
        answers = self._store.append(blocks)
        self._make_room(())
        for item, answer in zip(chunks, answers, strict=True):
            if not answer.repeated and isinstance(item, Chunk):
                self._newest[item.source] = _Newest(item, answer.first + answer.steps - 1)
        return [Appended(*pair) for pair in zip(blocks, answers, strict=True)]

    def _check(self, incoming: Sequence[_Incoming], kinds: Sequence[Kind]) -> None:
        """Raise BadChunk where one of them cannot lie beside those that are here, or beside each other."""
        known = [kind.rows for kind in kinds]
        for new in incoming:
            if self._capacity is not None and new.steps > self._capacity:
                raise BadChunk(f"{new.where} has {new.steps} steps; the capacity is {self._capacity}")
            for rows in known:
                for key, (dtype, shape) in new.rows.items():
                    if key in rows and (rows[key][0] != dtype or len(rows[key][1]) != len(shape)):
                        raise BadChunk(
                            f"{new.where}: {key} has rows {dtype}{shape}; those that are stored have "
                            f"{rows[key][0]}{rows[key][1]}; allowed: the same dtype and number of axes, so that a batch can "
                            "hold both, or another name"
                        )
            if new.rows not in known:
                known.append(new.rows)

    def _encoded(self, chunks: Sequence[Chunk | Block]) -> list[Block]:
        newest, blocks = dict(self._newest), []
        for item in chunks:
            if isinstance(item, Block):
                blocks.append(item)
                continue
            encoder = self._encoders.setdefault(item.source, Encoder(lossy=self._lossy))
            before = newest.pop(item.source, None)
            follows = before is not None and before.is_before(item) and self._is_there(before.last)
            blocks.append(encoder.encode(item, follows))
            # What was stored before, perhaps with other observations, is no chunk to follow.
            if item is not chunks[-1] and self._query.place(item.source, item.episode, item.sequence) is None:
                newest[item.source] = _Newest(item, None)
        return blocks

    def _is_there(self, number: int | None) -> bool:
        """Whether a transition can be read; None: one that is about to be stored."""
        return number is None or number in self._lookup.live

    def _make_room(self, incoming: Sequence[_Incoming]) -> None:
        """The oldest chunks leave, whole, so that there is room for others; and a few more, to do it seldom."""
        if self._capacity is None:
            return
        live = self._lookup.live
        excess = len(live) + min(sum([new.steps for new in incoming]), self._capacity) - self._capacity
        if excess <= 0 or (incoming and not self._has_new(incoming)):
            return
        ends = live.numbers(np.array([0, min(excess + self._capacity // _SLACK, len(live)) - 1]))
        oldest, newest = self._lookup.find(ends).first.tolist()
        with self._lookup.reading() as catalog:
            leaving = [first for part in catalog.entries(oldest, newest + 1) for first in part.first.tolist()]
        self._store.prune(firsts=leaving)

    def _has_new(self, incoming: Sequence[_Incoming]) -> bool:
        """Whether one of them was never stored before."""
        with self._lookup.reading() as catalog:
            return not all(catalog.was_stored(*new.key) for new in incoming)


class _Incoming(NamedTuple):
    """What has to be known of a chunk before it is stored."""

    key: tuple[str, int, int]  # source, episode, sequence
    rows: Mapping[str, Any]
    steps: int

    @property
    def where(self) -> str:
        """For errors."""
        return f"chunk {self.key[2]} of episode {self.key[1]} from {self.key[0]!r}"

    @classmethod
    def of(cls, item: Chunk | Block) -> _Incoming:
        """Of a chunk, encoded or not; what is not sampled has no rows."""
        if not isinstance(item, Block):
            check_types(item)
            rows, head = _rows(item), item
            steps = len(item)
        else:
            head, steps = item.head, item.head.steps
            rows = rows_of(head.layout)
            if head.group != TRAINING:
                rows, steps = {}, 0
        return cls((head.source, head.episode, head.sequence), rows, steps)


class _Newest:
    """The newest chunk of a source: what the next one may follow."""

    def __init__(self, chunk: Chunk, last: int | None) -> None:
        """Copies what has to be known of a chunk; `last`: number of its last transition, None until it is stored."""
        self.last, self._place, self._rows = last, (chunk.episode, chunk.sequence), _rows(chunk)
        self._over = bool(chunk.terminated[-1] or chunk.truncated[-1])
        self._obs = {name: column[-1].copy() for name, column in chunk.obs.items()}

    def is_before(self, chunk: Chunk) -> bool:
        """Whether a chunk goes on from here, with the same columns and from the same observation, bit for bit."""
        return (
            self._place == (chunk.episode, chunk.sequence - 1)
            and not self._over
            and self._rows == _rows(chunk)
            and all(self._obs[name].tobytes() == column[0].tobytes() for name, column in chunk.obs.items())
        )


def _rows(chunk: Chunk) -> dict[str, Any]:
    return {key: (column.dtype, column.shape[1:]) for key, column in columns_of(chunk).items()}
