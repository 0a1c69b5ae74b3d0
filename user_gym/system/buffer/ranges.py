"""Ascending sets of transition numbers, kept as ranges: ten million blocks are ten million pairs at most, often one."""

from __future__ import annotations

import numpy as np

from user_gym.core import I64, Bool

_FIRST = 16


class Ranges:
    """Disjoint ranges in ascending order; neighbours are joined. Not thread-safe: its owner locks."""

    __slots__ = ("_before", "_count", "_first", "_steps", "_total")

    def __init__(self) -> None:
        self._first = np.empty(_FIRST, np.int64)  # (ranges,) number each begins with
        self._steps = np.empty(_FIRST, np.int64)  # (ranges,) how many it has
        self._before = np.empty(_FIRST, np.int64)  # (ranges,) how many lie in the ranges before it
        self._count = self._total = 0

    def __len__(self) -> int:
        return self._total

    @property
    def ranges(self) -> tuple[I64, I64]:
        """First numbers and lengths, as copies."""
        return self._first[: self._count].copy(), self._steps[: self._count].copy()

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return 3 * self._first.nbytes

    def append(self, first: int, steps: int) -> None:
        """Add first, first + 1, ... (`steps` of them), all above what is there."""
        last = self._count - 1
        if last >= 0 and self._first[last] + self._steps[last] == first:
            self._steps[last] += steps
        else:
            self._reserve(self._count + 1)
            self._first[self._count], self._steps[self._count], self._before[self._count] = first, steps, self._total
            self._count += 1
        self._total += steps

    def extend(self, firsts: I64, steps: I64) -> None:
        """Add many ranges, ascending and above what is there."""
        if self._count:
            firsts = np.concatenate([self._first[self._count - 1 : self._count], firsts])
            steps = np.concatenate([self._steps[self._count - 1 : self._count], steps])
            self._count -= 1
            self._total -= int(steps[0])
        if not len(firsts):
            return
        begins = np.concatenate([[0], np.flatnonzero(firsts[1:] != firsts[:-1] + steps[:-1]) + 1])
        joined = np.add.reduceat(steps, begins)
        self._reserve(self._count + len(begins))
        here = slice(self._count, self._count + len(begins))
        self._first[here], self._steps[here] = firsts[begins], joined
        self._before[here] = self._total + np.cumsum(joined) - joined
        self._count, self._total = self._count + len(begins), self._total + int(joined.sum())

    def remove(self, first: int, steps: int) -> None:
        """Take out first .. first + steps - 1, as far as they are there."""
        firsts, counts = self.ranges
        end = first + steps
        low, high = np.minimum(firsts + counts, first), np.maximum(firsts, end)  # ends of what is left below, begins above
        below, above = np.maximum(low - firsts, 0), np.maximum(firsts + counts - high, 0)
        left = np.stack([below, above], 1).ravel()
        begins = np.stack([firsts, high], 1).ravel()
        self._count = self._total = 0
        self.extend(begins[left > 0], left[left > 0])

    def at(self, ordinals: I64) -> I64:
        """The numbers with these places in the set, 0 .. len - 1."""
        if self._count == 1:
            return ordinals + self._first[0]
        which = self._before[: self._count].searchsorted(ordinals, "right") - 1
        return ordinals - self._before.take(which) + self._first.take(which)

    def below(self, number: int) -> int:
        """How many of them lie below a number."""
        which = int(self._first[: self._count].searchsorted(number, "right")) - 1
        if which < 0:
            return 0
        return int(self._before[which] + min(self._steps[which], number - self._first[which]))

    def newest(self, count: int) -> Ranges:
        """The last so many, as a set of its own; all where there are fewer."""
        made = Ranges()
        if self._total <= count:
            made.extend(*self.ranges)
        elif count:
            begin = int(self.at(np.array([self._total - count]))[0])
            which = int(self._first[: self._count].searchsorted(begin, "right")) - 1
            first, steps = self._first[which : self._count].copy(), self._steps[which : self._count].copy()
            first[0], steps[0] = begin, first[0] + steps[0] - begin
            made.extend(first, steps)
        return made

    def contains(self, numbers: I64) -> Bool:
        """Which of the numbers are in the set."""
        if not self._count:
            return np.zeros(numbers.shape, bool)
        which = self._first[: self._count].searchsorted(numbers, "right") - 1
        inside = numbers < self._first.take(which) + self._steps.take(which)
        return inside & (which >= 0)

    def draw(self, n: int, rng: np.random.Generator) -> I64:
        """n of them, uniform with replacement."""
        return self.at(rng.integers(0, self._total, n))

    def _reserve(self, count: int) -> None:
        if count > len(self._first):
            size = max(count, 2 * len(self._first))
            for name in ("_first", "_steps", "_before"):
                longer = np.empty(size, np.int64)
                longer[: self._count] = getattr(self, name)[: self._count]
                setattr(self, name, longer)
