"""Drains experience into a storage, updates an agent and publishes its weights. It knows neither environment nor threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from threading import Event
from typing import Protocol

import numpy as np

from user_gym.core import Agent, Batch, Chunk, Storage, whole
from user_gym.errors import Closed
from user_gym.system.channel import Channel
from user_gym.system.clock import Flag
from user_gym.system.ratelimit import LimiterState
from user_gym.system.weights import Publisher

Sampler = Callable[[Storage, np.random.Generator], Batch]

# s; the longest that `stop`, or a full channel while no update is allowed, goes unnoticed.
_GLANCE = 0.01


class Allowance(Protocol):
    """Says when an update is allowed: `SamplesPerInsert`, or the way to another process that has one."""

    @property
    def tolerance(self) -> float:
        """As `SamplesPerInsert`."""
        ...

    @property
    def owed(self) -> int:
        """As `SamplesPerInsert.owed`."""
        ...

    def sample(self, timeout: float | None = None) -> None:
        """As `SamplesPerInsert.sample`."""
        ...

    def done(self) -> None:
        """As `SamplesPerInsert.done`."""
        ...

    def state(self) -> LimiterState:
        """As `SamplesPerInsert.state`."""
        ...


class Scores:
    """Success rate and return of the latest episodes, read off the chunks that pass."""

    def __init__(self, window: int = 20) -> None:
        self.finished = 0
        self._results: deque[tuple[bool, float]] = deque(maxlen=window)
        self._running: dict[str, tuple[int, bool, float]] = {}

    def add(self, chunk: Chunk) -> None:
        """Count a chunk."""
        episode, success, total = self._running.get(chunk.source, (chunk.episode, False, 0.0))
        if episode != chunk.episode:
            success, total = False, 0.0
        success, total = success or bool(chunk.success.any()), total + float(chunk.reward.sum())
        self._running[chunk.source] = (chunk.episode, success, total)
        if chunk.terminated[-1] or chunk.truncated[-1]:
            self.finished += 1
            self._results.append((success, total))

    @property
    def success_rate(self) -> float:
        """Of the latest finished episodes; nan before the first."""
        return sum(success for success, _ in self._results) / len(self._results) if self._results else math.nan

    @property
    def mean_return(self) -> float:
        """Of the latest finished episodes; nan before the first."""
        return sum(total for _, total in self._results) / len(self._results) if self._results else math.nan


class Learner:
    """One agent, one storage, one thread.

    Appending to the storage is what acknowledges a chunk. An update counts for the limiter once its weights are published.

    Args:
        agent: learns; owned by this learner's thread.
        storage: takes the chunks.
        channel: where chunks come from; None: another process stores them.
        limiter: says when an update is allowed.
        broadcaster: takes the weights.
        sampler: draws a batch from the storage; None: `storage.sample(batch_size)`.
        batch_size: transitions in a batch, where sampler is None.
        publish_every: updates between two publications.
        seed: of the sampling.
        updates: done before, as on resume.
        on_metrics: called after each update with (updates, metrics of the agent).
        ready: whether to learn now, or wait for newer steps, as `Fresh.ready` says; not asked for updates that a collector
            waits for.

    Attributes:
        updates: done, earlier ones included.
        stored_steps: steps appended by this object.
        scores: of the episodes that passed.
        metrics: of the last update.
    """

    def __init__(
        self,
        agent: Agent,
        storage: Storage,
        channel: Channel[Chunk] | None,
        *,
        limiter: Allowance,
        broadcaster: Publisher,
        sampler: Sampler | None = None,
        batch_size: int = 256,
        publish_every: int = 1,
        seed: int = 0,
        updates: int = 0,
        on_metrics: Callable[[int, Mapping[str, float]], None] | None = None,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        batch_size, publish_every = whole("batch_size", batch_size, 1), whole("publish_every", publish_every, 1)
        self._agent, self._storage, self._channel = agent, storage, channel
        self._limiter, self._broadcaster = limiter, broadcaster
        self._sampler: Sampler = sampler or (lambda storage, rng: storage.sample(batch_size, rng))
        self._publish_every = publish_every
        self._rng = np.random.default_rng([seed, updates])
        self._on_metrics, self._ready = on_metrics, ready
        self.updates, self.stored_steps = updates, 0
        self._first_step, self._drained_steps = limiter.state().inserted, 0
        self.scores = Scores()
        self.metrics: Mapping[str, float] = {}

    def publish(self) -> None:
        """Publish the agent's weights now."""
        self._broadcaster.publish(self._agent.weights(), self._agent.policy.spec_hash)

    def drain(self) -> None:
        """Append all that is queued. Raises what the storage raises; the chunk that it refused is then out of the queue."""
        while self._channel is not None:
            try:
                chunk = self._channel.get(timeout=0)
            except (TimeoutError, Closed):  # nothing is queued
                return
            self._drained_steps += len(chunk)
            if not self._storage.append(chunk).repeated:
                self.stored_steps += len(chunk)
                self.scores.add(chunk)

    def run(self, stop: Event, ended: Flag, each: Callable[[], None] = lambda: None) -> None:
        """Learn until `stop` is set, or `ended` says that no more chunks come and no update is owed.

        Args:
            stop: end now.
            ended: set after the last chunk was put.
            each: called after each update, and at each glance at the channel; where the two sides take turns, at the end of
                the learner's turn, so that what it sees is the same in every run.
        """
        turns = self._limiter.tolerance == 0
        while not stop.is_set():
            last = ended.is_set()  # asked before draining, so what was put before the end is not missed
            self.drain()
            if not turns or self._at_rest():
                each()
            empty = not len(self._storage)
            if last and (empty or math.isinf(self._limiter.tolerance) or self._limiter.owed < 1):
                return
            if empty:
                ended.wait(_GLANCE)
                continue
            try:
                self._limiter.sample(timeout=_GLANCE)
            except TimeoutError:
                continue
            self.drain()  # what made this update allowed is in the channel by now
            awaited = last or self._limiter.owed > self._limiter.tolerance  # after the last step, no newer one comes
            if not awaited and not self._ready():
                ended.wait(_GLANCE)
                continue
            self.update(each if turns and self._limiter.owed == 1 else lambda: None)

    def _at_rest(self) -> bool:
        """Nothing is owed for any of the drained steps; false for a moment after a chunk was put, until it is counted."""
        if self._channel is None:
            return self._limiter.owed < 1
        return self._limiter.owed < 1 and self._limiter.state().inserted == self._first_step + self._drained_steps

    def update(self, before_release: Callable[[], None] = lambda: None) -> None:
        """One update, published if it is time, then counted; `before_release` runs while a collector still waits for it."""
        # A copy: an agent may hand out its own dict and go on writing it, while others read this one.
        self.metrics = dict(self._agent.update(self._sampler(self._storage, self._rng)))
        self.updates += 1
        if self.updates % self._publish_every == 0:
            self.publish()
        before_release()
        self._limiter.done()
        if self._on_metrics is not None:
            self._on_metrics(self.updates, self.metrics)
