"""Which tensors lie where in one piece of memory. It holds no memory and knows no versions.

First lie all bfloat16 tensors without gaps, so that they are one array of 16-bit numbers; then the others, each at a multiple
of 64 bytes. Both keep the order in which they were named. Tied tensors, two names for one array, lie there once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import U8
from user_gym.errors import BadBlock, BadOption
from user_gym.system.weights.bf16 import BF16

_ALIGNMENT = 64  # bytes: a line of the cache; to copy into the middle of one takes a tenth longer
_DTYPES = {"bfloat16": BF16} | {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        "float16", "float32", "float64", "complex64", "complex128", "bool",
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    )
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array and its place."""

    name: str
    dtype: np.dtype[Any]  # little-endian, or BF16
    shape: tuple[int, ...]
    offset: int  # bytes

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def view(self, flat: U8) -> NDArray[Any]:
        """Its part of the memory."""
        return np.ndarray(self.shape, self.dtype, flat, self.offset)


@dataclass(frozen=True)
class Layout:
    """All tensors of one set of weights.

    Attributes:
        tensors: each that has a place of its own, in the order of their places.
        ties: further names, and whose place each shares.
    """

    tensors: tuple[Tensor, ...]
    ties: Mapping[str, str]

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], bf16: Container[str] = ()) -> Layout:
        """Of arrays as they are; those named in `bf16` become bfloat16 where they are float32. Raises BadOption."""
        first: dict[tuple[Any, ...], str] = {}
        ties: dict[str, str] = {}
        kinds: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = []
        for name, array in arrays.items():
            dtype = array.dtype.newbyteorder("<")
            if dtype not in _NAMES:
                raise BadOption(f"dtype of weights {name!r}", str(array.dtype), ", ".join(_DTYPES))
            place = (address(array), array.shape, array.strides, dtype, name in bf16)
            if array.size and place in first:
                ties[name] = first[place]
                continue
            first[place] = name
            kinds.append((name, BF16 if name in bf16 and dtype == np.float32 else dtype, array.shape))
        return cls._placed(kinds, ties)

    @classmethod
    def parse(cls, words: Any) -> Layout:
        """The inverse of `words`, of anything that JSON can say. Raises BadBlock."""
        try:
            kinds = [(_text(n), _DTYPES[d], tuple(_count(k) for k in shape)) for n, d, shape in words["tensors"]]
            ties = {_text(name): _text(other) for name, other in words["ties"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadBlock("layout of weights", words, "tensors as [name, dtype, shape], and ties") from error
        names = [name for name, _, _ in kinds]
        if len({*names, *ties}) != len(names) + len(ties) or not set(ties.values()) <= set(names):
            raise BadBlock("names of weights", [*names, *ties], "each once, and ties to others of them")
        return cls._placed(kinds, ties)

    @classmethod
    def _placed(cls, kinds: list[tuple[str, np.dtype[Any], tuple[int, ...]]], ties: Mapping[str, str]) -> Layout:
        offset, tensors = 0, []
        for name, dtype, shape in sorted(kinds, key=lambda kind: kind[1] != BF16):
            if dtype != BF16:
                offset = -(-offset // _ALIGNMENT) * _ALIGNMENT
            tensors.append(Tensor(name, dtype, shape, offset))
            offset += tensors[-1].nbytes
        return cls(tuple(tensors), ties)

    @cached_property
    def words(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"tensors": [[t.name, _NAMES[t.dtype], list(t.shape)] for t in self.tensors], "ties": dict(self.ties)}

    @cached_property
    def places(self) -> Mapping[str, Tensor]:
        """Name -> its place, tied names included."""
        own = {tensor.name: tensor for tensor in self.tensors}
        return own | {name: own[other] for name, other in self.ties.items()}

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the memory."""
        return max((tensor.offset + tensor.nbytes for tensor in self.tensors), default=0)

    @cached_property
    def narrow(self) -> int:
        """How many bfloat16 parameters there are; the first 2 `narrow` bytes are theirs."""
        return sum(tensor.nbytes for tensor in self.tensors if tensor.dtype == BF16) // 2

    def digest(self, spec_hash: str) -> bytes:
        """16 bytes that differ where names, dtypes, shapes, ties or the policy's spec hash do."""
        text = json.dumps([spec_hash, self.words], separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()[:16]

    def require(self, arrays: Mapping[str, NDArray[Any]], partial: bool = False) -> None:
        """Raises BadOption unless these arrays have a place here: all of them, or with `partial` some."""
        known = 0
        for name, tensor in self.places.items():
            array = arrays.get(name)
            if array is None:
                if not partial:
                    raise BadOption("weights", sorted(arrays), f"{name!r} among them", "partial=True keeps the rest")
                continue
            known += 1
            if array.shape != tensor.shape or not (
                array.dtype == tensor.dtype or array.dtype.newbyteorder("<") == tensor.dtype
            ):
                allowed = f"{tensor.dtype}{tensor.shape}, as in the first ones"
                raise BadOption(f"weights {name!r}", f"{array.dtype}{array.shape}", allowed)
        if known != len(arrays):
            raise BadOption("weights", sorted(set(arrays) - set(self.places)), f"the first ones: {', '.join(self.places)}")
        for name, other in self.ties.items():
            if name in arrays and (other not in arrays or address(arrays[name]) != address(arrays[other])):
                allowed = f"the array of {other!r}, as in the first ones"
                raise BadOption(f"weights {name!r}", "an array of its own", allowed, "tied ones stay so, and come together")


def address(array: NDArray[Any]) -> int:
    """Where its first element is."""
    return array.__array_interface__["data"][0]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise TypeError(value)
    return value
