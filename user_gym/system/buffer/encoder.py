"""A chunk becomes a block. The coding of each picture column is found by trial and remembered. It knows no files.

One encoder belongs to one collector: what it remembers fits the pictures of that collector's cameras.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.core import U8, Chunk
from user_gym.errors import BadChunk, BadOption
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.codec import RAW, Coding, encode, press
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.items import Items
from user_gym.system.buffer.layout import (
    EXTRA,
    HEAVY_BYTES,
    OBS,
    STEP,
    STEP_COLUMNS,
    Column,
    Layout,
    is_heavy,
    is_picture,
    storable,
)
from user_gym.system.buffer.prefix import (
    ALIGNMENT,
    FOLLOWS,
    HEAD,
    LARGEST,
    LIGHT_ALIGNMENT,
    LIGHT_LZ4,
    MAGIC,
    NUMBERS,
    SURROGATE,
    TEXTS,
    VERSION,
    padded,
    read_light,
    stored_from,
)
from user_gym.system.buffer.trial import LZ4, ZSTD, Trial
from user_gym.system.chunk import check

_MOST = (1 << 32) - 1  # bytes of a region, because offsets are u32
_LIGHT_WORTH = 0.9  # of its bytes: what LZ4 has to bring the light region to, or it stays as it is
_LIGHT_AGAIN = 64  # blocks until it is tried again
_NOTHING = b""  # item of a row that is not stored


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is the same in all chunks whose columns have these names, dtypes and shapes."""

    columns: tuple[Column, ...]
    light: tuple[int, ...]  # which of them are
    heavy: Mapping[int, Coding | Trial]  # and which are heavy: their coding, or how it is found
    layouts: dict[tuple[Coding, ...], Layout]  # by the codings of the heavy ones


class _Light(NamedTuple):
    """The light region."""

    plain: bytes
    stored: bytes

    @property
    def is_pressed(self) -> bool:
        return self.stored is not self.plain


class Encoder:
    """Encodes the chunks of one collector. Owned by one thread.

    Args:
        lossy: observation or extra column -> quality of JPEG, 1..100: pictures that need not come back bit for bit.
        group: what its columns are for: "training" is sampled, "raw" is kept beside it.
        zstd: let Zstandard take part in the trials: smaller than LZ4, and slower to read.
    """

    def __init__(self, *, lossy: Mapping[str, int] | None = None, group: str = "training", zstd: bool = False) -> None:
        self._lossy = {name: Coding("jpeg", quality=quality) for name, quality in (lossy or {}).items()}
        self._group, self._candidates = group, (*LZ4, *ZSTD) if zstd else LZ4
        self._plans: dict[Hashable, _Plan] = {}
        self._light_wait, self._light_pays = 0, False

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
        plan = self._plan(chunk)
        observations = [array[1:] for array in chunk.obs.values()] if follows else chunk.obs.values()
        arrays = [*observations, *(getattr(chunk, name) for name in STEP_COLUMNS), *chunk.extra.values()]
        codings: list[Coding] = []
        coded: list[list[Any]] = []
        for number, how in plan.heavy.items():
            rows, column = _rows(arrays[number]), plan.columns[number]
            coding = how.coding(rows) if isinstance(how, Trial) else how
            codings.append(coding)
            items = [_NOTHING] * stored_from(column, follows)
            items += encode(rows, coding, column.shape)
            coded.append(items + [_NOTHING] * (len(chunk) + 1 - len(items)))
        layout = self._layout(plan, tuple(codings))
        light = self._light([arrays[number] for number in plan.light])
        return _assembled(chunk, self._meta(chunk), layout, light, *_table(coded), follows)

    def _plan(self, chunk: Chunk) -> _Plan:
        obs = tuple((name, array.dtype, array.shape[1:]) for name, array in chunk.obs.items())
        extra = tuple((name, array.dtype, array.shape[1:]) for name, array in chunk.extra.items())
        plan = self._plans.get((obs, chunk.action.shape[1], extra))
        if plan is None:
            plan = self._plans[obs, chunk.action.shape[1], extra] = self._planned(chunk)
        return plan

    def _planned(self, chunk: Chunk) -> _Plan:
        steps = {name: getattr(chunk, name) for name in STEP_COLUMNS}
        columns = tuple(
            Column(of, name, storable(array.dtype), array.shape[1:])
            for of, group in ((OBS, chunk.obs), (STEP, steps), (EXTRA, chunk.extra))
            for name, array in group.items()
        )
        light = tuple(number for number, column in enumerate(columns) if not is_heavy(column))
        heavy: dict[int, Coding | Trial] = {}
        for number, column in enumerate(columns):
            lossy = self._lossy.get(column.name) if column.of != STEP else None
            if lossy and not is_picture(column):
                found, allowed = f"{column.dtype}{column.shape}", "uint8, (height, width) or (height, width, 3)"
                raise BadOption(f"lossy column {column.name!r}", found, f"{allowed}, {HEAVY_BYTES} bytes or more")
            if number not in light:
                heavy[number] = lossy or Trial(self._candidates)
        return _Plan(columns, light, heavy, {})

    def _layout(self, plan: _Plan, codings: tuple[Coding, ...]) -> Layout:
        layout = plan.layouts.get(codings)
        if layout is None:
            of = dict(zip(plan.heavy, codings, strict=True))
            columns = [replace(column, coding=of.get(number, RAW)) for number, column in enumerate(plan.columns)]
            layout = plan.layouts[codings] = Layout.parse(Layout.of(columns).text)  # the one that readers have
        return layout

    def _light(self, arrays: list[NDArray[Any]]) -> _Light:
        """The light region, pressed while that pays, and else tried now and then."""
        parts: list[bytes] = []
        for array in arrays:
            parts += array.tobytes(), bytes(-array.nbytes % LIGHT_ALIGNMENT)
        plain = b"".join(parts)
        if self._light_pays or self._light_wait == 0:
            pressed = press(plain, "lz4")
            self._light_pays, self._light_wait = len(pressed) < _LIGHT_WORTH * len(plain), _LIGHT_AGAIN
            if self._light_pays:
                return _Light(plain, pressed)
        self._light_wait -= 1
        return _Light(plain, plain)

    def _meta(self, chunk: Chunk) -> dict[str, Any]:
        texts = {name: self._group if name == "group" else getattr(chunk, name) for name in TEXTS}
        numbers = {name: int(getattr(chunk, name)) for name in NUMBERS}
        for name, text in texts.items():
            if not isinstance(text, str) or SURROGATE.search(text):
                raise BadChunk(f"{name} is {text!r}; allowed: text that UTF-8 can write")
        for name, number in numbers.items():
            if number > LARGEST:
                raise BadChunk(f"{name} is {number}; allowed: 0..{LARGEST}")
        return {**texts, **numbers, "reward_source": _runs(chunk.reward_source)}


