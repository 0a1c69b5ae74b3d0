"""Which columns a block has, and how each lies in it: a text that the blocks of one collector share. It knows no values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from user_gym.errors import BadBlock, BadChunk, BadOption
from user_gym.system.buffer.codec import RAW, Coding

HEAVY_BYTES = 4096  # a row this large is read alone, from the heavy region; smaller ones lie together in the light region
OBS, STEP, EXTRA = "obs", "step", "extra"
STEP_COLUMNS = {  # those that every chunk has: dtype, and axes of a row
    "action": ("<f4", 1),
    "ordered": ("<f4", 1),
    "reward": ("<f4", 0),
    "terminated": ("|b1", 0),
    "truncated": ("|b1", 0),
    "success": ("|b1", 0),
    "policy_version": ("<i8", 0),
    "is_intervention": ("|b1", 0),
    "time": ("<f8", 0),
}
_DTYPE = re.compile(r"[<>|][biufcmMSU]\d{1,9}(\[\d{0,9}[a-zA-Z]{1,2}\])?")
_LARGEST = (1 << 31) - 1  # bytes of a row; LZ4 takes no more either


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a block."""

    of: str  # "obs": a row for each observation; "step", "extra": one for each step
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]  # of a row
    coding: Coding = RAW  # of a heavy column; light ones are raw
    nbytes: int = field(init=False)  # of a row

    def __post_init__(self) -> None:
        object.__setattr__(self, "nbytes", math.prod(self.shape) * self.dtype.itemsize)

    @property
    def key(self) -> str:
        """Name within the block: "obs.state", "reward", "extra.log_prob"."""
        return self.name if self.of == STEP else f"{self.of}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The columns of a block in the order in which they lie there. Blocks of the same layout share one object.

    Attributes:
        text: JSON, as it is stored.
        columns: all of them.
        light: of the light region, by key.
        heavy: of the heavy region, by key.
    """

    text: bytes
    columns: tuple[Column, ...]
    light: dict[str, Column]
    heavy: dict[str, Column]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Layout:
        """The layout of these columns."""
        records: list[dict[str, Any]] = []
        for column in columns:
            record = {"of": column.of, "name": column.name, "dtype": column.dtype.str, "shape": column.shape}
            coding = column.coding
            if is_heavy(column):
                record |= {"coding": coding.name, "keyframe": coding.keyframe, "quality": coding.quality}
            records.append(record)
        return cls.parse(json.dumps(records, separators=(",", ":")).encode("ascii"))

    @staticmethod
    def parse(text: bytes) -> Layout:
        """Read the text of a layout. Raises BadBlock."""
        return _parse(text)


def is_heavy(column: Column) -> bool:
    """Whether its rows lie in the heavy region."""
    return column.nbytes >= HEAVY_BYTES and len(column.shape) > 0


def storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype itself. Raises BadChunk if its bytes alone are not the values, as of objects and records."""
    if not _DTYPE.fullmatch(dtype.str) or dtype != np.dtype(dtype.str):
        raise BadChunk(f"dtype {dtype} cannot be stored; allowed: bool, int, float, complex, times, and text of fixed length")
    return dtype


@lru_cache(maxsize=256)  # parsed once for thousands of blocks
def _parse(text: bytes) -> Layout:
    try:
        records = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BadBlock("layout", text, "a JSON list of columns, in ASCII") from error
    if not isinstance(records, list):
        raise BadBlock("layout", records, "a JSON list of columns")
    columns = [_column(record) for record in records]
    by_key = {column.key: column for column in columns}
    if len(by_key) != len(columns):
        raise BadBlock("names of columns", [column.key for column in columns], "each once")
    for name, (dtype, axes) in STEP_COLUMNS.items():
        column = by_key.get(name)
        if column is None or column.dtype.str != dtype or len(column.shape) != axes:
            raise BadBlock(f"column {name!r}", column, f"{dtype}, rows of {axes} axes")
    if not any(column.of == OBS for column in columns):
        raise BadBlock("columns", sorted(by_key), "at least one observation among them")
    return Layout(
        text,
        tuple(columns),
        light={key: column for key, column in by_key.items() if not is_heavy(column)},
        heavy={key: column for key, column in by_key.items() if is_heavy(column)},
    )


def _column(record: Any) -> Column:
    if not isinstance(record, dict):
        raise BadBlock("column", record, "a JSON object")
    of, name, dtype, shape = (record.get(key) for key in ("of", "name", "dtype", "shape"))
    if of not in (OBS, STEP, EXTRA) or not isinstance(name, str) or (of == STEP and name not in STEP_COLUMNS):
        raise BadBlock("column", record, f"of {OBS}, {STEP} or {EXTRA}, with a name")
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise BadBlock(f"dtype of column {name!r}", dtype, "as numpy's dtype.str, no object and no record")
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise BadBlock(f"dtype of column {name!r}", dtype, "as numpy's dtype.str") from error
    if kind.str != dtype:
        raise BadBlock(f"dtype of column {name!r}", dtype, f"{kind.str!r}, as numpy's dtype.str")
    if not isinstance(shape, list) or len(shape) > 32 or not all(type(n) is int and 0 <= n <= _LARGEST for n in shape):
        raise BadBlock(f"shape of column {name!r}", shape, f"at most 32 whole numbers, 0..{_LARGEST}")
    if math.prod(n for n in (*shape, kind.itemsize) if n) > _LARGEST:
        raise BadBlock(f"shape of column {name!r}", shape, f"at most {_LARGEST} bytes in a row")
    column = Column(of, name, kind, tuple(shape))
    return replace(column, coding=_coding(record, column)) if is_heavy(column) else column


def _coding(record: dict[str, Any], column: Column) -> Coding:
    name, keyframe, quality = (record.get(key) for key in ("coding", "keyframe", "quality"))
    if not isinstance(name, str) or not isinstance(keyframe, int) or not isinstance(quality, int):
        raise BadBlock(f"coding of column {column.key}", record, "a name, and whole numbers for keyframe and quality")
    try:
        coding = Coding(name, keyframe, quality)
    except BadOption as error:
        raise BadBlock(f"coding of column {column.key}", name, str(error)) from error
    if name == "jpeg" and not is_picture(column):
        raise BadBlock(f"coding of column {column.key}", name, "a lossless one: its rows are no pictures")
    return coding


def is_picture(column: Column) -> bool:
    """Whether JPEG takes its rows: uint8, (height, width) or (height, width, 3), and heavy."""
    shape = column.shape
    return is_heavy(column) and column.dtype == np.uint8 and (len(shape) == 2 or shape[2:] == (3,)) and max(shape[:2]) < 1 << 16
