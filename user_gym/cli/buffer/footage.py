"""One episode in memory, as far as it is shown: all numbers, and some of its pictures. It draws nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import F32, F64, I64, Bool, Chunk


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Of n steps."""

    time: F64  # (n + 1,) s of each observation, from the first
    action: F32  # (n, action) executed
    ordered: F32  # (n, action) asked for
    reward: F32  # (n,)
    policy_version: I64  # (n,)
    is_intervention: Bool  # (n,)
    success: bool
    ending: str  # "terminated", "truncated", or "goes on" where the last steps are not here
    frames: I64  # observations of which there are pictures
    pictures: dict[str, list[NDArray[np.uint8]]]  # camera -> a picture for each of `frames`

    @property
    def seconds(self) -> float:
        """From the first observation to the last."""
        return float(self.time[-1])

    def interventions(self) -> list[tuple[int, int]]:
        """Stretches of steps [begin, end) in which a person acted."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.is_intervention, [False]]).astype(np.int8)))
        return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def footage(chunks: Iterable[Chunk], steps: int, frames: int) -> Footage:
    """Take in an episode.

    Args:
        chunks: one after another.
        steps: of all of them, about.
        frames: how many pictures of each camera, spread over the episode; the first and the last are among them.
    """
    wanted = np.unique(np.linspace(0, steps, min(frames, steps + 1)).round().astype(np.int64))
    columns: dict[str, list[NDArray[Any]]] = {}
    pictures: dict[str, list[NDArray[np.uint8]]] = {}
    taken: list[int] = []
    done, began, last = 0, 0.0, None
    for chunk in chunks:
        if last is None:
            began = chunk.wall_time - chunk.clock_offset
        end = done + len(chunk)
        here = [int(row) for row in wanted if done <= row <= end and row not in taken]
        taken += here
        for name, column in chunk.obs.items():
            if _is_picture(column):
                pictures.setdefault(name, []).extend(column[row - done].copy() for row in here)
        for name in ("action", "ordered", "reward", "policy_version", "is_intervention", "time", "success"):
            columns.setdefault(name, []).append(getattr(chunk, name))
        done, last = end, chunk
    assert last is not None
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    success = bool(joined.pop("success").any())
    time = np.concatenate([[0.0], joined.pop("time") - began])
    ending = "terminated" if last.terminated[-1] else "truncated" if last.truncated[-1] else "goes on"
    return Footage(**joined, time=time, success=success, ending=ending, frames=np.array(taken), pictures=pictures)


def _is_picture(column: NDArray[Any]) -> bool:
    """Whether rows are (height, width, 3) or (height, width) uint8 of some size."""
    shape = column.shape[1:]
    return column.dtype == np.uint8 and (len(shape) == 2 or shape[2:] == (3,)) and min(shape[:2]) >= 8
