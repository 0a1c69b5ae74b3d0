"""The head of a block: everything but its pictures, verified, and where those lie. It knows no files and no index.

    head (64 bytes) | meta | layout | tables | light region || heavy region

What is left of the bars is the prefix, under one CRC: one read gives all but the pictures. docs/format.md has each byte.
Observation rows are numbered 0..steps. A block that `follows` does not hold row 0: that is row `steps` of the block before.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from user_gym.errors import BadBlock, UnknownName
from user_gym.system.buffer.items import Items
from user_gym.system.buffer.layout import Layout
from user_gym.system.buffer.prefix import (
    FOLLOWS,
    HEAD,
    LIGHT_LZ4,
    Bytes,
    padded,
    read_light,
    read_meta,
    read_tables,
    sizes,
)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The prefix of a block. Its light arrays are views of the bytes it was parsed from, which must not change."""

    source: str  # down to reward_source: as in core.Chunk
    robot: str
    task: str
    kind: str
    env_id: str
    spec_hash: str
    clock: str
    group: str  # "training", or another that is kept but not sampled
    episode: int
    sequence: int
    reward_source: tuple[tuple[str, int], ...]  # runs: a source, and for how many steps
    wall_time: float
    clock_offset: float
    steps: int
    follows: bool  # observation row 0 lies in the block before
    layout: Layout
    prefix_bytes: int
    block_bytes: int
    items: Items  # the pictures
    _light: Mapping[str, NDArray[Any]]

    @classmethod
    def parse(cls, data: Bytes, most_light: int | None = None) -> Head:
        """Read and verify a prefix; bytes after it are not looked at.

        Args:
            data: the bytes.
            most_light: bytes that light columns may be together once they are unpacked; None: as many as LZ4 can say.

        Raises:
            BadBlock: the bytes are no prefix of a block, are damaged, or claim more than they can hold.
        """
        view = memoryview(data).cast("B")
        prefix, block = sizes(view)
        if len(view) < prefix:
            raise BadBlock("number of bytes", len(view), f"{prefix}, the prefix; the rest is missing")
        _, _, flags, steps, rows, *lengths, _, wall_time, clock_offset, _, check = HEAD.unpack_from(view)
        found = zlib.crc32(view[HEAD.size : prefix], zlib.crc32(view[: HEAD.size - 4]))
        if found != check:
            raise BadBlock("CRC of the prefix", f"{found:#010x}", f"{check:#010x}, as in the head", HEAD.size - 4)
        follows = bool(flags & FOLLOWS)
        if not steps or rows != steps + 1 - follows:
            raise BadBlock("number of observations", rows, f"{steps + 1 - follows}, of 1 step or more", 12)
        at, parts = HEAD.size, []
        for length in lengths:
            parts.append(view[at : at + length])
            at += padded(length)
        meta, text, tables, light = parts
        layout = Layout.parse(bytes(text))
        offsets, checks = read_tables(tables, layout, steps, follows, block - prefix)
        return cls(
            **read_meta(bytes(meta), steps),
            wall_time=wall_time,
            clock_offset=clock_offset,
            steps=steps,
            follows=follows,
            layout=layout,
            prefix_bytes=prefix,
            block_bytes=block,
            items=Items(layout, steps, follows, prefix, block, offsets, checks),
            _light=read_light(light, layout, steps, follows, bool(flags & LIGHT_LZ4), most_light),
        )

    def light(self, key: str) -> NDArray[Any]:
        """A light column, read-only: (stored rows, ...) of an observation, (steps, ...) of another. See `Column.key`."""
        column = self._light.get(key)
        if column is None:
            raise UnknownName("light column", key, self._light)
        return column
