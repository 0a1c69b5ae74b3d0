"""What a form is made of: each node takes its values out of a tree, and builds the tree again. All of it runs with every step.

Numbers of Python are collected in one list and arrays in another; each node knows where in them its own are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tree = Any
Shape = tuple[int, ...]


class Other(Exception):
    """A tree has another form."""


class Node(Protocol):
    """One node, and all below it."""

    def collect(self, tree: Tree, numbers: list[Any], arrays: list[Any]) -> None:
        """Append the values of a tree. Raises Other."""
        ...

    def build(self, numbers: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> Tree:
        """The tree of all numbers and all arrays of a form."""
        ...


class Array:
    """An array; `at`: its place among the arrays."""

    __slots__ = ("_at", "_dtype", "_shape")

    def __init__(self, dtype: np.dtype[Any], shape: Shape, at: int) -> None:
        self._dtype, self._shape, self._at = dtype, shape, at

    def collect(self, tree: Tree, numbers: list[Any], arrays: list[Any]) -> None:
        """As Node."""
        if not isinstance(tree, np.ndarray) or tree.dtype != self._dtype or tree.shape != self._shape:
            raise Other
        arrays.append(tree)

    def build(self, numbers: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> Tree:
        """As Node."""
        return arrays[self._at]


class Scalar:
    """A number of numpy; `at`: its place among the arrays."""

    __slots__ = ("_at", "_dtype")

    def __init__(self, dtype: np.dtype[Any], at: int) -> None:
        self._dtype, self._at = dtype, at

    def collect(self, tree: Tree, numbers: list[Any], arrays: list[Any]) -> None:
        """As Node."""
        if not isinstance(tree, np.generic) or tree.dtype != self._dtype:
            raise Other
        arrays.append(tree)

    def build(self, numbers: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> Tree:
        """As Node."""
        return arrays[self._at][()]


class Number:
    """A bool, int or float of Python; `at`: its place among the numbers."""

    __slots__ = ("_at", "kind")

    def __init__(self, kind: type, at: int) -> None:
        self.kind, self._at = kind, at

    def collect(self, tree: Tree, numbers: list[Any], arrays: list[Any]) -> None:
        """As Node."""
        if type(tree) is not self.kind:
            raise Other
        numbers.append(tree)

    def build(self, numbers: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> Tree:
        """As Node."""
        return numbers[self._at]


class Same:
    """Text or None, the same each time."""

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        self._value = value

    def collect(self, tree: Tree, numbers: list[Any], arrays: list[Any]) -> None:
        """As Node."""
        if type(tree) is not type(self._value) or tree != self._value:
            raise Other

    def build(self, numbers: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> Tree:
        """As Node."""
        return self._value


class Parts:
    """A list or a tuple; `at`: how many numbers come before its own."""

    __slots__ = ("_at", "_kind", "_parts", "_plain", "_to")

    def __init__(self, kind: type, parts: list[Node], at: int) -> None:
        self._kind, self._parts, self._at, self._to = kind, parts, at, at + len(parts)
        # Where all are numbers of Python, they are looked at together.
        plain = [part.kind for part in parts if isinstance(part, Number)]
        self._plain = plain if len(plain) == len(parts) else None

    def collect(self, tree: Tree, numbers: list[Any], arrays: list[Any]) -> None:
        """As Node."""
        if type(tree) is not self._kind or len(tree) != len(self._parts):
            raise Other
        self._gather(tree, numbers, arrays)

    def build(self, numbers: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> Tree:
        """As Node."""
        if self._plain is not None:
            return self._kind(numbers[self._at : self._to])
        return self._kind([part.build(numbers, arrays) for part in self._parts])

    def _gather(self, values: Sequence[Tree], numbers: list[Any], arrays: list[Any]) -> None:
        if self._plain is None:
            for part, value in zip(self._parts, values, strict=False):  # their numbers are equal
                part.collect(value, numbers, arrays)
        elif list(map(type, values)) == self._plain:
            numbers += values
        else:
            raise Other


class Names(Parts):
    """A dict, with its words in this order."""

    __slots__ = ("_names",)

    def __init__(self, names: list[str], parts: list[Node], at: int) -> None:
        super().__init__(dict, parts, at)
        self._names = names

    def collect(self, tree: Tree, numbers: list[Any], arrays: list[Any]) -> None:
        """As Node."""
        # An abstract base class is slow to ask.
        if not (type(tree) is dict or isinstance(tree, Mapping)) or list(tree) != self._names:
            raise Other
        self._gather(list(tree.values()), numbers, arrays)

    def build(self, numbers: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> Tree:
        """As Node."""
        if self._plain is not None:
            return dict(zip(self._names, numbers[self._at : self._to], strict=False))
        return {name: part.build(numbers, arrays) for name, part in zip(self._names, self._parts, strict=False)}
