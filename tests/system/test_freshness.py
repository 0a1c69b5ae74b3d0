"""Stale steps are dropped, drawn less often, or waited out; what no policy chose is never stale."""

import math

import numpy as np
import pytest
from toy_training import Toy, ToyAgent, chunk

from user_gym.errors import BadOption
from user_gym.system import Buffer, Mixture, train
from user_gym.system.freshness import Beyond, Fresh
from user_gym.system.virtual import Costed, Delayed, Paced, VirtualClock
from user_gym.system.weights import Broadcaster


@pytest.fixture
def buffer():
    """Four chunks of three steps, by the versions 0, 4, 8 and by nobody; actions tell the step."""
    with Buffer.open(":memory:") as it:
        for episode, version in enumerate((0, 4, 8, -1)):
            it.append(chunk(episode=episode, base=3 * episode, policy_version=np.full(3, version)))
        yield it


def drawn(fresh, n=4000):
    """How often each of the twelve steps came."""
    batch = fresh.sample(n, np.random.default_rng(1))
    return np.bincount(batch.action[:, 0].astype(int), minlength=12) / n


def test_dropped_steps_are_never_drawn_and_the_others_evenly(buffer):
    fresh = Fresh(buffer, 4, Beyond.DROP, lambda: 8)
    often = drawn(fresh)
    assert (often[:3] == 0).all()
    np.testing.assert_allclose(often[3:], 1 / 9, atol=0.02)
    assert (len(fresh), fresh.stats()["fresh_and_stale"]) == (9, 12)


def test_down_weighted_steps_are_drawn_in_proportion_to_their_weight(buffer):
    often = drawn(Fresh(buffer, 1, "down-weight", lambda: 8))
    weights = np.repeat([2 / 9, 2 / 5, 1, 1], 3)
    np.testing.assert_allclose(often, weights / weights.sum(), atol=0.02)


def test_steps_grow_stale_as_versions_are_published_and_new_ones_come(buffer):
    broadcaster = Broadcaster(8)
    fresh = Fresh(buffer, 0, "drop", lambda: broadcaster.version)
    assert fresh.staleness().tolist() == [8] * 3 + [4] * 3 + [0] * 3
    assert set(np.flatnonzero(drawn(fresh))) == set(range(6, 12))
    broadcaster.publish({"mean": np.zeros(1, np.float32)}, "toy")
    assert set(np.flatnonzero(drawn(fresh))) == set(range(9, 12))
    buffer.append(chunk(episode=9, base=0, policy_version=np.full(3, 9)))
    assert set(np.flatnonzero(drawn(fresh))) == {0, 1, 2, 9, 10, 11}


def test_steps_that_were_pruned_are_not_drawn():
    with Buffer.open(":memory:", capacity=6) as small:
        fresh = Fresh(small, 100, "drop", lambda: 5)
        for episode in range(6):
            small.append(chunk(episode=episode, base=3 * episode, policy_version=np.full(3, episode)))
            often = np.bincount(fresh.sample(500, np.random.default_rng(0)).action[:, 0].astype(int), minlength=18)
            assert set(np.flatnonzero(often)) == set(range(3 * max(0, episode - 1), 3 * episode + 3))
        assert fresh.staleness().tolist() == [1] * 3 + [0] * 3


def test_a_part_keeps_the_limit_among_the_steps_of_a_condition(buffer):
    part = Fresh(buffer, 4, "drop", lambda: 8, where="episode >= 1").part("episode <= 2")
    assert set(np.flatnonzero(drawn(part))) == set(range(3, 9))


def test_where_nothing_is_fresh_the_error_says_so_and_a_mixture_takes_its_other_parts(buffer):
    fresh = Fresh(buffer, 1, "drop", lambda: 20, where="policy_version >= 0")
    with pytest.raises(BadOption, match="at most 1 versions behind version 20"):
        fresh.sample(4, np.random.default_rng(0))
    assert not fresh.ready()
    demos = buffer.view("policy_version = -1")
    batch = Mixture([(fresh, 0.5), (demos, 0.5)], 8)(buffer, np.random.default_rng(0))
    assert set(batch.policy_version.tolist()) == {-1}


