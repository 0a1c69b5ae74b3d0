"""How many updates per environment step, as an object between collector and learner. It knows numbers only.

The target is `ratio * inserted`, where steps up to `min_inserted` do not count. `tolerance` says, in updates, how far either
side may run ahead of it: 0 is strict and synchronous (the two take turns), math.inf lets both run free.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

from user_gym.core import real, whole
from user_gym.errors import BadOption, Closed
from user_gym.system.clock import WALL, Clock


class LimiterState(NamedTuple):
    """What is needed to go on after a restart."""

    inserted: int
    sampled: int


class SamplesPerInsert:
    """Blocks whichever side runs ahead. Thread-safe.

    With target(i) = ratio * max(0, i - min_inserted), these hold at every moment:
    sampled <= target(inserted) + tolerance, and when `insert` returns, target(inserted) < sampled + tolerance + 1.
    The 1 is there because an update cannot be done in part.

    Args:
        ratio: updates per environment step, > 0.
        tolerance: updates, >= 0, math.inf allowed.
        min_inserted: steps before the first update; they ask for no updates of their own.
        clock: to wait on.
    """

    def __init__(self, ratio: float, tolerance: float, min_inserted: int = 0, clock: Clock = WALL) -> None:
        self.ratio = real("ratio", ratio, sys.float_info.min, sys.float_info.max, "updates per step, finite and > 0")
        self.tolerance = real("tolerance", tolerance, 0.0, math.inf, "updates >= 0; 0 is synchronous, math.inf runs free")
        self.min_inserted = whole("min_inserted", min_inserted, 0)
        self._clock = clock
        self._inserted = self._sampled = 0
        self._closed = False
        self._changed = clock.condition()
        self._insert_waited = self._sample_waited = 0.0

    def insert(self, n: int, timeout: float | None = None) -> None:
        """n steps were handed over; returns once the learner is at most `tolerance` updates behind.

        Raises Closed, or TimeoutError after `timeout` s. The steps count all the same: go on waiting with `insert(0)`.
        """
        with self._changed:
            self._inserted += n
            self._changed.notify_all()
            began = self._clock.now()
            try:
                self._wait(lambda: self._whole_owed() <= self.tolerance, timeout)
            finally:
                self._insert_waited += self._clock.now() - began

    def sample(self, timeout: float | None = None) -> None:
        """Wait until one more update is allowed; it counts when `done` says so. Raises Closed, TimeoutError."""
        with self._changed:
            began = self._clock.now()
            try:
                self._wait(self._may_sample, timeout)
            finally:
                self._sample_waited += self._clock.now() - began

    def done(self) -> None:
        """An update is finished and its weights are published: this is what releases the collector."""
        with self._changed:
            self._sampled += 1
            self._changed.notify_all()

    def reached_updates(self, total: int) -> None:
        """So many updates are done in all: of a learner that counts for itself; fewer than before, where it lost some."""
        whole("total", total, 0)
        with self._changed:
            self._sampled = total
            self._changed.notify_all()

    @property
    def room(self) -> float:
        """Most steps that may be inserted now so that nobody has to wait; negative while somebody has to."""
        with self._changed:
            if self._whole_owed() > self.tolerance:
                return -1
            if math.isinf(self.tolerance):
                return math.inf
            most = self._sampled + math.floor(self.tolerance) + 1 - 1e-6  # what the target has to stay below
            return max(0, math.ceil(most / self.ratio) - 1 + self.min_inserted - self._inserted)

    @property
    def allowed(self) -> float:
        """How many updates may be done in all, of the steps inserted so far."""
        with self._changed:
            if self._inserted < max(1, self.min_inserted):
                return self._sampled
            return max(
                self._sampled, math.floor(self._target() + self.tolerance + 1e-6) if self.tolerance < math.inf else math.inf
            )

    def close(self) -> None:
        """Wake everyone with Closed. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def owed(self) -> int:
        """Whole updates the learner is behind; 0 or less when it is not."""
        with self._changed:
            return self._whole_owed()

    @property
    def reached(self) -> float:
        """Updates per step so far, of the steps that count; nan before the first."""
        with self._changed:
            steps = self._inserted - self.min_inserted
            return self._sampled / steps if steps > 0 else math.nan

    @property
    def waited(self) -> tuple[float, float]:
        """Seconds that collector and learner waited here."""
        with self._changed:
            return self._insert_waited, self._sample_waited

    def state(self) -> LimiterState:
        """Counters for `restore`."""
        with self._changed:
            return LimiterState(self._inserted, self._sampled)

    def restore(self, state: LimiterState) -> None:
        """Go on from these counters."""
        if state.inserted < 0 or state.sampled < 0:
            raise BadOption("limiter state", tuple(state), "counters >= 0")
        with self._changed:
            self._inserted, self._sampled = state
            self._changed.notify_all()

    def _target(self) -> float:
        return self.ratio * max(0, self._inserted - self.min_inserted)

    def _whole_owed(self) -> int:
        # 0.1 * 30 is a little more than 3, and 0.1 * 3 * 10 a little less: a slack far below one update absorbs that.
        return math.floor(self._target() - self._sampled + 1e-6)

    def _may_sample(self) -> bool:
        enough = self._inserted >= max(1, self.min_inserted)
        return enough and self._sampled + 1 <= self._target() + self.tolerance + 1e-6

    def _wait(self, allowed: Callable[[], bool], timeout: float | None) -> None:
        deadline = None if timeout is None else self._clock.now() + timeout
        while not self._closed and not allowed():
            left = None if deadline is None else deadline - self._clock.now()
            if left is not None and left <= 0:
                raise TimeoutError(f"waited {timeout} s: {self._inserted} steps inserted, {self._sampled} updates done")
            self._changed.wait(left)
        if self._closed:
            raise Closed("the rate limiter is closed")