def _runs(values: Sequence[str]) -> tuple[tuple[str, int], ...]:
    if values.count(values[0]) == len(values):
        return ((values[0], len(values)),)
    return tuple([(value, len(list(run))) for value, run in groupby(values)])


def _rows(array: NDArray[Any]) -> U8:
    """The bytes of an array, (rows, bytes of a row)."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(len(array), -1)


def _table(coded: list[list[Any]]) -> tuple[list[Any], list[int], list[int]]:
    """Items by row, and in a row by column; where they begin and the last one ends, and their CRCs."""
    if not coded:
        return [], [0], []
    items = [item for row in zip(*coded, strict=True) for item in row]
    offsets = [0, *accumulate(map(len, items))]
    if offsets[-1] > _MOST:
        raise BadChunk(f"a chunk has {offsets[-1]} bytes of pictures; allowed: {_MOST}; make its chunks shorter")
    return items, offsets, [zlib.crc32(item) for item in items]


def _assembled(
    chunk: Chunk,
    meta: Mapping[str, Any],
    layout: Layout,
    light: _Light,
    items: list[Any],
    offsets: list[int],
    checks: list[int],
    follows: bool,
) -> Block:
    tables = np.array(offsets + checks, "<u4").tobytes() if items else b""
    regions = (json.dumps(meta, separators=(",", ":")).encode("ascii"), layout.text, tables, light.stored)
    prefix = b"".join([part for region in regions for part in (region, bytes(-len(region) % ALIGNMENT))])
    begin, steps = HEAD.size + len(prefix), len(chunk)
    end = begin + padded(offsets[-1])
    flags = FOLLOWS * follows | LIGHT_LZ4 * light.is_pressed
    counts = (flags, steps, steps + 1 - follows, *map(len, regions), end)
    head = HEAD.pack(MAGIC, VERSION, *counts, chunk.wall_time, chunk.clock_offset, 0, 0)[:-4]
    check_sum = zlib.crc32(prefix, zlib.crc32(head)).to_bytes(4, "little")
    data = b"".join((head, check_sum, prefix, *items, bytes(-offsets[-1] % ALIGNMENT)))
    plain = memoryview(light.plain)
    if not light.is_pressed:  # views of the block, so that the region is not held twice
        plain = memoryview(data)[begin - padded(len(plain)) :][: len(plain)]
    # What `Head.parse` would make of it, in a third of the time.
    parsed = Head(
        **meta,
        wall_time=float(chunk.wall_time),
        clock_offset=float(chunk.clock_offset),
        steps=steps,
        follows=follows,
        layout=layout,
        prefix_bytes=begin,
        block_bytes=end,
        items=Items(layout, steps, follows, begin, end, offsets, checks),
        _light=read_light(plain, layout, steps, follows, pressed=False),
    )
    return Block(data, parsed)
