"""Which transitions follow a transition in its episode, across blocks. It knows numbers, and no columns."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from user_gym.core import I64, Bool
from user_gym.system.buffer.entries import ABSENT, Entries


class Index(Protocol):
    """Where blocks lie; `lookup.Lookup` is one."""

    def find(self, numbers: I64) -> Entries:
        """For each number the block that holds that step. Raises Gone."""
        ...

    def following(self, firsts: I64) -> I64:
        """`first` of the next chunk of the same episode, for each of these blocks; ABSENT where that is not here."""
        ...


def follow(index: Index, numbers: I64, horizon: int) -> tuple[I64, Bool]:
    """Each step with those that follow it.

    Returns:
        (n, horizon) numbers, and which of them are there; the others repeat the last that is.
    """
    n = len(numbers)
    run, valid = np.empty((n, horizon), np.int64), np.empty((n, horizon), bool)
    block = index.find(numbers)
    first, end = block.first.copy(), block.first + block.steps
    now, on = numbers, np.ones(n, bool)
    for k in range(horizon):
        run[:, k], valid[:, k] = now, on
        after = now + 1
        crosses = np.flatnonzero(on & (after == end))
        if len(crosses) and k + 1 < horizon:
            following = index.following(first[crosses])
            here = following != ABSENT
            on = on.copy()
            on[crosses[~here]] = False
            crosses, following = crosses[here], following[here]
            block = index.find(following)
            after[crosses], first[crosses], end[crosses] = following, following, following + block.steps
        now = np.where(on, after, now)
    return run, valid


def held(index: Index, blocks: Entries, rows: I64) -> tuple[Entries, I64]:
    """Where observation rows really lie: row 0 of a block that follows is the last row of the block before it."""
    elsewhere = np.flatnonzero(blocks.follows & (rows == 0))
    if not len(elsewhere):
        return blocks, rows
    before = index.find(blocks.previous[elsewhere])
    rows = rows.copy()
    rows[elsewhere] = before.steps
    columns = [column.copy() for column in blocks.columns]
    for column, other in zip(columns, before.columns, strict=True):
        column[elsewhere] = other
    return Entries(*columns), rows
