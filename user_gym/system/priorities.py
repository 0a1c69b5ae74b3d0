"""Prioritized sampling: transitions in proportion to what the learner said of them. It knows numbers, no columns.

Schaul et al. 2015, "Prioritized Experience Replay", proportional variant. The sums stand in a tree of arrays, so that a draw
of n is one vectorised descent.
"""

from __future__ import annotations

import math
import sys
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from user_gym.core import F32, F64, I64, Batch, Bool, real, whole
from user_gym.errors import BadOption, Gone

_FIRST = 1024
_SMALLEST = 1e-6  # priority of a transition of which the learner said 0: it can be drawn again
_GREATEST = 1e100  # that may be said of one: sums of any number of them are finite


class Numbered(Protocol):
    """Storage whose transitions have numbers: `Buffer` and its views."""

    def __len__(self) -> int:
        """How many there are now."""
        ...

    def numbers(self, since: int = 0) -> I64:
        """Numbers, `since` or above, of the transitions that are here now, ascending."""
        ...

    def read(self, numbers: I64, horizon: int = 1, out: Batch | None = None) -> Batch:
        """These transitions. Raises Gone."""
        ...


class Prioritized:
    """Draws transition i with probability p_i^alpha / sum of p^alpha. Not thread-safe: the learner's thread owns it.

    A transition that was never drawn has the largest priority that was given so far.

    Args:
        storage: a buffer or a view.
        alpha: 0 uniform .. 1 proportional.
        beta: 0 no correction .. 1 full correction of the bias by the weights.
    """

    def __init__(self, storage: Numbered, alpha: float = 0.6, beta: float = 0.4) -> None:
        self._storage = storage
        self._alpha = real("alpha", alpha, 0.0, 1.0, "0 .. 1")
        self.beta = real("beta", beta, 0.0, 1.0, "0 .. 1")
        self._tree = np.zeros(2 * _FIRST)  # node i has children 2 i and 2 i + 1; the leaves are the upper half
        self._numbers = np.empty(_FIRST, np.int64)  # of each leaf, ascending
        self._count, self._largest = 0, 1.0

    def __len__(self) -> int:
        self._follow()
        return self._count

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> tuple[Batch, I64, F32]:
        """A batch, the numbers of its transitions (n,), and their weights (n,), the largest of them 1.

        Raises BadOption where nothing is stored.
        """
        n = whole("n", n, 1)
        self._follow()
        while self._tree[1] > 0:
            leaves = self._descend((np.arange(n) + rng.random(n)) * (self._tree[1] / n))
            numbers = self._numbers.take(leaves)
            chance = self._tree.take(leaves + len(self._tree) // 2) / self._tree[1]
            weights = (chance * self._count) ** -self.beta
            try:
                return self._storage.read(numbers, horizon, out), numbers, (weights / weights.max()).astype(np.float32)
            except Gone:  # pruned, or found damaged, since
                self._follow_all()
        raise BadOption("sample", n, "nothing yet: the storage is empty", "append a chunk first")

    def update(self, numbers: ArrayLike, priorities: ArrayLike) -> None:
        """Say how much was learned, such as the size of the temporal-difference error, of drawn transitions.

        Args:
            numbers: (n,) as `sample` returned them; those that have left since are passed over.
            priorities: (n,) 0 .. 1e100; where all are 0, all are drawn alike.

        Raises:
            BadOption: they are none, or not as many as the numbers; then nothing is changed.
        """
        numbers, given = np.asarray(numbers), np.asarray(priorities)
        if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
            found = f"{numbers.dtype} of shape {numbers.shape}"
            raise BadOption("numbers", found, "whole numbers, (n,), as sample returned them")
        sound = given.shape == numbers.shape and given.dtype.kind in "biuf"
        powers = given.astype(np.float64) if sound else np.empty(0)
        if not sound or not ((powers >= 0) & (powers <= _GREATEST)).all():
            allowed = f"{len(numbers)} numbers 0 .. {_GREATEST:g}, one for each transition"
            raise BadOption("priorities", priorities, allowed, "give the absolute temporal-difference errors")
        if not len(given):
            return
        powers = (powers + _SMALLEST) ** self._alpha
        self._largest = max(self._largest, float(powers.max()))
        leaves, here = self._leaves(numbers)
        if here.any():
            self._write(leaves[here], powers[here])

    def _leaves(self, numbers: I64) -> tuple[I64, Bool]:
        """The leaf of each number, and which of them have one."""
        held = self._numbers[: self._count]
        leaves = np.minimum(held.searchsorted(numbers), max(self._count - 1, 0))
        return leaves, held[leaves] == numbers if self._count else np.zeros(len(numbers), bool)

    def _follow(self) -> None:
        """Take in what is new."""
        for _ in range(2):  # what is appended between the two questions looks like a late one
            since = int(self._numbers[self._count - 1]) + 1 if self._count else 0
            new = self._storage.numbers(since)
            if len(new):
                self._add(new)
            if len(self._storage) == self._count:
                return
        self._follow_all()

    def _follow_all(self) -> None:
        """Some left, or older ones came, as where an episode succeeds late: the others keep their priorities."""
        numbers = self._storage.numbers()
        leaves, here = self._leaves(numbers)
        values = np.full(len(numbers), self._largest)
        values[here] = self._tree[leaves[here] + len(self._tree) // 2]
        self._build(numbers, values, len(numbers))

    def _add(self, numbers: I64) -> None:
        count, begin = self._count + len(numbers), self._count
        if count > len(self._numbers):
            values = np.full(count, self._largest)
            values[:begin] = self._tree[len(self._tree) // 2 :][:begin]
            self._build(np.concatenate([self._numbers[:begin], numbers]), values, count)
            return
        self._numbers[begin:count], self._count = numbers, count
        self._write(np.arange(begin, count), np.full(len(numbers), self._largest))

    def _build(self, numbers: I64, values: F64, count: int) -> None:
        size = max(_FIRST, 2 ** math.ceil(math.log2(max(count, 1))))
        self._tree, self._numbers, self._count = np.zeros(2 * size), np.empty(size, np.int64), count
        self._numbers[:count] = numbers
        self._tree[size : size + count] = values
        low = size
        while low > 1:
            below = self._tree[low : 2 * low]
            self._tree[low // 2 : low] = below[::2] + below[1::2]
            low //= 2

    def _write(self, leaves: I64, values: F64) -> None:
        nodes = leaves + len(self._tree) // 2
        self._tree[nodes] = values
        while nodes[0] > 1:
            nodes = np.unique(nodes // 2)
            self._tree[nodes] = self._tree[2 * nodes] + self._tree[2 * nodes + 1]

    def _descend(self, mass: F64) -> I64:
        half = len(self._tree) // 2
        nodes = np.ones(len(mass), np.int64)
        mass = np.minimum(mass, self._tree[1] * (1 - sys.float_info.epsilon))
        while nodes[0] < half:
            left = self._tree.take(2 * nodes)
            right = (mass >= left) & (self._tree.take(2 * nodes + 1) > 0)
            mass = np.where(right, mass - left, mass)
            nodes = 2 * nodes + right
        return nodes - half