def test_it_is_ready_while_the_newest_step_is_fresh(buffer):
    newest = [8]
    fresh = Fresh(buffer, 3, "wait", lambda: newest[0])
    seen = []
    for version in (8, 11, 12):
        newest[0] = version
        seen.append(fresh.ready())
    assert seen == [True, True, False]
    assert len(np.flatnonzero(drawn(fresh))) == 12  # all of them are drawn
    buffer.append(chunk(episode=9, policy_version=np.full(3, 10)))
    assert fresh.ready()
    assert Fresh(buffer, 0, "down-weight", lambda: 99).ready()
    assert Fresh(buffer, 0, "wait", lambda: 99, where="policy_version = -1").ready()  # no policy acted yet


def staleness(limit, beyond="wait", synchronous=False, tolerance=math.inf, **options):
    """Of the newest step at each update of a run with one robot, and the run's parts."""
    clock = VirtualClock()
    broadcaster = Delayed(clock, 0.0)
    env = Paced(Toy(), clock, period=0.1, reset_time=1.0)
    agent = Costed(ToyAgent(), clock, update_time=0.05)
    seen = []
    with Buffer.open(":memory:") as buffer:
        fresh = Fresh(buffer, limit, beyond, lambda: broadcaster.version, clock=clock)

        def sampler(storage, rng):
            seen.append(int(fresh.staleness().min()))
            return fresh.sample(16, rng)

        result = train(
            env, agent, buffer, steps=600, synchronous=synchronous, tolerance=tolerance, sampler=sampler, ready=fresh.ready,
            broadcaster=broadcaster, runs_on=clock, **options,
        )  # fmt: skip
    return np.array(seen), result, fresh, clock


def test_a_learner_that_waits_is_never_staler_than_the_limit_and_the_wait_is_counted():
    free, result, _, _ = staleness(math.inf)
    assert free.max() > 15  # 2 s of updates and resets without a new step
    for limit in (0, 3, 10):
        seen, slower, fresh, clock = staleness(limit)
        assert seen.max() == limit
        assert slower.counters.updates < result.counters.updates
        assert fresh.waited > 0
        # Every moment that is no update is such a wait, but for the first chunk.
        assert fresh.waited == pytest.approx(clock.now() - 0.05 * slower.counters.updates, abs=2.1)
        assert slower.progress.collector_waited == 0


def test_dropping_waits_for_fresh_steps_too():
    seen, result, fresh, _ = staleness(2, "drop")
    assert seen.max() == 2
    assert fresh.waited > 0
    assert result.counters.env_steps == 600


def test_updates_that_a_collector_waits_for_do_not_wait_for_it():
    seen, result, fresh, _ = staleness(0, synchronous=True, updates_per_step=1.0)
    assert result.counters.updates == 600
    assert fresh.waited == 0
    assert seen.max() == 9  # ten updates for a chunk of ten steps, each with its version


def test_updates_are_no_wait_whoever_made_them_come():
    _, result, fresh, clock = staleness(0, tolerance=5.0)
    assert result.counters.updates > 500
    assert 0 < fresh.waited <= clock.now() - 0.05 * result.counters.updates


@pytest.mark.parametrize(
    ("limit", "beyond", "says"), [(-1, "drop", "limit"), (math.nan, "drop", "limit"), (1, "ignore", "wait")]
)
def test_what_is_no_policy_is_refused(buffer, limit, beyond, says):
    with pytest.raises(BadOption, match=says):
        Fresh(buffer, limit, beyond, lambda: 0)


def test_it_cannot_be_written(buffer):
    with pytest.raises(BadOption, match="append"):
        Fresh(buffer, 1, "drop", lambda: 0).append(chunk())
