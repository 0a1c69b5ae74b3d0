"""The regions of a block's prefix: what each may say, held against the bytes that are there. It knows no pictures.

A reader of foreign bytes believes nothing: a size, a count or a shape counts once the bytes bear it out, and memory is taken
only then. docs/format.md has each byte.
"""

from __future__ import annotations

import json
import re
import struct
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.errors import BadBlock
from user_gym.system.buffer.codec import unpress
from user_gym.system.buffer.layout import OBS, Column, Layout
from user_gym.system.chunk import KINDS

MAGIC, VERSION = b"UGB1", 1
HEAD = struct.Struct("<4sHHIIIIIIQddII")
ALIGNMENT = 64  # bytes; each region is padded to it with zeros, so that rows of pictures begin where cache lines do
LIGHT_ALIGNMENT = 8  # bytes; of each column within the light region
FOLLOWS, LIGHT_LZ4 = 1, 2  # flags
TEXTS = ("source", "robot", "task", "kind", "env_id", "spec_hash", "clock", "group")
NUMBERS = ("episode", "sequence")
LARGEST = (1 << 63) - 1  # of NUMBERS, as SQLite holds them
SURROGATE = re.compile("[\ud800-\udfff]")
_LIGHT_MOST = 255  # times that LZ4 makes bytes fewer at most

Bytes = bytes | bytearray | memoryview


def padded(size: int, to: int = ALIGNMENT) -> int:
    """A number of bytes, rounded up."""
    return -(-size // to) * to


class Sizes(NamedTuple):
    """Of a block, in bytes."""

    prefix: int
    block: int


def sizes(data: Bytes) -> Sizes:
    """Sizes that the first 64 bytes of a block claim: not verified, but possible ones. Raises BadBlock."""
    if len(data) < HEAD.size:
        raise BadBlock("number of bytes", len(data), f"{HEAD.size} or more, the head")
    magic, version, _, _, _, meta, layout, tables, light, block, *_ = HEAD.unpack_from(data)
    if magic != MAGIC:
        raise BadBlock("magic", magic, repr(MAGIC), 0, "these bytes are no block")
    if version != VERSION:
        raise BadBlock("version", version, str(VERSION), 4, "another version of user-gym wrote it")
    prefix = HEAD.size + sum(padded(size) for size in (meta, layout, tables, light))
    if block < prefix or block % ALIGNMENT:
        raise BadBlock("size of the block", block, f"a multiple of {ALIGNMENT}, {prefix} or more", 32)
    return Sizes(prefix, block)


def stored_from(column: Column, follows: bool) -> int:
    """The first row of a column that a block holds."""
    return int(follows and column.of == OBS)


def stored_to(column: Column, steps: int) -> int:
    """One more than the last row of a column that a block holds."""
    return steps + (column.of == OBS)


def read_meta(text: bytes, steps: int) -> dict[str, Any]:
    """Fields of a Head."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadBlock("meta", text, "a JSON object", HEAD.size) from error
    if not isinstance(record, dict):
        raise BadBlock("meta", record, "a JSON object", HEAD.size)
    for name in TEXTS:
        if not isinstance(record.get(name), str) or SURROGATE.search(record[name]):
            raise BadBlock(f"meta {name!r}", record.get(name), "text that UTF-8 can write", HEAD.size)
    if record["kind"] not in KINDS:
        raise BadBlock("meta 'kind'", record["kind"], " or ".join(KINDS), HEAD.size)
    for name in NUMBERS:
        if type(record.get(name)) is not int or not 0 <= record[name] <= LARGEST:
            raise BadBlock(f"meta {name!r}", record.get(name), f"a whole number, 0..{LARGEST}", HEAD.size)
    runs, allowed = record.get("reward_source"), f"runs [text, steps], {steps} steps together"
    if not isinstance(runs, list):
        raise BadBlock("meta 'reward_source'", runs, allowed, HEAD.size)
    for run in runs:
        if not (isinstance(run, list) and len(run) == 2 and isinstance(run[0], str) and type(run[1]) is int and run[1] > 0):
            raise BadBlock("meta 'reward_source'", run, allowed, HEAD.size)
    if sum(run[1] for run in runs) != steps:
        raise BadBlock("meta 'reward_source'", runs, allowed, HEAD.size)
    return {name: record[name] for name in (*TEXTS, *NUMBERS)} | {"reward_source": tuple((run[0], run[1]) for run in runs)}


def read_tables(
    tables: memoryview, layout: Layout, steps: int, follows: bool, room: int
) -> tuple[Sequence[int], Sequence[int]]:
    """Offsets and CRCs of the items of the heavy region, which has `room` bytes."""
    columns = list(layout.heavy.values())
    count = (steps + 1) * len(columns) if columns else 0
    wanted = (2 * count + 1) * 4 if columns else 0
    if len(tables) != wanted:
        raise BadBlock("bytes of tables", len(tables), f"{wanted}, for {count} items", 24)
    if not columns:
        if room:
            raise BadBlock("bytes of the heavy region", room, "0: no column is heavy", 32)
        return [0], []
    table = np.frombuffer(tables, "<u4")
    offsets, checks = table[: count + 1], table[count + 1 :]
    lengths = np.diff(offsets.astype(np.int64)).reshape(steps + 1, len(columns))
    if offsets[0] or padded(int(offsets[-1])) != room:
        raise BadBlock("offsets of items", (int(offsets[0]), int(offsets[-1])), f"from 0 to the end of {room} bytes")
    for number, column in enumerate(columns):
        first, end, size = stored_from(column, follows), stored_to(column, steps), column.nbytes
        least = -(-size // column.coding.most)
        here = lengths[first:end, number]
        if here.min() < least or here.max() > size or lengths[:first, number].any() or lengths[end:, number].any():
            allowed = f"{least}..{size}, and 0 where a row is not stored"
            raise BadBlock(f"bytes of items of {column.key}", f"{lengths[:, number].min()}..{here.max()}", allowed)
    return array("I", offsets.tolist()), array("I", checks.tolist())  # 4 bytes each, where a list takes 36


def read_light(
    light: memoryview, layout: Layout, steps: int, follows: bool, pressed: bool, most: int | None = None
) -> dict[str, NDArray[Any]]:
    """The light columns by key; views, unless they were pressed. Unpacked they may be `most` bytes; None: any number."""
    columns = layout.light
    rows = {key: stored_to(column, steps) - stored_from(column, follows) for key, column in columns.items()}
    size = sum(padded(rows[key] * column.nbytes, LIGHT_ALIGNMENT) for key, column in columns.items())
    if size > len(light) * (_LIGHT_MOST if pressed else 1) or (not pressed and size != len(light)):
        raise BadBlock("bytes of the light region", len(light), f"those of {size} bytes of columns", 28)
    if most is not None and size > most:
        raise BadBlock("bytes of light columns", size, f"{most} at most", 28)
    data = unpress(light, "lz4", size) if pressed else light.toreadonly()
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for key, column in columns.items():
        shape, nbytes = (rows[key], *column.shape), rows[key] * column.nbytes
        if nbytes:
            arrays[key] = np.ndarray(shape, column.dtype, data, at)
        else:
            arrays[key] = np.empty(shape, column.dtype)
        at += padded(nbytes, LIGHT_ALIGNMENT)
    return arrays
