"""Prioritized sampling: transitions in proportion to what the learner said of them. It knows numbers, no columns.

Schaul et al. 2015, "Prioritized Experience Replay", proportional variant. The sums stand in a tree of arrays, so that a draw
of n is one vectorised descent.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from user_gym.core import F32, F64, I64, Batch, real
from user_gym.errors import BadOption

_FIRST = 1024
_SMALLEST = 1e-6  # priority of a transition of which the learner said 0: it can be drawn again


class Numbered(Protocol):
    """Storage whose transitions have numbers: `Buffer` and its views."""

    def newer(self, number: int) -> I64:
        """Numbers of its transitions from `number` on, ascending."""
        ...

    def lives(self, numbers: I64) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of them can still be read."""
        ...

    def read(self, numbers: I64, horizon: int = 1, out: Batch | None = None) -> Batch:
        """These transitions."""
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
        self._grow()
        return self._count

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1) -> tuple[Batch, I64, F32]:
        """A batch, the numbers of its transitions (n,), and their weights (n,), the largest of them 1.

        Raises BadOption where nothing is stored.
        """
        self._grow()
        while self._tree[1] > 0:
            leaves = self._descend((np.arange(n) + rng.random(n)) * (self._tree[1] / n))
            numbers = self._numbers.take(leaves)
            lives = self._storage.lives(numbers)
            if lives.all():
                chance = self._tree.take(leaves + len(self._tree) // 2) / self._tree[1]
                weights = (chance * self._count) ** -self.beta
                return self._storage.read(numbers, horizon), numbers, (weights / weights.max()).astype(np.float32)
            self._write(leaves[~lives], np.zeros(int((~lives).sum())))  # pruned since
        raise BadOption("sample", n, "nothing yet: the storage is empty", "append a chunk first")

    def update(self, numbers: I64, priorities: ArrayLike) -> None:
        """Say how much was learned, such as the size of the temporal-difference error, of drawn transitions.

        Args:
            numbers: (n,) as `sample` returned them.
            priorities: (n,) >= 0.
        """
        given = np.asarray(priorities, np.float64)
        if given.shape != numbers.shape or not (np.isfinite(given).all() and (given >= 0).all()):
            raise BadOption("priorities", priorities, f"{len(numbers)} finite numbers >= 0, one for each transition")
        leaves = self._numbers[: self._count].searchsorted(numbers)
        if (self._numbers.take(np.minimum(leaves, self._count - 1)) != numbers).any():
            raise BadOption("numbers", numbers, "those that sample returned")
        powers = (given + _SMALLEST) ** self._alpha
        self._largest = max(self._largest, float(powers.max()))
        self._write(leaves, powers)

    def _grow(self) -> None:
        newest = int(self._numbers[self._count - 1]) + 1 if self._count else 0
        numbers = self._storage.newer(newest)
        if not len(numbers):
            return
        count = self._count + len(numbers)
        if count > len(self._numbers):
            size = 2 ** math.ceil(math.log2(count))
            leaves, held = self._tree[len(self._tree) // 2 :], self._numbers
            self._tree, self._numbers = np.zeros(2 * size), np.empty(size, np.int64)
            self._tree[size : size + len(leaves)] = leaves
            self._numbers[: len(held)] = held
            low, high = size, 2 * size
            while low > 1:
                self._tree[low // 2 : high // 2] = self._tree[low:high:2] + self._tree[low + 1 : high : 2]
                low, high = low // 2, low
        self._numbers[self._count : count] = numbers
        self._write(np.arange(self._count, count), np.full(len(numbers), self._largest))
        self._count = count

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
