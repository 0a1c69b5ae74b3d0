"""The newest labels of one name, in memory, by the numbers of steps. It knows neither who wrote them nor where they lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from user_gym.core import F32, I64


@dataclass(frozen=True, slots=True, eq=False)
class LabelColumn:
    """Four bytes a step of the blocks that have labels, and 24 a block. It never changes."""

    first: I64  # (blocks,) number of each block's first step; ascending
    end: I64  # (blocks,) number after its last step
    begin: I64  # (blocks,) where its labels begin in `values`
    values: F32  # NaN: none

    @classmethod
    def empty(cls) -> LabelColumn:
        """No label at all."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, np.empty(0, np.float32))

    def at(self, numbers: I64) -> F32:
        """The label of each of these steps, whatever the shape; NaN where there is none."""
        values = np.full(np.shape(numbers), np.nan, np.float32)
        which = np.searchsorted(self.first, numbers, side="right") - 1
        here = which >= 0
        here[here] = numbers[here] < self.end[which[here]]
        which = which[here]
        values[here] = self.values[self.begin[which] + numbers[here] - self.first[which]]
        return values

    def joined(self, blocks: Iterable[tuple[int, F32]]) -> LabelColumn:
        """With more labels: a block by its first number, and NaN where a step gets none. Of a step the last counts."""
        values, added = self.values.copy(), dict[int, F32]()
        for first, given in blocks:
            row = int(np.searchsorted(self.first, first))
            if row < len(self.first) and self.first[row] == first:
                before = values[self.begin[row] : self.begin[row] + len(given)]
            else:
                before = added.setdefault(first, np.full(len(given), np.nan, np.float32))
            np.copyto(before, given, where=~np.isnan(given))
        if not added:
            return LabelColumn(self.first, self.end, self.begin, values)
        firsts = np.array(list(added), np.int64)
        steps = np.array([len(given) for given in added.values()], np.int64)
        begin = np.concatenate([self.begin, len(values) + np.cumsum(steps) - steps])
        first, end = np.concatenate([self.first, firsts]), np.concatenate([self.end, firsts + steps])
        order = np.argsort(first)
        return LabelColumn(first[order], end[order], begin[order], np.concatenate([values, *added.values()]))
