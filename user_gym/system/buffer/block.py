"""A block: the bytes of one chunk, the same on the link and on disk. It knows no files and no index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Chunk
from user_gym.errors import BadBlock, BadOption
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.items import row_bytes
from user_gym.system.buffer.layout import EXTRA, OBS, STEP, Column
from user_gym.system.buffer.prefix import Bytes, stored_from, stored_to


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """All bytes of a block, and what its prefix says. `Encoder.encode` and `read_block` make it."""

    data: bytes
    head: Head

    def chunk(self, before: Mapping[str, NDArray[Any]] | None = None) -> Chunk:
        """The chunk, every column decoded. Light columns are read-only views of the block where it holds all their rows.

        Args:
            before: observation column -> the last observation of the block before; for a block that follows.

        Raises:
            BadBlock: an item is damaged.
            BadOption: the block follows, and `before` is missing or does not fit.
        """
        head = self.head
        columns = (*head.layout.light.values(), *head.layout.heavy.values())
        arrays = {column.key: self._rows(column, before) for column in columns}
        step = {column.name: arrays[column.key] for column in columns if column.of == STEP}
        names = {of: [column.name for column in head.layout.columns if column.of == of] for of in (OBS, EXTRA)}
        return Chunk(
            source=head.source,
            episode=head.episode,
            sequence=head.sequence,
            robot=head.robot,
            task=head.task,
            kind=head.kind,
            obs={name: arrays[f"{OBS}.{name}"] for name in names[OBS]},
            **step,
            reward_source=tuple(name for name, count in head.reward_source for _ in range(count)),
            wall_time=head.wall_time,
            clock=head.clock,
            clock_offset=head.clock_offset,
            env_id=head.env_id,
            spec_hash=head.spec_hash,
            extra={name: arrays[f"{EXTRA}.{name}"] for name in names[EXTRA]},
        )

    def _rows(self, column: Column, before: Mapping[str, NDArray[Any]] | None) -> NDArray[Any]:
        """All rows of a column, also the one that the block before holds."""
        head = self.head
        first, end = stored_from(column, head.follows), stored_to(column, head.steps)
        light = column.key in head.layout.light
        if light and not first:
            return head.light(column.key)
        rows = np.empty((end, *column.shape), column.dtype)
        if first:
            rows[0] = _last(before, column)
        if light:
            rows[first:] = head.light(column.key)
        else:
            begin, stop = head.items.span(first, end - 1)
            head.items.decode(
                memoryview(self.data)[begin:stop], begin, range(first, end), {column.key: row_bytes(rows[first:])}
            )
        return rows


def read_block(data: Bytes, most_light: int | None = None) -> Block:
    """The block that these bytes are, from the first to the last; the items are verified when they are decoded.

    Args:
        data: the bytes.
        most_light: as of `Head.parse`.

    Raises:
        BadBlock: they are no block, are damaged before the heavy region, or are too few or too many.
    """
    head = Head.parse(data, most_light)
    if len(data) != head.block_bytes:
        raise BadBlock("number of bytes", len(data), f"{head.block_bytes}, as the head says")
    return Block(bytes(data), head)


def _last(before: Mapping[str, NDArray[Any]] | None, column: Column) -> NDArray[Any]:
    row = None if before is None else before.get(column.name)
    if row is None or row.shape != column.shape or not np.can_cast(row.dtype, column.dtype, "equiv"):
        found = None if row is None else f"{row.dtype}{row.shape}"
        allowed = f"{column.dtype}{column.shape}, the last observation of the block before, which this one follows"
        raise BadOption(f"before: {column.name!r}", found, allowed)
    return row
