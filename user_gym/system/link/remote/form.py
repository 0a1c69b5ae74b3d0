"""The form of a tree of arrays and numbers, said once; after that its values travel as one block of bytes. It knows no network.

A tree is what an environment takes and gives: dicts with words as keys, lists and tuples, arrays, numbers, words, None. The
block is little-endian: every bool, int and float of Python in 8 bytes each, in the order of the tree, then every array at a
multiple of 64 bytes. Words and None are part of the form. Where a form came from the other side, all of it is checked, and an
array needs no more memory than the bytes that came.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.errors import BadBlock, BadOption
from user_gym.system.link.remote.nodes import Array, Names, Node, Number, Other, Parts, Same, Scalar, Shape, Tree

_ALIGNMENT = 64  # bytes: a line of a cache
_MOST_LEAVES, _MOST_DEPTH, _MOST_AXES = 1 << 14, 16, 8
_MOST_BYTES = 1 << 32  # of a block; how many may travel, lanes and memory say
_DTYPES = {
    name: np.dtype(name)
    for name in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    )
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LETTERS = {bool: "?7x", int: "q", float: "d"}
_NUMBERS = {"bool": bool, "int": int, "float": float}


class Form:
    """Build it with `of` or `parse`. One thread uses it.

    Attributes:
        words: all of it, as JSON can say it.
        nbytes: of a block.
    """

    def __init__(self, words: Any) -> None:
        self.words = words
        self._letters: list[str] = []
        self._arrays: list[tuple[np.dtype[Any], Shape]] = []
        self._leaves = 0
        self._root = self._node(words, 0)
        self._numbers = struct.Struct("<" + "".join(self._letters))
        self._places: list[int] = []
        at = self._numbers.size
        for dtype, shape in self._arrays:
            at = -(-at // _ALIGNMENT) * _ALIGNMENT
            self._places.append(at)
            at += math.prod(shape) * dtype.itemsize
        self.nbytes = at
        if at > _MOST_BYTES:
            raise BadBlock("bytes of a form", at, f"{_MOST_BYTES} at most")
        self._seen: Any = None  # the block of which these are the views: memory that is shared is the same each time
        self._views: list[NDArray[Any]] = []

    @classmethod
    def of(cls, tree: Tree) -> Form:
        """That of a tree. Raises BadOption where there is something in it that cannot travel."""
        return cls(_described(tree, ""))

    @classmethod
    def parse(cls, words: Any) -> Form:
        """From the other side's `words`. Raises BadBlock."""
        return cls(words)

    def write(self, tree: Tree, block: NDArray[np.uint8]) -> bool:
        """Write the values of a tree; returns False where it has another form, and the block is then of no use.

        Args:
            tree: what is written.
            block: (nbytes,) or longer.
        """
        numbers: list[Any] = []
        arrays: list[Any] = []
        buffer: Any = block  # to make a memoryview of it takes longer than to write into it
        try:
            self._root.collect(tree, numbers, arrays)
            self._numbers.pack_into(buffer, 0, *numbers)
        except (Other, struct.error):
            return False
        for view, array in zip(self._views_of(block), arrays, strict=False):  # as many as the form has
            view[...] = array
        return True

    def read(self, block: Any, copy: bool) -> Tree:
        """The tree of a block.

        Args:
            block: `nbytes` bytes or more.
            copy: its arrays are its own; else they lie in the block.

        Raises:
            BadBlock: too few bytes.
        """
        if len(block) < self.nbytes:
            raise BadBlock("bytes of a block of values", len(block), f"{self.nbytes}, as its form says")
        arrays = self._views_of(block)
        if copy:
            arrays = [array.copy() for array in arrays]
        return self._root.build(self._numbers.unpack_from(block), arrays)

    def _views_of(self, block: Any) -> list[NDArray[Any]]:
        """The arrays of a block, where they lie."""
        if block is not self._seen:
            placed = zip(self._arrays, self._places, strict=True)
            self._views = [np.ndarray(shape, dtype, block, at) for (dtype, shape), at in placed]
            self._seen = block
        return self._views

    def _node(self, words: Any, depth: int) -> Node:
        """One node, and all below it."""
        self._leaves += 1
        if depth > _MOST_DEPTH or self._leaves > _MOST_LEAVES:
            raise BadBlock("form", f"depth {depth}, {self._leaves} leaves", f"{_MOST_DEPTH} and {_MOST_LEAVES} at most")
        at = len(self._letters)
        match words:
            case ["dict", dict() as parts]:
                return Names(list(parts), [self._node(part, depth + 1) for part in parts.values()], at)
            case ["list" | "tuple" as kind, list() as parts]:
                return Parts(list if kind == "list" else tuple, [self._node(part, depth + 1) for part in parts], at)
            case ["array" | "number" as kind, str() as dtype, list() as shape] if dtype in _DTYPES and _is_shape(shape, kind):
                self._arrays.append((_DTYPES[dtype], tuple(shape)))
                place = len(self._arrays) - 1
                return Array(*self._arrays[-1], place) if kind == "array" else Scalar(_DTYPES[dtype], place)
            case ["bool" | "int" | "float" as kind]:
                self._letters.append(_LETTERS[_NUMBERS[kind]])
                return Number(_NUMBERS[kind], at)
            case ["same", str() | None as value]:
                return Same(value)
        raise BadBlock("node of a form", words, "dict, list, tuple, array, number, bool, int, float or same")


def _is_shape(shape: list[Any], kind: str) -> bool:
    sound = len(shape) <= (0 if kind == "number" else _MOST_AXES) and all(type(n) is int and n >= 0 for n in shape)
    return sound and math.prod(max(n, 1) for n in shape) <= _MOST_BYTES


def _described(tree: Tree, path: str) -> list[Any]:
    """Words of a form."""
    if isinstance(tree, Mapping):
        for name in tree:
            if not isinstance(name, str):
                raise BadOption(f"key of {path or 'what is sent'}", name, "text")
        return ["dict", {name: _described(part, f"{path}[{name!r}]") for name, part in tree.items()}]
    if isinstance(tree, list | tuple):
        return ["list" if isinstance(tree, list) else "tuple", [_described(p, f"{path}[{i}]") for i, p in enumerate(tree)]]
    if isinstance(tree, np.ndarray | np.generic):
        name = _NAMES.get(tree.dtype)
        if name is None or tree.ndim > _MOST_AXES:
            raise BadOption(f"array {path or 'that is sent'}", f"{tree.dtype}{tree.shape}", ", ".join(_DTYPES))
        return ["number" if isinstance(tree, np.generic) else "array", name, list(tree.shape)]
    if tree is None or isinstance(tree, str):
        return ["same", tree]
    if isinstance(tree, bool | int | float):
        if isinstance(tree, int) and not -(1 << 63) <= tree < 1 << 63:
            raise BadOption(f"number {path or 'that is sent'}", tree, "64 bits")
        return ["bool" if isinstance(tree, bool) else "int" if isinstance(tree, int) else "float"]
    raise BadOption(f"{path or 'what is sent'}", tree, "dicts, lists, tuples, arrays of numbers, numbers, text, None")
