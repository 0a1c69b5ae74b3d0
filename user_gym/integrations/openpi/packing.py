"""Messages of openpi's policy protocol as bytes: msgpack, in which an array is a map of its bytes, dtype and shape.

The bytes are those of openpi's own `msgpack_numpy`. Foreign bytes become plain values and arrays or a BadBlock, and nothing
else: there is no pickle, no object array, and no memory is taken for more than came.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.errors import BadBlock, BadOption, MissingExtra

try:
    import msgpack
except ImportError as error:
    raise MissingExtra("msgpack", "openpi") from error

ARRAY, SCALAR, DATA, DTYPE, SHAPE = b"__ndarray__", b"__npgeneric__", b"data", b"dtype", b"shape"
_DTYPE = re.compile(r"[<>|=]?[biufUS][1-9][0-9]{0,6}")  # numbers and texts of a fixed length
_DTYPES = "a dtype of bool, int, uint, float or text, as numpy's dtype.str"
_AXES = 32  # that an array has at most


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as bytes. Raises BadOption where there is something in it that the protocol has no bytes for."""
    try:
        made = msgpack.packb(message, default=_packed)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadOption("message", error, "maps, lists, texts, bytes, numbers, and numpy arrays of those") from error
    assert made is not None
    return made


def unpack(data: bytes) -> dict[str, Any]:
    """The message that bytes hold; its arrays are the caller's own, in native byte order. Raises BadBlock."""
    try:
        message = msgpack.unpackb(data, object_hook=_unpacked, ext_hook=_refused)
    except BadBlock:
        raise
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise BadBlock("message", f"{len(data)} bytes: {error}", "one msgpack value, of openpi's policy protocol") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise BadBlock("message", message, "a map whose keys are texts")
    return message


def _packed(value: Any) -> Any:
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "biufUS":
        kind = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"a value of type {kind}")
    if isinstance(value, np.ndarray):
        return {ARRAY: True, DATA: value.tobytes(), DTYPE: value.dtype.str, SHAPE: value.shape}
    return {SCALAR: True, DATA: value.item(), DTYPE: value.dtype.str}


def _unpacked(value: dict[Any, Any]) -> Any:
    if ARRAY in value:
        return _array(value)
    return _scalar(value) if SCALAR in value else value


def _array(value: dict[Any, Any]) -> NDArray[Any]:
    dtype, shape, data = _dtype(value.get(DTYPE)), value.get(SHAPE), value.get(DATA)
    whole = isinstance(shape, list) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape)
    if not isinstance(shape, list) or not whole or len(shape) > _AXES:
        raise BadBlock("shape of an array", shape, f"a list of at most {_AXES} whole numbers, 0 or more")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        found = f"{len(data)} bytes" if isinstance(data, bytes) else data
        raise BadBlock("data of an array", found, f"{math.prod(shape) * dtype.itemsize} bytes, as its shape and dtype say")
    try:
        made = np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # such as (0, 2**62): no bytes, and more rows than numpy counts
        raise BadBlock("shape of an array", shape, f"what numpy can hold: {error}") from error
    return made.astype(dtype.newbyteorder("="))


def _scalar(value: dict[Any, Any]) -> np.generic:
    dtype, data = _dtype(value.get(DTYPE)), value.get(DATA)
    try:
        if isinstance(data, bool | int | float | str | bytes):
            return dtype.newbyteorder("=").type(data)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadBlock(f"scalar of {dtype}", data, f"a value of that type: {error}") from error
    raise BadBlock(f"scalar of {dtype}", data, "a number, a text or bytes")


def _dtype(name: Any) -> np.dtype[Any]:
    """Of a name that came. Only what the pattern has is given to numpy, whose own language of dtypes is a large one."""
    if isinstance(name, str) and _DTYPE.fullmatch(name):
        try:
            return np.dtype(name)
        except TypeError:  # such as "<f3"
            pass
    raise BadBlock("dtype of an array", name, _DTYPES)


def _refused(code: int, data: bytes) -> Any:
    raise BadBlock("msgpack extension", code, "none: openpi's policy protocol uses no extensions")
