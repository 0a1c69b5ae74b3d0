"""How old the policy may be whose steps are learned from, as an object between buffer and learner. It knows numbers only.

Staleness of a step: how many versions of the weights were published since the one that chose it. A step that no policy chose,
random, a person's or a demonstration's, has none. Together with `SamplesPerInsert` this spans all there is between strictly
synchronous (tolerance 0: each step is learned from before the next version is known) and free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import numpy as np

from user_gym.core import F64, I64, Acknowledgement, Batch, Chunk, real, whole
from user_gym.errors import BadOption, Gone
from user_gym.system.buffer import Buffer
from user_gym.system.buffer.view import View
from user_gym.system.clock import WALL, Clock

_ALL = "policy_version >= -1"


class Beyond(StrEnum):
    """What becomes of steps that are staler than the limit."""

    DROP = "drop"  # they are not drawn
    DOWN_WEIGHT = "down-weight"  # they are drawn less often: (1 + limit) / (1 + staleness) times as often as a fresh one
    WAIT = "wait"  # they are drawn; but the learner does not run ahead while the newest step is one of them


class Fresh:
    """A `Storage`: the steps of a buffer, by their staleness. It is read-only, and owned by the learner's thread.

    It may be a part of a `Mixture`; then only its own share follows the limit. Each new version, and each new chunk, costs one
    pass over two numbers a step.

    Args:
        buffer: holds the steps.
        limit: versions, 0 or more, math.inf allowed.
        beyond: what becomes of staler steps.
        newest: the version published last, such as `lambda: broadcaster.version`.
        where: which steps of the buffer; "" for all.
        clock: measures waits.

    Attributes:
        waited: s that the learner waited for fresh steps.
    """

    def __init__(
        self,
        buffer: Buffer,
        limit: float,
        beyond: Beyond | str,
        newest: Callable[[], int],
        where: str = "",
        clock: Clock = WALL,
    ) -> None:
        self._limit = real("limit", limit, 0.0, float("inf"), "versions >= 0; math.inf for none")
        if beyond not in tuple(Beyond):
            raise BadOption("beyond", beyond, ", ".join(Beyond))
        self._beyond, self._newest, self._clock = Beyond(beyond), newest, clock
        self._where = where or _ALL
        self._buffer, self._view = buffer, buffer.view(self._where)
        self._numbers, self._versions = np.empty(0, np.int64), np.empty(0, np.int64)
        self._mass = np.empty(0)  # sum of the weights up to each step, itself included
        self._weighed: tuple[int, int] | None = None  # newest version, and steps, for which that was made
        self._since: float | None = None  # s on the clock, when the wait began that goes on
        self.waited = 0.0

    def staleness(self) -> I64:
        """Of each step of a policy, versions."""
        self._follow()
        return self._newest() - self._versions[self._versions >= 0]

    def ready(self) -> bool:
        """Whether to learn now; False: rather wait for newer steps. For the learner, see `Learner`."""
        ready = self._fresh_enough()
        self._count_wait(not ready)
        return ready

    def _count_wait(self, goes_on: bool) -> None:
        now = self._clock.now()
        if self._since is not None:
            self.waited += now - self._since
        self._since = now if goes_on else None

    def _fresh_enough(self) -> bool:
        self._follow()
        if self._beyond is Beyond.DOWN_WEIGHT or not len(self._numbers):
            return True
        if self._beyond is Beyond.DROP:
            return len(self) > 0
        versions = self._versions[self._versions >= 0]
        return not len(versions) or self._newest() - int(versions.max()) <= self._limit

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """As `core.Storage.sample`; in proportion to the weights that staleness leaves."""
        n = whole("n", n, 1)
        self._count_wait(False)  # updates that a collector waits for come without being `ready`
        while True:
            mass = self._weigh()
            if not len(mass) or mass[-1] <= 0:
                raise BadOption(
                    "sample", n, f"nothing: no step is at most {self._limit:g} versions behind version {self._newest()}",
                    "publish less often, or allow more; a learner that asks `ready` first waits for fresh steps",
                )  # fmt: skip
            places = np.searchsorted(mass, rng.random(n) * mass[-1], side="right")
            try:
                return self._view.read(self._numbers[np.minimum(places, len(mass) - 1)], horizon, out)
            except Gone:  # pruned, or found damaged, since
                self._follow_all()

    def append(self, chunk: Chunk) -> Acknowledgement:
        """Never: append to the buffer."""
        raise BadOption("append", "a chunk for fresh steps", "sample, view, len and stats", "append to the buffer itself")

    def part(self, where: str) -> Fresh:
        """The same limit over the steps that satisfy a condition besides, such as what a mixture gives a share of its own."""
        both = f"({self._where}) AND ({where})"
        return Fresh(self._buffer, self._limit, self._beyond, self._newest, both, self._clock)

    def view(self, where: str) -> View:
        """As `core.Storage.view`, over fresh and stale steps alike."""
        return self._view.view(where)

    def __len__(self) -> int:
        """Steps that can be drawn."""
        mass = self._weigh()
        return int(np.count_nonzero(np.diff(mass, prepend=0.0) > 0))

    def stats(self) -> Mapping[str, float]:
        """Steps that can be drawn, and all."""
        return {"transitions": len(self), "fresh_and_stale": len(self._numbers)}

    def close(self) -> None:
        """Nothing to let go of: the buffer owns files and memory."""

    def _weigh(self) -> F64:
        self._follow()
        asked = self._newest(), len(self._numbers)
        if self._weighed != asked:
            stale = np.where(self._versions < 0, 0, np.maximum(asked[0] - self._versions, 0))
            weights = np.ones(len(stale))
            if self._beyond is Beyond.DROP:
                weights[stale > self._limit] = 0.0
            elif self._beyond is Beyond.DOWN_WEIGHT:
                over = stale > self._limit
                weights[over] = (1 + self._limit) / (1 + stale[over])
            self._mass, self._weighed = np.cumsum(weights), asked
        return self._mass

    def _follow(self) -> None:
        """Take in what is new."""
        since = int(self._numbers[-1]) + 1 if len(self._numbers) else 0
        new = self._view.numbers(since)
        if len(new):
            self._take(np.concatenate([self._numbers, new]), np.concatenate([self._versions, self._versions_of(new)]))
        if len(self._view) != len(self._numbers):
            self._follow_all()

    def _follow_all(self) -> None:
        """Some left, or older ones came."""
        numbers = self._view.numbers()
        versions = np.empty(len(numbers), np.int64)
        _, here, there = np.intersect1d(numbers, self._numbers, assume_unique=True, return_indices=True)
        versions[here] = self._versions[there]
        missing = np.setdiff1d(np.arange(len(numbers)), here, assume_unique=True)
        if len(missing):
            versions[missing] = self._versions_of(numbers[missing])
        self._take(numbers, versions)

    def _take(self, numbers: I64, versions: I64) -> None:
        self._numbers, self._versions, self._weighed = numbers, versions, None

    def _versions_of(self, numbers: I64) -> I64:
        return np.asarray(self._buffer.steps(numbers, ["policy_version"])["policy_version"], np.int64)
