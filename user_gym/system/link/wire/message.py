"""One message: a kind, a number, words of JSON, and arrays as raw bytes. It knows no stream and no meaning of any kind.

    "UGL1" | kind, u8 | 0, 3 bytes | bytes of words, u32 | 0, 4 bytes | number, u64 | words | arrays, each at a multiple of 8

Words are `[object, [[name, dtype, shape], ...]]`: what is said, and the arrays that follow. Nothing in a message is ever run,
imported or opened.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from user_gym.errors import BadBlock, BadOption
from user_gym.system.link.wire.kinds import Kind

Bytes = bytes | bytearray | memoryview
MAGIC = b"UGL1"
MOST_WORDS = 1 << 20  # bytes
MOST_ARRAYS = 256
_HEAD = struct.Struct("<4sB3xI4xQ")
_ALIGNMENT = 8  # bytes
_MOST_AXES, _MOST_NAME = 8, 200
_LARGEST = 1 << 40  # elements of an array, axes of 0 taken as 1: numpy multiplies them in 64 bits
_DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    )
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_SURROGATE = re.compile(rb"(?<!\\)(?:\\\\)*\\u[dD][89abAB]")  # we write UTF-8 itself; half of a pair cannot be written again


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What one side says."""

    kind: Kind
    words: Mapping[str, Any] = field(default_factory=dict)  # what JSON can say; of a received message others may have them too
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # of a received message: read-only views of its bytes
    number: int = 0  # of a request, and of the reply to it

    def pack(self) -> list[Bytes]:
        """Its bytes in pieces; arrays that are contiguous are not copied, and must not change until all is sent.

        Raises:
            BadOption: words or arrays cannot be sent.
        """
        arrays = {name: _contiguous(array) for name, array in self.arrays.items()}
        text = _text(self.words, [_described(name, array) for name, array in arrays.items()])
        if len(text) > MOST_WORDS or len(arrays) > MOST_ARRAYS:
            allowed = f"{MOST_WORDS} bytes of words and {MOST_ARRAYS} arrays at most"
            raise BadOption(f"size of a message {self.kind.name}", (len(text), len(arrays)), allowed)
        pieces: list[Bytes] = [_HEAD.pack(MAGIC, self.kind, len(text), self.number), text, _padding(len(text))]
        for array in arrays.values():
            if array.nbytes:
                pieces += array.reshape(-1).view(np.uint8).data, _padding(array.nbytes)
        return [piece for piece in pieces if len(piece)]

    @classmethod
    def parse(cls, data: Bytes) -> Message:
        """The inverse of `pack`. Raises BadBlock."""
        view = memoryview(data).toreadonly()
        if len(view) < _HEAD.size:
            raise BadBlock("number of bytes of a message", len(view), f"{_HEAD.size} or more")
        magic, kind, words, number = _HEAD.unpack_from(view)
        if magic != MAGIC:
            raise BadBlock("first bytes of a message", magic, repr(MAGIC), 0)
        if kind not in _KINDS:
            raise BadBlock("kind of a message", kind, f"{min(_KINDS)}..{max(_KINDS)}", 4)
        begin = _HEAD.size + _padded(words)
        if words > MOST_WORDS or begin > len(view):
            raise BadBlock("bytes of words", words, f"{min(MOST_WORDS, len(view) - _HEAD.size)} or fewer", 8)
        text = bytes(view[_HEAD.size : _HEAD.size + words])
        said, rows = _known(text) if words <= _SHORT else _read(text)
        return cls(_KINDS[kind], said, _views(rows, view, begin), number)


_KINDS = {int(kind): kind for kind in Kind}


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.flags.c_contiguous else np.ascontiguousarray(array).reshape(array.shape)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _padding(size: int) -> bytes:
    return bytes(-size % _ALIGNMENT)


def _written(value: Any) -> bytes:
    try:
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        raise BadOption("words of a message", value, "what JSON can say, in UTF-8, without NaN", str(error)) from error


# Who steps a robot says the same words with every step: they are remembered, both ways, where they are short.
_SHORT, _MOST_KNOWN = 512, 256  # bytes of words; of so many messages
_PLAIN = frozenset({str, int})  # types of which equal values are said alike; True is equal to 1
_texts: dict[tuple[Any, ...], bytes] = {}


def _text(words: Mapping[str, Any], table: Sequence[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """Words as they travel. Raises BadOption."""
    if not _PLAIN.issuperset(map(type, words.values())):
        return _written([dict(words), table])
    key = (*words.items(), *table)
    text = _texts.get(key)
    if text is None:
        text = _written([dict(words), table])
        if len(text) <= _SHORT:
            if len(_texts) >= _MOST_KNOWN:
                _texts.clear()
            _texts[key] = text
    return text


def _described(name: str, array: NDArray[Any]) -> tuple[str, str, tuple[int, ...]]:
    dtype = _NAMES.get(array.dtype)
    if dtype is None or len(name) > _MOST_NAME or array.ndim > _MOST_AXES:
        allowed = f"{', '.join(_DTYPES)}; {_MOST_AXES} axes and a name of {_MOST_NAME} characters at most"
        raise BadOption(f"array {name[:_MOST_NAME]!r} of a message", f"{array.dtype}{array.shape}", allowed)
    return name, dtype, array.shape


class _Row(NamedTuple):
    """An array that follows the words."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    nbytes: int
    padded: int


def _read(text: bytes) -> tuple[Mapping[str, Any], Sequence[_Row]]:
    """The two parts of the words."""
    if _SURROGATE.search(text):
        raise BadBlock("words of a message", text[:60], "UTF-8, without escapes for halves of a character", _HEAD.size)
    try:
        parts = _DECODER.decode(text.decode())
    except (ValueError, RecursionError) as error:
        raise BadBlock("words of a message", str(error), "JSON", _HEAD.size) from error
    match parts:
        case [dict() as said, list() as table] if len(table) <= MOST_ARRAYS:
            return said, [_row(row) for row in table]
    raise BadBlock("words of a message", parts, f"an object, and a list of {MOST_ARRAYS} arrays at most", _HEAD.size)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


# Made once: the functions of json would make them anew for each message.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


_known = lru_cache(_MOST_KNOWN)(_read)


def _views(rows: Sequence[_Row], view: memoryview, at: int) -> dict[str, NDArray[Any]]:
    """The arrays that fill the message from `at` to its end."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype, shape, nbytes, padded in rows:
        if name in arrays or at + padded > len(view):
            raise BadBlock("array of a message", (name, shape), f"a new name, and {len(view) - at} bytes or fewer", at)
        arrays[name] = np.ndarray(shape, dtype, view[at : at + nbytes] if nbytes else None)
        arrays[name].flags.writeable = False
        at += padded
    if at != len(view):
        raise BadBlock("number of bytes of a message", len(view), f"{at}, as its arrays say")
    return arrays


def _row(row: Any) -> _Row:
    match row:
        case [str() as name, str() as dtype, list() as shape] if dtype in _DTYPES and len(name) <= _MOST_NAME:
            sound = len(shape) <= _MOST_AXES and all(type(n) is int and 0 <= n <= _LARGEST for n in shape)
            if sound and math.prod(max(n, 1) for n in shape) <= _LARGEST:
                nbytes = math.prod(shape) * _DTYPES[dtype].itemsize
                return _Row(name, _DTYPES[dtype], tuple(shape), nbytes, _padded(nbytes))
    raise BadBlock("array of a message", row, f"[name, dtype, shape], {', '.join(_DTYPES)}, {_LARGEST} elements at most")
