"""What passes into a storage, counted for each robot. It knows neither learner nor process.

Faults, states and waits are not in experience: who makes a record adds them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from user_gym.core import Acknowledgement, Batch, Chunk, Storage
from user_gym.core.arrays import I64
from user_gym.system.metrics.record import BOUNDS, Staleness

_WINDOW = 20  # finished episodes


class Episode(NamedTuple):
    """What is counted of one."""

    number: int
    steps: int = 0
    by_person: int = 0  # of the steps
    success: bool = False


class Stored(NamedTuple):
    """What is counted of a chunk."""

    source: str
    episode: int
    by_person: int  # steps
    success: bool  # at any of its steps
    over: bool  # the episode ended with it
    versions: I64  # (steps,) of the policy that acted; below 0: none did


class Counted:
    """One source.

    Attributes:
        steps: stored.
        episodes: finished.
        heard: s since the epoch, of the newest chunk; nan before the first.
        staleness: as `RobotRecord.staleness`.
    """

    def __init__(self) -> None:
        self.steps = self.episodes = 0
        self.heard = self.staleness = math.nan
        self._running = Episode(-1)
        self._latest: deque[Episode] = deque(maxlen=_WINDOW)

    def add(self, stored: Stored, behind: I64, now: float) -> None:
        """Count a chunk; `behind`: versions, for each of its steps that a policy chose; `now`: s since the epoch."""
        self.steps, self.heard = self.steps + len(stored.versions), now
        self.staleness = float(behind.mean()) if len(behind) else self.staleness
        known = self._running if self._running.number == stored.episode else Episode(stored.episode)
        steps, by_person = known.steps + len(stored.versions), known.by_person + stored.by_person
        self._running = Episode(stored.episode, steps, by_person, known.success or stored.success)
        if stored.over:
            self.episodes += 1
            self._latest.append(self._running)

    @property
    def success_rate(self) -> float:
        """As `RobotRecord.success_rate`."""
        return sum(episode.success for episode in self._latest) / len(self._latest) if self._latest else math.nan

    @property
    def intervention_rate(self) -> float:
        """As `RobotRecord.intervention_rate`."""
        steps = sum(episode.steps for episode in self._latest)
        return sum(episode.by_person for episode in self._latest) / steps if steps else math.nan


class Tally:
    """All sources of a run. Owned by the thread that stores.

    Attributes:
        sources: by name, those that were heard of.
    """

    def __init__(self) -> None:
        self.sources: dict[str, Counted] = {}
        self._counts = np.zeros(len(BOUNDS) + 1, np.int64)
        self._total = 0

    def add(self, stored: Chunk | Stored, newest: int, now: float) -> None:
        """Count a chunk that is stored now.

        Args:
            stored: was not stored before.
            newest: version of the weights published last.
            now: s since the epoch.
        """
        stored = _stored(stored) if isinstance(stored, Chunk) else stored
        behind = np.maximum(newest - stored.versions[stored.versions >= 0], 0)  # a random step or a person's has no version
        self.sources.setdefault(stored.source, Counted()).add(stored, behind, now)
        self._counts += np.bincount(np.searchsorted(BOUNDS, behind), minlength=len(self._counts))
        self._total += int(behind.sum())

    @property
    def staleness(self) -> Staleness:
        """Of all steps counted so far."""
        return Staleness(tuple(self._counts.tolist()), self._total)


def _stored(chunk: Chunk) -> Stored:
    by_person, over = int(np.count_nonzero(chunk.is_intervention)), bool(chunk.terminated[-1] or chunk.truncated[-1])
    return Stored(chunk.source, chunk.episode, by_person, bool(np.any(chunk.success)), over, np.asarray(chunk.policy_version))


class CountingStorage:
    """A `Storage` that tells of each chunk when it is stored, once.

    Args:
        storage: keeps the experience.
        stored: called in the appending thread.
    """

    def __init__(self, storage: Storage, stored: Callable[[Chunk], None]) -> None:
        self._storage, self._stored = storage, stored

    def append(self, chunk: Chunk) -> Acknowledgement:
        """As `Storage.append`."""
        answer = self._storage.append(chunk)
        if not answer.repeated:
            self._stored(chunk)
        return answer

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """As `Storage.sample`."""
        return self._storage.sample(n, rng, horizon, out)

    def view(self, where: str) -> Storage:
        """As `Storage.view`."""
        return self._storage.view(where)

    def __len__(self) -> int:
        return len(self._storage)

    def stats(self) -> Mapping[str, Any]:
        """As `Storage.stats`."""
        return self._storage.stats()

    def close(self) -> None:
        """As `Storage.close`."""
        self._storage.close()
