"""Rows of one column become items of bytes, and come back bit for bit (JPEG: nearly). It knows no chunks, files or names.

A difference is taken byte by byte, modulo 256, whatever the dtype: to the row before (`previous-*`) or to the keyframe
(`key-*`). Every `keyframe`-th row is a keyframe and stands alone. An item that would not be smaller than its row is the row
itself; its length says so. docs/format.md has the same for other implementers.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import lz4.block
import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import U8
from user_gym.errors import BadBlock, BadOption, MissingExtra

ALONE, PREVIOUS, KEY = "alone", "previous", "key"


class _Kind(NamedTuple):
    press: str  # how bytes are made fewer
    reference: str  # what a row is a difference to
    most: int  # times smaller that an item can be than its row


# LZ4: one byte of length adds at most 255. Zstandard: an RLE block of 4 bytes holds at most 128 KiB. JPEG: an 8 x 8 block of
# each of three components takes 2 bits or more each, so 192 bytes take 6 bits.
_KINDS = {
    "raw": _Kind("raw", ALONE, 1),
    "lz4": _Kind("lz4", ALONE, 255),
    "previous-lz4": _Kind("lz4", PREVIOUS, 255),
    "key-lz4": _Kind("lz4", KEY, 255),
    "zstd": _Kind("zstd", ALONE, 1 << 15),
    "previous-zstd": _Kind("zstd", PREVIOUS, 1 << 15),
    "key-zstd": _Kind("zstd", KEY, 1 << 15),
    "jpeg": _Kind("jpeg", ALONE, 256),
}
_ZSTD_LEVEL = 1
_NOTHING = np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True)
class Coding:
    """How the rows of a column are coded; recorded with the column.

    Attributes:
        name: "raw", "lz4", "zstd", each of the last two also with "previous-" or "key-" before it, or "jpeg", which is lossy.
        keyframe: rows from one keyframe to the next; 1 where rows stand alone.
        quality: of JPEG, 1..100; 0 otherwise.
    """

    name: str = "raw"
    keyframe: int = 1
    quality: int = 0

    def __post_init__(self) -> None:
        if self.name not in _KINDS:
            raise BadOption("coding", self.name, ", ".join(_KINDS))
        least, most = (1, 1) if self.reference == ALONE else (2, (1 << 31) - 1)
        if type(self.keyframe) is not int or not least <= self.keyframe <= most:
            raise BadOption(f"keyframe of {self.name}", self.keyframe, f"a whole number, {least}..{most}")
        least, most = (1, 100) if self.name == "jpeg" else (0, 0)
        if type(self.quality) is not int or not least <= self.quality <= most:
            raise BadOption(f"quality of {self.name}", self.quality, f"a whole number, {least}..{most}")

    @property
    def reference(self) -> str:
        """What a row is a difference to: "alone", "previous" or "key"."""
        return _KINDS[self.name].reference

    @property
    def most(self) -> int:
        """How many times smaller than its row an item can be at most: bounds what a claimed size may make us allocate."""
        return _KINDS[self.name].most

    def start(self, row: int) -> int:
        """The first row that has to be read to decode `row`; rows count from the first that is stored."""
        return row - row % self.keyframe


RAW = Coding()


def press(data: Any, how: str) -> bytes:
    """Bytes made fewer by "lz4" or "zstd"; the GIL is released meanwhile. Raises MissingExtra."""
    if how == "lz4":
        return lz4.block.compress(data, store_size=False)
    return _zstandard().ZstdCompressor(level=_ZSTD_LEVEL).compress(data)


def unpress(data: Any, how: str, size: int) -> bytes:
    """What `press` was given, `size` bytes. Raises BadBlock if `data` are not that, MissingExtra."""
    if how == "lz4":
        try:
            plain = lz4.block.decompress(data, uncompressed_size=size)
        except lz4.block.LZ4BlockError as error:
            raise BadBlock("LZ4 data", str(error), f"a block of {size} bytes") from error
    else:
        zstandard = _zstandard()
        try:
            if zstandard.frame_content_size(data) != size:
                raise BadBlock("content size of a zstd frame", zstandard.frame_content_size(data), f"{size} bytes")
            plain = zstandard.ZstdDecompressor().decompress(data)
        except zstandard.ZstdError as error:
            raise BadBlock("zstd data", str(error), f"a frame of {size} bytes") from error
    if len(plain) != size:
        raise BadBlock("length of unpacked data", len(plain), f"{size} bytes")
    return plain


def encode(rows: U8, coding: Coding, shape: tuple[int, ...]) -> Iterator[Any]:
    """The items of these rows, one after the other.

    Args:
        rows: (n, bytes of a row), contiguous.
        coding: how.
        shape: of a row; only JPEG asks.
    """
    how, reference, _ = _KINDS[coding.name]
    if how == "raw":
        yield from rows
        return
    scratch = np.empty(rows.shape[1], np.uint8)
    for number, row in enumerate(rows):
        if how == "jpeg":
            item = _to_jpeg(row, shape, coding.quality)
        elif number % coding.keyframe == 0:
            item = press(row, how)
        else:
            other = rows[number - 1] if reference == PREVIOUS else rows[coding.start(number)]
            item = press(np.subtract(row, other, out=scratch), how)
        yield item if len(item) < len(row) else row


def decode(
    item: Callable[[int], memoryview],
    coding: Coding,
    shape: tuple[int, ...],
    rows: Sequence[int],
    out: Sequence[U8],
) -> None:
    """Write rows into arrays.

    Args:
        item: the bytes of a row's item; rows count from the first that is stored.
        coding: as they were encoded.
        shape: of a row; only JPEG asks.
        rows: which; any order, also one twice. Rows that rise are decoded with the least work.
        out: for each of them an array (bytes of a row,), contiguous.

    Raises:
        BadBlock: an item cannot be decoded to as many bytes as a row has.
    """
    if coding.reference == KEY:
        _decode_from_key(item, coding, rows, out)
    elif coding.reference == PREVIOUS:
        _decode_from_previous(item, coding, rows, out)
    else:
        for row, target in zip(rows, out, strict=True):
            data = item(row)
            if coding.name == "jpeg" and len(data) != len(target):
                target[:] = _from_jpeg(data, shape)
            else:
                target[:] = _alone(data, coding, len(target))


def _decode_from_key(item: Callable[[int], memoryview], coding: Coding, rows: Sequence[int], out: Sequence[U8]) -> None:
    at, key = -1, _NOTHING
    for row, target in zip(rows, out, strict=True):
        start = coding.start(row)
        if start != at:
            at, key = start, _alone(item(start), coding, len(target))
        if row == start:
            target[:] = key
        else:
            _add(item(row), coding, key, target)


def _decode_from_previous(item: Callable[[int], memoryview], coding: Coding, rows: Sequence[int], out: Sequence[U8]) -> None:
    at, now = -1, _NOTHING  # the last row that is known
    scratch = _NOTHING  # for rows on the way that are not wanted
    for row, target in zip(rows, out, strict=True):
        start = coding.start(row)
        if not start <= at <= row:
            at, now = start, _alone(item(start), coding, len(target))
        while at < row:
            at += 1
            if at < row and not len(scratch):
                scratch = np.empty(len(target), np.uint8)
            into = target if at == row else scratch
            _add(item(at), coding, now, into)
            now = into
        if now is not target:
            target[:] = now


def _alone(data: memoryview, coding: Coding, size: int) -> U8:
    """The row of an item that is no difference."""
    return np.frombuffer(data if len(data) == size else unpress(data, _KINDS[coding.name].press, size), np.uint8)


def _add(data: memoryview, coding: Coding, reference: U8, out: U8) -> None:
    """Write the row of an item that is a difference to `reference`; `out` may be `reference` itself."""
    if len(data) == len(out):
        out[:] = np.frombuffer(data, np.uint8)
    else:
        np.add(_alone(data, coding, len(out)), reference, out=out)


def _zstandard() -> Any:
    try:
        return import_module("zstandard")
    except ImportError as error:
        raise MissingExtra("zstandard", "zstd") from error


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError as error:
        raise MissingExtra("PIL", "viz") from error


def _to_jpeg(row: U8, shape: tuple[int, ...], quality: int) -> bytes:
    file = io.BytesIO()
    _pillow().fromarray(row.reshape(shape)).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _from_jpeg(data: memoryview, shape: tuple[int, ...]) -> NDArray[Any]:
    pillow = _pillow()
    allowed = f"a JPEG of {shape}"
    try:
        with pillow.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            found = (picture.height, picture.width, *([3] if picture.mode == "RGB" else []))
            if found != shape or picture.mode not in ("RGB", "L"):
                raise BadBlock("a JPEG item", (*found, picture.mode), allowed)
            return np.asarray(picture).reshape(-1)
    except (OSError, SyntaxError, pillow.DecompressionBombError) as error:
        raise BadBlock("a JPEG item", str(error), allowed) from error
