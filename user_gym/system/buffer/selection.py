"""Which transitions of a buffer a condition selects, now and as the buffer changes. It knows numbers, no batches.

They are kept as ranges of transition numbers. These grow as blocks arrive, and follow what becomes of blocks that were there:
an episode that succeeds late, a block that was pruned or found damaged, a label that was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64
from user_gym.system.buffer.catalog import GAP, SUCCESS, Change
from user_gym.system.buffer.condition import Condition
from user_gym.system.buffer.gaps import Live
from user_gym.system.buffer.labels import Labels
from user_gym.system.buffer.query import PART, Query, Undecided
from user_gym.system.buffer.ranges import Ranges

_MANY = 1000  # changes of blocks after which all is selected anew


class Blocks(Protocol):
    """What is known of the blocks of a buffer. Thread-safe."""

    query: Query
    labels: Labels

    @property
    def live(self) -> Live:
        """What can be sampled now; the same object as long as nothing changed. Raises Closed."""
        ...

    def changes(self, after: int) -> Sequence[Change]:
        """What became of blocks that were there already, since the change with this id."""
        ...

    def steps(self, numbers: I64, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Columns of `condition.OF_STEP` for these transitions, which ascend. Raises Gone."""
        ...


class Selection:
    """Not thread-safe: its owner locks.

    Attributes:
        ranges: the numbers selected, as of the last `follow`.
    """

    def __init__(self, blocks: Blocks, condition: Condition) -> None:
        self.ranges = Ranges()
        self._blocks, self._condition = blocks, condition
        self._labels = sorted(condition.of_step & set(blocks.labels.names))
        self._stored = sorted(condition.of_step - set(self._labels))
        self._end = 0  # number up to which blocks were looked at
        self._live: Live | None = None  # that `ranges` follow
        self._change = self._labelled = 0  # newest changes of blocks and of labels that they follow

    def follow(self) -> None:
        """Bring the ranges up to date. Raises Closed."""
        labelled = self._blocks.labels.newest if self._labels else 0
        if self._blocks.live is self._live and labelled == self._labelled:
            return
        # In this order: what changes after it was asked for here is asked for again.
        marked, self._labelled = self._blocks.labels.changes(self._labels, self._labelled)
        changes = self._blocks.changes(self._change)
        live = self._blocks.live
        kinds = (GAP, SUCCESS) if "success" in self._condition.of_block else (GAP,)
        spans = [(change.first, change.last) for change in changes if change.kind in kinds]
        self._select_again(spans + [(first, first) for first in marked.tolist()], live)
        for first, steps in self._select(self._end, live.total, live):
            self.ranges.extend(first, steps)
        if self._live is not None and live.gaps is not self._live.gaps:
            self._set(*without(*self.ranges.ranges, live.gaps, live.missing))
        self._end, self._live = live.total, live
        self._change = changes[-1].id if changes else self._change

    def _select_again(self, spans: Sequence[tuple[int, int]], live: Live) -> None:
        """Decide anew on blocks that were there: those that begin in first .. last of each span, both included."""
        spans = [(first, last) for first, last in spans if first < self._end]
        if len(spans) > _MANY:
            self.ranges, self._end = Ranges(), 0
            return
        for begin, last in spans:
            end = min(self._end, max(self._blocks.query.end_of(last), last + 1))
            self.ranges.remove(begin, end - begin)
            self._set(*_sorted([self.ranges.ranges, *self._select(begin, end, live)]))

    def _select(self, begin: int, end: int, live: Live) -> Iterator[tuple[I64, I64]]:
        """Ranges of what is selected among the blocks that begin at begin .. end - 1, ascending, in parts."""
        query, condition = self._blocks.query, self._condition
        while begin < end:
            found = query.certain(condition, begin, end)
            stop = end if len(found.first) < PART else int(found.first[-1]) + 1
            parts = [found, *(self._decided(part) for part in query.undecided(condition, begin, stop))]
            yield without(*_sorted(parts), live.gaps, live.missing)
            begin = stop

    def _decided(self, blocks: Undecided) -> tuple[I64, I64]:
        """Ranges of the steps of these blocks that satisfy the condition."""
        numbers = _numbers(blocks.first, blocks.steps)
        columns = {name: values.repeat(blocks.steps) for name, values in blocks.columns.items()}
        columns |= {name: self._blocks.labels.at(name, numbers) for name in self._labels}
        if self._stored:
            columns |= self._blocks.steps(numbers, self._stored)
        return _ranges(numbers[self._condition.steps(columns, len(numbers))])

    def _set(self, firsts: I64, steps: I64) -> None:
        self.ranges = Ranges()
        self.ranges.extend(firsts, steps)


def without(firsts: I64, steps: I64, gaps: I64, missing: I64) -> tuple[I64, I64]:
    """The ranges but what lies in the gaps; both ascend and overlap nothing of their own."""
    if not len(gaps) or not len(firsts):
        return firsts, steps
    edges = np.concatenate([firsts, firsts + steps, gaps, gaps + missing])
    order = np.argsort(edges, kind="stable")
    ours, theirs = len(firsts), len(gaps)
    inside = np.cumsum(np.repeat([1, -1, 0, 0], [ours, ours, theirs, theirs])[order])
    hidden = np.cumsum(np.repeat([0, 0, 1, -1], [ours, ours, theirs, theirs])[order])
    edges = edges[order]
    lengths = np.diff(edges)
    kept = (inside[:-1] > 0) & (hidden[:-1] == 0) & (lengths > 0)
    return edges[:-1][kept], lengths[kept]


def _numbers(firsts: I64, steps: I64) -> I64:
    """All numbers of these ranges."""
    ends = np.cumsum(steps)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(firsts - (ends - steps), steps)


def _ranges(numbers: I64) -> tuple[I64, I64]:
    """Ascending numbers as ranges."""
    begins = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
    return numbers[begins], np.diff(begins, append=len(numbers))


def _sorted(parts: Sequence[tuple[I64, I64]]) -> tuple[I64, I64]:
    if len(parts) == 1:
        return parts[0]
    first, steps = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(first, kind="stable")
    return first[order], steps[order]
