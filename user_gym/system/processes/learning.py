"""The process that learns: it reads the buffer's files itself, and publishes weights in shared memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Event
from typing import Any

from numpy.typing import NDArray

from user_gym.core import Weights
from user_gym.errors import NoSpace
from user_gym.system.buffer import Buffer
from user_gym.system.checkpoints import Checkpoints, Reached
from user_gym.system.freshness import Fresh
from user_gym.system.learner import Learner
from user_gym.system.processes.body import form, shared
from user_gym.system.processes.callables import named
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.journal import say
from user_gym.system.processes.judging import Seat, judged
from user_gym.system.processes.link import Report
from user_gym.system.processes.plan import OWNER
from user_gym.system.processes.turnstile import Turnstile
from user_gym.system.weights import SharedPublisher, SharedSubscriber


class _Told:
    """A `Publisher` that tells the owner which version is out."""

    def __init__(self, publisher: SharedPublisher, turnstile: Turnstile) -> None:
        self._publisher, self._turnstile = publisher, turnstile

    @property
    def version(self) -> int:
        return self._publisher.version

    def publish(
        self, arrays: Mapping[str, NDArray[Any]], spec_hash: str, *, version: int | None = None, partial: bool = False
    ) -> Weights:
        weights = self._publisher.publish(arrays, spec_hash, version=version, partial=partial)
        self._turnstile.published(weights.version)
        return weights


def run(folder: RunFolder, name: str, report: Report, stop: Event) -> bool:
    """Learn until no more steps come and no update is owed, or `stop` is set; whether nothing is left to do."""
    plan = folder.plan()
    report.set(state="builds")
    env = shared(plan.collectors)  # before there are weights: no robot moves without
    judged(env, plan, Seat(len(plan.collectors) - 1))  # likewise: what cannot reward the last one is refused
    spaces, agent = form(env), named(plan.agent.make)(env.observation_space, env.action_space, plan.options)
    env.close()
    checkpoints = Checkpoints(folder.learner)
    kept = checkpoints.restore(agent.restore)
    reached = kept or Reached()
    say(f"goes on after {reached.updates} updates")
    turnstile = Turnstile(folder.socket(OWNER), plan.tolerance, {"form": spaces}, report, stop)
    report.set(state="waits for the buffer's owner", updates=reached.updates)
    acted = turnstile.open(reached.updates)
    if acted is None:
        turnstile.close(finished=False)
        return False
    with (
        Buffer.open(folder.buffer, read_only=True, cache_bytes=plan.buffer.cache_bytes) as buffer,
        SharedPublisher(folder.digest, version=max(reached.version, acted, _published(folder))) as publisher,
    ):
        storage = buffer
        if plan.freshness is not None:
            storage = Fresh(buffer, plan.freshness.limit, plan.freshness.beyond, lambda: publisher.version)
        learner = Learner(
            agent, storage, None, limiter=turnstile, broadcaster=_Told(publisher, turnstile), batch_size=plan.batch_size,
            sampler=named(plan.agent.sampler)(storage, plan.options) if plan.agent.sampler else None,
            publish_every=plan.publish_every, seed=plan.seed, updates=reached.updates,
            ready=storage.ready if isinstance(storage, Fresh) else lambda: True,
        )  # fmt: skip
        learner.publish()
        keeper = _Keeper(checkpoints, agent.save, plan.checkpoint_seconds, report, kept)

        def each() -> None:
            waited = turnstile.waited + (storage.waited if isinstance(storage, Fresh) else 0.0)
            facts = {"updates": learner.updates, "version": publisher.version, "waited": round(waited, 3)}
            report.moved()
            report.set(state="learns", metrics={k: float(v) for k, v in learner.metrics.items()}, **facts)
            keeper.look(Reached(learner.updates, publisher.version))

        report.begun = True
        learner.run(stop, turnstile.ended, each)
        finished = not stop.is_set()
        report.set(state="stops")
        report.moved()
        reached = Reached(learner.updates, publisher.version)
        if finished:  # no run is finished whose agent is not kept: NoSpace ends this process, and the next one tries again
            keeper.keep(reached)
        else:
            keeper.save(reached)
        heard = turnstile.close(finished)
    say(f"ends after {learner.updates} updates")
    return finished and heard


class _Keeper:
    """Saves when it is time, and where there were updates since: without any it is the same agent."""

    def __init__(
        self, checkpoints: Checkpoints, write: Any, seconds: float, report: Report, kept: Reached | None = None
    ) -> None:
        self._checkpoints, self._write, self._seconds, self._report = checkpoints, write, seconds, report
        self._kept = kept  # the newest checkpoint
        self._due = time.monotonic() + seconds

    def look(self, reached: Reached) -> None:
        if time.monotonic() >= self._due:
            self.save(reached)

    def save(self, reached: Reached) -> None:
        began = time.monotonic()
        try:
            self.keep(reached)
        except NoSpace as error:  # it goes on learning; the checkpoint before stays
            say(f"no checkpoint after {reached.updates} updates: {error}")
            self._report.set(trouble=str(error))
        # From the end on: where saving takes long, half of the time at least is left for learning.
        self._due = time.monotonic() + max(self._seconds, time.monotonic() - began)

    def keep(self, reached: Reached) -> None:
        """As `save`, but raises NoSpace."""
        if self._kept is None or self._kept.updates != reached.updates:
            self._checkpoints.save(self._write, reached)
            self._kept = reached
        self._report.set(checkpoint=reached.updates, trouble="")


def _published(folder: RunFolder) -> int:
    """The newest version that a collector can have: that of a learner that was killed lies in memory still."""
    with SharedSubscriber(folder.digest) as subscriber:
        weights = subscriber.newest()
        return -1 if weights is None else weights.version
