"""Which of the steps ever stored are live. Pure arithmetic on ranges of cumulative step numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from user_gym.core import I64, Bool
from user_gym.errors import BadOption


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """The steps that can be sampled at one moment: all of 0 .. total - 1 but the gaps. It never changes.

    An ordinal counts live steps only, a number all steps ever: so a uniform ordinal is a uniform live step.
    """

    total: int  # steps ever
    gaps: I64  # (n,) first number of each gap; ascending, apart from each other
    missing: I64  # (n,) steps of each gap
    count: int  # live steps
    _before: I64  # (n,) live steps before each gap
    _passed: I64  # (n + 1,) missing steps before each gap, and altogether
    _ends: I64  # (n + 1,) 0, and the number after each gap

    @classmethod
    def of(cls, total: int, gaps: I64, missing: I64) -> Live:
        """Of gaps that ascend and do not overlap."""
        passed = np.zeros(len(gaps) + 1, np.int64)
        np.cumsum(missing, out=passed[1:])
        ends = np.zeros(len(gaps) + 1, np.int64)
        np.add(gaps, missing, out=ends[1:])
        return cls(total, gaps, missing, total - int(passed[-1]), gaps - passed[:-1], passed, ends)

    def __len__(self) -> int:
        return self.count

    def grown(self, total: int) -> Live:
        """With more steps at the end, and the same gaps."""
        return Live(total, self.gaps, self.missing, self.count + total - self.total, self._before, self._passed, self._ends)

    def numbers(self, ordinals: I64) -> I64:
        """The cumulative numbers of live steps. Raises BadOption for an ordinal outside 0 .. len - 1."""
        ordinals = np.asarray(ordinals, np.int64)
        if len(ordinals) and (ordinals.min() < 0 or ordinals.max() >= len(self)):
            worst = int(ordinals.min() if ordinals.min() < 0 else ordinals.max())
            raise BadOption("ordinal", worst, f"0 .. {len(self) - 1}", "draw below the length of the same moment")
        if not len(self.gaps):
            return ordinals
        return ordinals + self._passed[np.searchsorted(self._before, ordinals, side="right")]

    def without(self, firsts: I64, steps: I64) -> Live:
        """With more gaps, which may lie in any order and overlap."""
        begin = np.concatenate([self.gaps, firsts])
        order = np.argsort(begin, kind="stable")
        begin = begin[order]
        end = np.maximum.accumulate(begin + np.concatenate([self.missing, steps])[order])
        if not len(begin):
            return self
        apart = np.flatnonzero(np.concatenate([[True], begin[1:] > end[:-1]]))
        last = np.concatenate([apart[1:], [len(begin)]]) - 1
        return Live.of(self.total, begin[apart], end[last] - begin[apart])

    def __contains__(self, number: int) -> bool:
        """Whether a number is of a live step."""
        gap = int(self.gaps.searchsorted(number, "right")) if len(self.gaps) else 0
        return bool(self._ends[gap] <= number < self.total)

    def contains(self, numbers: I64) -> Bool:
        """Which of these numbers are of live steps."""
        # Alive at and after the end of the gap before it; below 0 is before the beginning, which is an end too.
        return (numbers >= self._ends.take(self.gaps.searchsorted(numbers, side="right"))) & (numbers < self.total)
