"""Samples of one stream become chunks of the group "raw". It knows no thread and no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Chunk
from user_gym.core.device import RawSample
from user_gym.system.link.raw.recorded import LOST, key

MOST_ROWS_BYTES = 32 << 20  # of a chunk before it is coded; also what a lossless coding makes of it at most
_SECOND = 1.0  # s of a chunk at most


@dataclass(frozen=True, slots=True)
class Labels:
    """What all chunks of a robot say of where they come from: as in `core.Chunk`."""

    source: str = ""
    robot: str = ""
    task: str = ""
    env_id: str = ""
    clock: str = "sim"


class Rows:
    """Of one stream. Owned by one thread.

    Args:
        name: of the stream.
        labels: of its robot.
        wall_clock: s since the epoch.
    """

    def __init__(self, name: str, labels: Labels, wall_clock: Callable[[], float]) -> None:
        self._name, self._labels, self._wall_clock = name, labels, wall_clock
        self._samples: list[RawSample] = []
        self._lost: list[int] = []
        self._nbytes = 0
        self._episode = 0
        self._newest: float | None = None  # s, of the newest sample of the episode
        self._wall = 0.0

    def start(self, episode: int) -> None:
        """An episode begins; what is here was taken before."""
        self._episode, self._newest = episode, None

    def add(self, sample: RawSample, lost: int) -> Chunk | None:
        """Take a sample before which so many are missing; returns the chunk before it, if it fits no more."""
        size = sum(column.nbytes for column in sample.columns.values())
        first = self._samples[0] if self._samples else None
        full = first is not None and (
            sample.time - first.time > _SECOND or self._nbytes + size > MOST_ROWS_BYTES or _form(first) != _form(sample)
        )
        done = self.take() if full else None
        if not self._samples:
            self._wall = self._wall_clock()
        self._samples.append(sample)
        self._lost.append(lost)
        self._nbytes, self._newest = self._nbytes + size, sample.time
        return done

    def follows(self, time: float) -> bool:
        """Whether a sample of this moment comes after all those of the episode."""
        return self._newest is None or time > self._newest

    def take(self) -> Chunk | None:
        """What is here, its sequence not known yet; None: nothing."""
        samples, lost = self._samples, self._lost
        self._samples, self._lost, self._nbytes = [], [], 0
        return self._chunk(samples, lost) if samples else None

    def _chunk(self, samples: list[RawSample], lost: list[int]) -> Chunk:
        n, labels = len(samples), self._labels
        none, no, zero = np.zeros((n, 0), np.float32), np.zeros(n, bool), np.zeros(n, np.float32)
        extra: Mapping[str, NDArray[Any]] = {
            key(self._name, name): np.stack([sample.columns[name] for sample in samples]) for name in samples[0].columns
        }
        return Chunk(
            source=labels.source, episode=self._episode, sequence=0, robot=labels.robot, task=labels.task, kind="policy",
            obs={LOST: np.array([*lost, 0], np.int64)}, action=none, ordered=none, reward=zero, terminated=no, truncated=no,
            success=no, policy_version=np.full(n, -1), is_intervention=no, reward_source=("",) * n,
            time=np.array([sample.time for sample in samples], np.float64), wall_time=self._wall, clock=labels.clock,
            clock_offset=self._wall - samples[0].time, env_id=labels.env_id, extra=extra,
        )  # fmt: skip


def _form(sample: RawSample) -> dict[str, Any]:
    return {name: (column.dtype, column.shape) for name, column in sample.columns.items()}
