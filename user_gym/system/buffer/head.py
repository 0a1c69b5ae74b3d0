"""The head of a block: everything but its pictures, verified, and how to read those. It knows no files and no index.

    head (64 bytes) | meta | layout | tables | light region || heavy region

What is left of the bars is the prefix, under one CRC: one read gives all but the pictures. docs/format.md has each byte.
Observation rows are numbered 0..steps. A block that `follows` does not hold row 0: that is row `steps` of the block before.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import U8
from user_gym.errors import BadBlock, BadOption, UnknownName
from user_gym.system.buffer.codec import decode
from user_gym.system.buffer.layout import Column, Layout
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
    stored_from,
    stored_to,
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
    _light: Mapping[str, NDArray[Any]]
    _offsets: Sequence[int]  # (rows * heavy columns + 1,) of the items, from prefix_bytes
    _checks: Sequence[int]  # (rows * heavy columns,) CRC32 of the items

    @classmethod
    def parse(cls, data: Bytes) -> Head:
        """Read and verify a prefix; bytes after it are not looked at.

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
            _light=read_light(light, layout, steps, follows, bool(flags & LIGHT_LZ4)),
            _offsets=offsets,
            _checks=checks,
        )

    def light(self, key: str) -> NDArray[Any]:
        """A light column, read-only: (stored rows, ...) of an observation, (steps, ...) of another. See `Column.key`."""
        column = self._light.get(key)
        if column is None:
            raise UnknownName("light column", key, self._light)
        return column

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where in the block the bytes [begin, end) lie that rows first..last (0..steps) of all heavy columns need."""
        columns, begin = len(self.layout.heavy), first
        for column in self.layout.heavy.values():
            stored = stored_from(column, self.follows)
            begin = min(begin, column.coding.start(max(first - stored, 0)) + stored)
        begin, end = self._offsets[begin * columns], self._offsets[(last + 1) * columns]
        return self.prefix_bytes + begin, self.prefix_bytes + end

    def decode(
        self,
        data: Bytes,
        start: int,
        rows: Sequence[int],
        out: Mapping[str, Sequence[NDArray[Any]]],
        verify: bool = True,
    ) -> None:
        """Write rows of heavy columns into arrays; the GIL is released while bytes are unpacked, added and checked.

        Args:
            data: bytes of this block, at least the `span` of the rows.
            start: where in the block they begin.
            rows: which, 0..steps, without those that are not stored here; rising ones are decoded with the least work.
            out: key of a column -> for each of `rows` an array with the shape and dtype of a row.
            verify: check the CRC32 of each item that is read.

        Raises:
            BadBlock: an item is damaged, or not within `data`.
            BadOption: a row is not stored here, or an array does not fit.
        """
        view = memoryview(data).cast("B")
        for number, (key, column) in enumerate(self.layout.heavy.items()):
            if key in out:
                self._decode(view, start, number, column, rows, out[key], verify)

    def verify(self, row: int, items: Sequence[Any]) -> None:
        """Check what was read of a row: the bytes of its item of each heavy column, in their order. Raises BadBlock."""
        columns = len(self.layout.heavy)
        for place, (key, item) in enumerate(zip(self.layout.heavy, items, strict=True), row * columns):
            _check(item, self._checks[place], f"row {row} of {key}", self.prefix_bytes + self._offsets[place])

    def verify_all(self, data: Bytes) -> None:
        """Check all bytes of the block behind the prefix. Raises BadBlock."""
        view = memoryview(data).cast("B")
        if len(view) != self.block_bytes:
            raise BadBlock("number of bytes", len(view), f"{self.block_bytes}, as the head says")
        places = [self.prefix_bytes + offset for offset in self._offsets]
        columns = len(self.layout.heavy)
        for row in range(len(self._checks) // max(columns, 1)):
            at = places[row * columns : (row + 1) * columns + 1]
            self.verify(row, [view[begin:end] for begin, end in pairwise(at)])
        if any(view[places[-1] :]):
            raise BadBlock("padding at the end", bytes(view[places[-1] :]), "zeros", places[-1])

    def _decode(
        self,
        view: memoryview,
        start: int,
        number: int,
        column: Column,
        rows: Sequence[int],
        out: Sequence[NDArray[Any]],
        verify: bool,
    ) -> None:
        columns, first = len(self.layout.heavy), stored_from(column, self.follows)
        end = stored_to(column, self.steps)
        if rows and not first <= min(rows) <= max(rows) < end:
            raise BadOption(f"rows of {column.key}", list(rows), f"{first}..{end - 1}, which this block holds")
        shift = self.prefix_bytes - start

        def item(row: int) -> memoryview:
            place = (row + first) * columns + number
            begin, stop = self._offsets[place] + shift, self._offsets[place + 1] + shift
            if begin < 0 or stop > len(view):
                raise BadBlock(f"row {row + first} of {column.key}", "missing", f"bytes {begin + start}..{stop + start - 1}")
            piece = view[begin:stop]
            if verify:
                _check(piece, self._checks[place], f"row {row + first} of {column.key}", begin + start)
            return piece

        flat = [_flat(target, column) for target in out]
        decode(item, column.coding, column.shape, [row - first for row in rows], flat)
        for target, decoded in zip(out, flat, strict=True):
            if not target.flags.c_contiguous:
                target[...] = decoded.view(column.dtype).reshape(column.shape)


def _check(item: Any, wanted: int, what: str, offset: int) -> None:
    found = zlib.crc32(item)
    if found != wanted:
        raise BadBlock(f"CRC of {what}", f"{found:#010x}", f"{wanted:#010x}, as in the tables", offset)


def _flat(target: NDArray[Any], column: Column) -> U8:
    """The bytes of an array to write to; other bytes of the same size where they do not lie in one piece."""
    if target.shape != column.shape or target.dtype != column.dtype:
        found, allowed = f"{target.dtype}{target.shape}", f"{column.dtype}{column.shape}"
        raise BadOption(f"array for {column.key}", found, allowed)
    if target.flags.c_contiguous:
        return target.reshape(-1).view(np.uint8)
    return np.empty(column.nbytes, np.uint8)
