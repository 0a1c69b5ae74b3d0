"""What a training does is counted from what passes, and looked at by the clock; the training does not notice."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from toy_training import Toy, ToyAgent, chunk

from user_gym.errors import RobotFault
from user_gym.system import Buffer, train
from user_gym.system.freshness import Fresh
from user_gym.system.metrics import Recorder, State, Tally, TrainingWatch
from user_gym.system.metrics.tally import CountingStorage
from user_gym.system.virtual import VirtualClock
from user_gym.system.weights import Broadcaster


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self, period: float = 0.0) -> None:
        self.period, self.records = period, []

    def open(self) -> None: ...

    def write(self, record) -> None:
        self.records.append(record)

    def close(self) -> None: ...


class Slow(Toy):
    """Its steps take 0.1 s and its resets 1 s of a clock; every third episode ends by a fault."""

    def __init__(self, clock) -> None:
        self.clock, self.episodes = clock, 0

    def reset(self, **options):
        self.clock.sleep_until(self.clock.now() + 1.0)
        self.episodes += 1
        return super().reset(**options)

    def step(self, action):
        self.clock.sleep_until(self.clock.now() + 0.1)
        if self.episodes % 3 == 0 and self.n == 5:
            raise RobotFault("reflex")
        return super().step(action)


def episode(number: int, *, success: bool = False, people: int = 0, version: int = 0, **changes):
    """Four steps that end an episode."""
    last = np.arange(4) == 3
    return chunk(
        4, episode=number, terminated=last, success=last & success, is_intervention=np.arange(4) < people,
        policy_version=np.where(np.arange(4) < people, -1, version), **changes,
    )  # fmt: skip


def test_each_source_is_counted_for_itself() -> None:
    tally = Tally()
    for number in range(30):
        tally.add(episode(number, success=number >= 25, people=number % 2), 0, 100.0 + number)
    tally.add(episode(0, source="b"), 0, 200.0)
    a, b = tally.sources["a"], tally.sources["b"]
    assert (a.steps, a.episodes, a.heard) == (120, 30, 129.0)
    assert (a.success_rate, a.intervention_rate) == (5 / 20, 10 / 80)  # of the latest 20
    assert (b.steps, b.success_rate, b.intervention_rate) == (4, 0.0, 0.0)


def test_an_episode_in_several_chunks_is_one_and_an_unfinished_one_none() -> None:
    tally = Tally()
    tally.add(chunk(3, success=np.array([True, False, False]), is_intervention=np.ones(3, bool)), 0, 1.0)
    assert math.isnan(tally.sources["a"].success_rate)
    tally.add(chunk(5, sequence=1, truncated=np.arange(5) == 4), 0, 2.0)
    assert (tally.sources["a"].success_rate, tally.sources["a"].intervention_rate) == (1.0, 3 / 8)
    tally.add(chunk(2, episode=1), 0, 3.0)
    tally.add(episode(2), 0, 4.0)  # the one before was given up
    assert (tally.sources["a"].episodes, tally.sources["a"].success_rate) == (2, 0.5)


def test_staleness_counts_the_steps_that_a_policy_chose() -> None:
    tally = Tally()
    tally.add(episode(0, version=-1), 9, 0.0)
    assert math.isnan(tally.staleness.mean)
    assert math.isnan(tally.sources["a"].staleness)
    for behind in (0, 1, 2, 3, 4, 128, 129, 5000):
        tally.add(episode(1, version=10_000, people=1), 10_000 + behind, 0.0)
    tally.add(episode(1, version=10_000), 9_999, 0.0)  # the newest weights came in between: no less than none
    assert tally.staleness.counts == (3 + 4, 3, 3, 6, 0, 0, 0, 0, 3, 6)
    assert tally.staleness.total == 3 * (1 + 2 + 3 + 4 + 128 + 129 + 5000)
    assert tally.sources["a"].staleness == 0.0


def test_a_chunk_that_comes_twice_is_counted_once() -> None:
    seen = []
    storage = CountingStorage(Buffer.open(":memory:"), seen.append)
    assert [storage.append(episode(0)).repeated for _ in range(2)] == [False, True]
    assert len(seen) == 1
    assert (len(storage), len(storage.view("success")), storage.stats()["transitions"]) == (4, 0, 4)
    storage.close()


def trained(clock, sink, steps: int = 60, limit: float = math.inf, **options):
    agent, broadcaster = ToyAgent(), Broadcaster()
    with (
        Buffer.open(":memory:") as buffer,
        Recorder([sink], clock) as recorder,
        TrainingWatch(
            recorder, buffer, broadcaster, run="toy", robot="toy", clock=clock,
            fresh=(fresh := Fresh(buffer, limit, "wait", lambda: broadcaster.version, clock=clock)),
        ) as watch,
    ):  # fmt: skip
        train(
            Slow(clock), agent, watch.storage, steps=steps, learning_starts=10, batch_size=8, seed=3, max_seconds=0.25,
            broadcaster=watch.broadcaster, runs_on=clock, watch=watch, ready=fresh.ready, **options,
        )  # fmt: skip
    return agent


def test_a_training_is_recorded_at_the_pace_that_its_clock_gives() -> None:
    sink = Kept(period=2.0)
    trained(VirtualClock(100.0), sink)
    times = [record.time for record in sink.records]
    assert all(1.9 < later - earlier < 2.2 for earlier, later in pairwise(times[:-1]))
    *_, before, last = sink.records
    (robot,) = last.robots
    assert (last.env_steps, robot.steps, last.learner.updates, last.buffer.transitions) == (60, 60, 50, 60)
    assert (robot.state, robot.alive, robot.faults, last.ended) == (State.ENDED, False, 2, True)
    assert before.robots[0].state is State.ACTING
    assert not before.ended
    assert robot.episodes == 7  # two of them by a fault
    assert 0.9 < robot.utilisation <= 1.0
    assert last.learner.metrics.keys() == {"mean"}
    assert last.learner.version == 50
    assert sum(last.staleness.counts) == 60
    assert {wait.side for wait in last.waits} == {"collector-0", "learner"}
    assert math.isnan(sink.records[0].learner.rate)
    assert before.learner.rate > 0


def test_each_side_says_how_long_it_waited_and_why() -> None:
    sink = Kept()
    trained(VirtualClock(), sink, synchronous=False, tolerance=20.0, limit=3)
    waits = {(wait.side, wait.reason): wait.seconds for wait in sink.records[-1].waits}
    assert set(waits) == {("collector-0", "room"), ("collector-0", "learner"), ("learner", "steps"), ("learner", "fresh steps")}
    assert waits["collector-0", "room"] == 0.0
    assert waits["learner", "steps"] > 1.0  # of the first reset, and the steps before learning
    assert waits["learner", "fresh steps"] > 1.0
    assert any(record.robots[0].staleness > 0 for record in sink.records)


def test_watching_changes_no_bit_of_a_training() -> None:
    weights = [trained(VirtualClock(), Kept(period)).mean.tobytes() for period in (0.0, 1e6)]
    assert weights[0] == weights[1]


def test_a_training_that_fails_has_a_last_record() -> None:
    sink = Kept()
    with pytest.raises(RobotFault, match="reflex"):
        trained(VirtualClock(), sink, max_faults=1)
    assert sink.records[-1].ended
    assert sink.records[-1].robots[0].faults == 1
