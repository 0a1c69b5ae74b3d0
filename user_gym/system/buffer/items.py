"""The heavy region of a block: where its pictures lie, and how to read them. It knows no files, and nothing else of a block.

An item is one row of one column. Items lie by row, and within a row by column. Observation rows are numbered 0..steps; a block
that follows another does not hold row 0.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import U8
from user_gym.errors import BadBlock, BadOption
from user_gym.system.buffer.codec import decode
from user_gym.system.buffer.layout import Column, Layout
from user_gym.system.buffer.prefix import Bytes, stored_from, stored_to


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """Of one block. What is kept for a block that is read now and then, so it is small."""

    layout: Layout
    steps: int
    follows: bool  # observation row 0 lies in the block before
    prefix_bytes: int  # where the region begins
    block_bytes: int  # where it ends
    offsets: Sequence[int]  # (rows * heavy columns + 1,), from prefix_bytes
    checks: Sequence[int]  # (rows * heavy columns,) CRC32

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where in the block the bytes [begin, end) lie that rows first..last (0..steps) of all heavy columns need."""
        columns, begin = len(self.layout.heavy), first
        for column in self.layout.heavy.values():
            if column.coding.keyframe > 1:
                stored = stored_from(column, self.follows)
                begin = min(begin, column.coding.start(max(first - stored, 0)) + stored)
        return self.prefix_bytes + self.offsets[begin * columns], self.prefix_bytes + self.offsets[(last + 1) * columns]

    def decode(
        self,
        data: Bytes,
        start: int,
        rows: Sequence[int],
        out: Mapping[str, Sequence[U8]],
        verify: bool = True,
    ) -> None:
        """Write rows of heavy columns into arrays; the GIL is released while bytes are unpacked, added and checked.

        Args:
            data: bytes of this block, at least the `span` of the rows.
            start: where in the block they begin.
            rows: which, 0..steps, without those that are not stored here; rising ones are decoded with the least work.
            out: key of a column -> for each of `rows` an array (bytes of a row,); see `row_bytes`.
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
            _check(item, self.checks[place], f"row {row} of {key}", self.prefix_bytes + self.offsets[place])

    def verify_all(self, data: Bytes) -> None:
        """Check all bytes of the block behind the prefix. Raises BadBlock."""
        view = memoryview(data).cast("B")
        if len(view) != self.block_bytes:
            raise BadBlock("number of bytes", len(view), f"{self.block_bytes}, as the head says")
        places = [self.prefix_bytes + offset for offset in self.offsets]
        columns = len(self.layout.heavy)
        for row in range(len(self.checks) // max(columns, 1)):
            at = places[row * columns : (row + 1) * columns + 1]
            self.verify(row, [view[begin:end] for begin, end in pairwise(at)])
        if any(view[places[-1] :]):
            raise BadBlock("padding at the end", bytes(view[places[-1] :]), "zeros", places[-1])

    def _decode(
        self, view: memoryview, start: int, number: int, column: Column, rows: Sequence[int], out: Sequence[U8], verify: bool
    ) -> None:
        columns, first, end = len(self.layout.heavy), stored_from(column, self.follows), stored_to(column, self.steps)
        if rows and not first <= min(rows) <= max(rows) < end:
            raise BadOption(f"rows of {column.key}", list(rows), f"{first}..{end - 1}, which this block holds")
        for target in out:
            if target.nbytes != column.nbytes:
                raise BadOption(f"array for {column.key}", f"{target.nbytes} bytes", f"{column.nbytes}, those of a row")
        offsets, shift, size = self.offsets, self.prefix_bytes - start, len(view)

        def item(row: int) -> memoryview:
            place = (row + first) * columns + number
            begin, stop = offsets[place] + shift, offsets[place + 1] + shift
            if begin < 0 or stop > size:
                raise BadBlock(f"row {row + first} of {column.key}", "missing", f"bytes {begin + start}..{stop + start - 1}")
            piece = view[begin:stop]
            if verify:
                _check(piece, self.checks[place], f"row {row + first} of {column.key}", begin + start)
            return piece

        decode(item, column.coding, column.shape, [row - first for row in rows] if first else rows, out)


def row_bytes(rows: NDArray[Any]) -> list[U8]:
    """The bytes of each of some contiguous rows, as views. Raises BadOption."""
    if not rows.flags.c_contiguous:
        raise BadOption("array for rows of pictures", f"strides {rows.strides}", "a contiguous one")
    return list(rows.reshape(len(rows), math.prod(rows.shape[1:])).view(np.uint8))


def _check(item: Any, wanted: int, what: str, offset: int) -> None:
    found = zlib.crc32(item)
    if found != wanted:
        raise BadBlock(f"CRC of {what}", f"{found:#010x}", f"{wanted:#010x}, as in the tables", offset)
