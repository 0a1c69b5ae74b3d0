"""One stream of one episode, as it was recorded: what moments its samples are of, and where some are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from user_gym.core import F64, I64, Chunk
from user_gym.errors import UnknownName

LOST = "lost"  # the observation column of a raw chunk: samples that are missing before each row, and behind the last


def key(stream: str, column: str) -> str:
    """The name of a stream's column in a chunk's `extra`."""
    return f"{stream}.{column}"


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """All samples that were kept."""

    name: str  # of the stream
    time: F64  # (n,) s, robot's clock, as in the steps of the same episode; increasing
    lost: I64  # (n,) samples that are missing just before each
    columns: Mapping[str, NDArray[Any]]  # each (n, ...)

    @classmethod
    def of(cls, chunks: Iterable[Chunk], name: str) -> Recorded:
        """From the raw chunks of an episode. Raises UnknownName."""
        mine: list[Chunk] = []
        known: set[str] = set()
        for chunk in chunks:
            streams = {column.partition(".")[0] for column in chunk.extra}
            known |= streams
            if name in streams:
                mine.append(chunk)
        if not mine:
            raise UnknownName("stream", name, known)
        columns = {
            column.partition(".")[2]: np.concatenate([chunk.extra[column] for chunk in mine]) for column in mine[0].extra
        }
        lost = np.concatenate([chunk.obs[LOST][:-1] for chunk in mine]).astype(np.int64)
        return cls(name, np.concatenate([chunk.time for chunk in mine]), lost, columns)

    def __len__(self) -> int:
        return len(self.time)

    def at(self, moments: ArrayLike) -> I64:
        """For each moment (s, robot's clock) the row of the newest sample that was there; -1: there was none yet.

        With the steps of a training chunk: `stream.columns["image"][stream.at(chunk.time)]`.
        """
        return np.searchsorted(self.time, np.asarray(moments, np.float64), side="right") - 1
