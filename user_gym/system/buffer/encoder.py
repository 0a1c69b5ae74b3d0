"""A chunk becomes a block. The coding of each picture column is found by trial and remembered. It knows no files.

One encoder belongs to one collector: what it remembers fits the pictures of that collector's cameras.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np

from user_gym.core import U8, Chunk, whole
from user_gym.errors import BadChunk, BadOption
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.codec import Coding, encode, pack
from user_gym.system.buffer.head import FOLLOWS, HEAD, LIGHT_ALIGNMENT, LIGHT_LZ4, MAGIC, VERSION, Head, padded, stored_from
from user_gym.system.buffer.layout import EXTRA, OBS, STEP, STEP_COLUMNS, Column, Layout, is_heavy, is_picture, storable
from user_gym.system.buffer.trial import LZ4, ZSTD, Trial
from user_gym.system.chunk import check

_MOST = (1 << 32) - 1  # bytes of a region, because offsets are u32
_LIGHT_WORTH = 0.9  # of its bytes: what LZ4 has to bring the light region to, or it stays as it is
_LIGHT_AGAIN = 64  # blocks until it is tried again


class Encoder:
    """Encodes the chunks of one collector. Owned by one thread.

    Args:
        lossy: observation or extra column -> quality of JPEG, 1..100: pictures that need not come back bit for bit.
        group: what its columns are for: "training" is sampled, "raw" is kept beside it.
        zstd: let Zstandard take part in the trials: smaller than LZ4, and slower to read.
    """

    def __init__(self, *, lossy: Mapping[str, int] | None = None, group: str = "training", zstd: bool = False) -> None:
        self._lossy = {
            name: Coding("jpeg", quality=whole(f"quality of {name!r}", quality, 1)) for name, quality in (lossy or {}).items()
        }
        self._group, self._candidates = group, (*LZ4, *ZSTD) if zstd else LZ4
        self._trials: dict[tuple[str, int], Trial] = {}
        self._layouts: dict[tuple[Column, ...], Layout] = {}
        self._light_left, self._light_packed = 0, False

    def encode(self, chunk: Chunk, follows: bool = False) -> Block:
        """All bytes of a chunk.

        Args:
            chunk: its arrays may be of any dtype but objects and records, and need not be contiguous.
            follows: its first observation is the last of the episode's chunk before: it is not stored again.

        Raises:
            BadChunk: columns do not fit together, cannot be stored, or are more than 4 GiB.
            BadOption: a column is to be lossy and is no picture.
            MissingExtra: JPEG or Zstandard is wanted and not installed.
        """
        check(chunk)
        steps = len(chunk)
        columns: list[Column] = []
        rows: list[U8] = []
        for of, group in ((OBS, chunk.obs), (STEP, _steps(chunk)), (EXTRA, chunk.extra)):
            for name, array in group.items():
                column, data = self._column(of, name, np.asarray(array), follows)
                columns.append(column)
                rows.append(data)
        light = [data for column, data in zip(columns, rows, strict=True) if column.coding is None]
        heavy = [(column, data) for column, data in zip(columns, rows, strict=True) if column.coding is not None]
        layout = self._layout(tuple(columns))
        items, tables = _items(heavy, steps, follows)
        region, packed = self._pack(light)
        flags = FOLLOWS * follows | LIGHT_LZ4 * packed
        return _assembled(chunk, self._meta(chunk), layout.text, tables, region, items, flags)

    def _column(self, of: str, name: str, array: Any, follows: bool) -> tuple[Column, U8]:
        dtype, shape = storable(array.dtype), array.shape[1:]
        if follows and of == OBS:
            array = array[1:]
        row_bytes = array[:1].nbytes if len(array) else 0
        data = _rows(array)
        if not is_heavy(data.shape[1], shape):
            return Column(of, name, dtype, shape), data
        coding = self._lossy.get(name) if of != STEP else None
        if coding is None:
            trial = self._trials.get((f"{of}.{name}", row_bytes))
            if trial is None:
                trial = self._trials[f"{of}.{name}", row_bytes] = Trial(self._candidates)
            coding = trial.coding(data)
        elif not is_picture(dtype, shape):
            raise BadOption(f"lossy column {name!r}", f"{dtype}{shape}", "uint8 (height, width) or (height, width, 3)")
        return Column(of, name, dtype, shape, coding), data

    def _layout(self, columns: tuple[Column, ...]) -> Layout:
        layout = self._layouts.get(columns)
        if layout is None:
            layout = self._layouts[columns] = Layout.of(columns)
        return layout

    def _pack(self, light: list[U8]) -> tuple[bytes, bool]:
        """The light region, and whether it is pressed."""
        parts: list[bytes] = []
        for data in light:
            parts += data.tobytes(), bytes(-data.size % LIGHT_ALIGNMENT)
        plain = b"".join(parts)
        if self._light_left == 0 or self._light_packed:
            packed = pack(plain, "lz4")
            self._light_packed = len(packed) < _LIGHT_WORTH * len(plain)
            self._light_left = _LIGHT_AGAIN
            if self._light_packed:
                return packed, True
        self._light_left -= 1
        return plain, False

    def _meta(self, chunk: Chunk) -> bytes:
        record = {
            "source": chunk.source,
            "episode": int(chunk.episode),
            "sequence": int(chunk.sequence),
            "group": self._group,
            "robot": chunk.robot,
            "task": chunk.task,
            "kind": chunk.kind,
            "env_id": chunk.env_id,
            "spec_hash": chunk.spec_hash,
            "clock": chunk.clock,
            "reward_source": [[source, sum(1 for _ in run)] for source, run in groupby(chunk.reward_source)],
        }
        return json.dumps(record, separators=(",", ":")).encode("ascii")


def _steps(chunk: Chunk) -> dict[str, Any]:
    return {name: getattr(chunk, name) for name in STEP_COLUMNS}


def _rows(array: Any) -> U8:
    """The bytes of an array, (rows, bytes of a row)."""
    if array.nbytes == 0:
        return np.empty((len(array), 0), np.uint8)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(len(array), -1)


def _items(heavy: list[tuple[Column, U8]], steps: int, follows: bool) -> tuple[list[Any], bytes]:
    """Items by row, and in a row by column; and their table."""
    if not heavy:
        return [], b""
    coded: list[list[Any]] = []
    for column, data in heavy:
        assert column.coding is not None
        missing = [b""] * stored_from(column, follows)
        found = [*missing, *encode(data, column.coding, column.shape)]
        coded.append(found + [b""] * (steps + 1 - len(found)))
    items = [items[row] for row in range(steps + 1) for items in coded]
    lengths = np.fromiter((len(item) for item in items), np.int64, len(items))
    offsets = np.zeros(len(items) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] > _MOST:
        raise BadChunk(f"a chunk of {steps} steps has {offsets[-1]} bytes of pictures; allowed: {_MOST}; make chunks shorter")
    checks = np.fromiter((zlib.crc32(item) for item in items), "<u4", len(items))
    return items, offsets.astype("<u4").tobytes() + checks.tobytes()


def _assembled(chunk: Chunk, meta: bytes, layout: bytes, tables: bytes, light: bytes, items: list[Any], flags: int) -> Block:
    steps = len(chunk)
    prefix: list[bytes] = []
    for part in (meta, layout, tables, light):
        prefix += part, bytes(-len(part) % 64)
    heavy = sum(len(item) for item in items)
    prefix_bytes = HEAD.size + sum(map(len, prefix))
    sizes = (len(meta), len(layout), len(tables), len(light))
    fields = (MAGIC, VERSION, flags, steps, steps + 1 - (flags & FOLLOWS), *sizes, prefix_bytes + padded(heavy))
    head = HEAD.pack(*fields, chunk.wall_time, chunk.clock_offset, 0, 0)[:-4]
    check_sum = zlib.crc32(b"".join(prefix), zlib.crc32(head))
    data = b"".join((head, check_sum.to_bytes(4, "little"), *prefix, *items, bytes(-heavy % 64)))
    return Block(data, Head.parse(data))
