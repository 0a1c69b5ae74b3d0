"""Records of a `train` call. It knows what `train` reports, and no place where records go."""

from __future__ import annotations

import math
from collections.abc import Callable

from user_gym.core import Chunk, Storage
from user_gym.system.clock import WALL, Clock
from user_gym.system.freshness import Fresh
from user_gym.system.metrics.record import BufferRecord, LearnerRecord, RobotRecord, RunRecord, State, Wait
from user_gym.system.metrics.recorder import Recorder
from user_gym.system.metrics.tally import Counted, CountingStorage, Tally
from user_gym.system.train import Progress
from user_gym.system.weights import Broadcaster


class TrainingWatch:
    """Hand `storage`, `broadcaster` and the watch itself to `train`; leave it as a context for the last record.

    A record is made in the learner's thread when a sink wants one, and costs it well under a millisecond; nothing else does
    but the counting of a chunk.

    Args:
        recorder: takes the records; open.
        storage: takes the experience.
        broadcaster: carries the weights; says how old experience is.
        run: name of the run.
        source: name of the collector, as `train` has it.
        robot: which arm; "" where unknown.
        fresh: what makes the learner wait for fresh steps, where `train` is given its `ready`.
        clock: what the training runs on.

    Attributes:
        storage: the same experience, counted.
        broadcaster: the same.
    """

    def __init__(
        self,
        recorder: Recorder,
        storage: Storage,
        broadcaster: Broadcaster,
        *,
        run: str,
        source: str = "collector-0",
        robot: str = "",
        fresh: Fresh | None = None,
        clock: Clock = WALL,
    ) -> None:
        self.storage, self.broadcaster = CountingStorage(storage, self._stored), broadcaster
        self._recorder, self._run, self._source, self._robot, self._clock = recorder, run, source, robot, clock
        self._fresh, self._tally = fresh, Tally()
        self._look: Callable[[], Progress] | None = None
        self._began = clock.now()
        self._before = math.nan, 0  # elapsed and updates of the record before

    def __call__(self, look: Callable[[], Progress]) -> None:
        """As `watch` of `train`."""
        self._look = look
        if self._recorder.due:
            self._recorder.write(self._record(look()))

    def __enter__(self) -> TrainingWatch:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._look is not None:
            self._recorder.write(self._record(self._look(), ended=True))

    def _stored(self, chunk: Chunk) -> None:
        self._tally.add(chunk, self.broadcaster.version, self._clock.epoch())

    def _record(self, seen: Progress, ended: bool = False) -> RunRecord:
        elapsed, (then, updates) = self._clock.now() - self._began, self._before
        rate = (seen.updates - updates) / (elapsed - then) if elapsed > then else math.nan
        self._before = elapsed, seen.updates
        memory = float(sum(size for name, size in self.storage.stats().items() if name.endswith("bytes")))
        return RunRecord(
            run=self._run, time=self._clock.epoch(), elapsed=elapsed, env_steps=seen.env_steps, ended=ended,
            robots=(self._robot_record(seen, elapsed, ended),),
            learner=LearnerRecord(
                seen.updates, rate, seen.ratio, seen.version, {name: float(value) for name, value in seen.metrics.items()}
            ),
            buffer=BufferRecord(len(self.storage), memory, seen.queued),
            staleness=self._tally.staleness,
            waits=(
                Wait(self._source, "room", seen.room_waited),
                Wait(self._source, "learner", seen.collector_waited - seen.room_waited),
                Wait("learner", "steps", seen.learner_waited),
                *(() if self._fresh is None else [Wait("learner", "fresh steps", self._fresh.waited)]),
            ),
        )  # fmt: skip

    def _robot_record(self, seen: Progress, elapsed: float, ended: bool) -> RobotRecord:
        counted = self._tally.sources.get(self._source) or Counted()
        state = State.ENDED if ended else State.WAITING if seen.collector_waits else State.ACTING
        used = min(1.0, max(0.0, 1.0 - seen.collector_waited / elapsed)) if elapsed > 0.0 else math.nan
        return RobotRecord(
            name=self._source, robot=self._robot, state=state, heard=counted.heard, steps=counted.steps,
            episodes=counted.episodes, success_rate=counted.success_rate, intervention_rate=counted.intervention_rate,
            faults=seen.faults, utilisation=used, staleness=counted.staleness,
        )  # fmt: skip
