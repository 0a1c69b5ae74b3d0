"""Whole chunks, and columns of steps that batches do not have, by the numbers of transitions. It knows no draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Chunk
from user_gym.errors import BadBlock, Gone
from user_gym.system.buffer.batches import OBS
from user_gym.system.buffer.beginning import without_first
from user_gym.system.buffer.entries import ABSENT, Entries
from user_gym.system.buffer.fetch import Fetch
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.items import row_bytes
from user_gym.system.buffer.stored import Stored
from user_gym.system.buffer.unreadable import Damaged


class Chunks:
    """Thread-safe."""

    def __init__(self, stored: Stored, fetch: Fetch) -> None:
        self._stored, self._lookup, self._fetch = stored, stored.lookup, fetch

    def chunk(self, number: int) -> Chunk:
        """The chunk that holds the transition with this number, decoded; without a first step whose observation is gone.

        Raises Gone, Damaged.
        """
        entry, before = self._lookup.find(np.array([number])).entry(0), None
        if entry.before != ABSENT:
            before = self._last_observation(self._lookup.find(np.array([entry.before])))
        try:
            block = self._stored.read_block(entry)
            chunk = without_first(block) if block.head.follows and before is None else block.chunk(before)
        except BadBlock as error:
            raise Damaged(entry.first, error) from error
        if chunk is None:
            raise Gone(f"the observation before step {number} of the buffer is not there any more")
        return chunk

    def steps(self, numbers: I64, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """Columns of steps by their names in a chunk, for transitions in ascending order. Raises Gone, Damaged."""
        blocks = self._lookup.find(numbers)
        begins = np.flatnonzero(np.diff(blocks.first, prepend=-1))
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        for begin, here in zip(begins.tolist(), np.split(numbers, begins[1:]), strict=True):
            head = self._fetch.head(blocks.entry(begin))
            for name, part in parts.items():
                column = _reward_sources(head) if name == "reward_source" else head.light(name)
                part.append(column[here - blocks.first[begin]])
        return {name: np.concatenate(part) for name, part in parts.items()}

    def _last_observation(self, block: Entries) -> Mapping[str, NDArray[Any]]:
        """The observation after the last step of one block, by the names of its columns. Raises Gone, Damaged."""
        head, row = self._fetch.head(block.entry(0)), block.steps.astype(np.int64)
        columns = {**head.layout.light, **head.layout.heavy}
        obs = {key: column for key, column in columns.items() if key.startswith(OBS)}
        last = {key: np.empty((1, *column.shape), column.dtype) for key, column in obs.items()}
        self._fetch.light(block, row, {key: array for key, array in last.items() if key in head.layout.light})
        heavy = {key: row_bytes(array) for key, array in last.items() if key in head.layout.heavy}
        if heavy:
            self._fetch.heavy(block, row, heavy)
        return {key[len(OBS) :]: array[0] for key, array in last.items()}


def _reward_sources(head: Head) -> NDArray[Any]:
    names, counts = zip(*head.reward_source, strict=True)
    return np.repeat(np.array(names), counts)
