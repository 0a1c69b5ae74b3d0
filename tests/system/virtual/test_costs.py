"""A pipeline with declared costs keeps the arithmetic of the published table, on the virtual clock to the bit."""

import math

import gymnasium
import numpy as np
import pytest
from toy_training import Toy, ToyAgent

from user_gym.errors import BadOption
from user_gym.system import Buffer, train
from user_gym.system.clock import WALL
from user_gym.system.virtual import Costed, Delayed, Paced, VirtualClock


class Long(Toy):
    """Episodes of 100 steps."""

    def step(self, action):
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, self.n == 100, info


class Journal(Paced):
    """Remembers when each episode began to reset."""

    def reset(self, **options):
        self.resets = [*getattr(self, "resets", []), self._clock.now()]
        return super().reset(**options)


def run(*, update, k, reset, overhead=0.0, synchronous=True, episodes=40, **options):
    """s per episode and s per update, after five episodes, and the two sides' own records."""
    clock = VirtualClock()
    env = Journal(Long(), clock, period=0.1, reset_time=reset)
    agent = Costed(ToyAgent(), clock, update_time=update, weights_time=overhead)
    with Buffer.open(":memory:") as storage:
        result = train(
            env, agent, storage, steps=100 * (episodes + 5), updates_per_step=k / 100, synchronous=synchronous,
            tolerance=math.inf, max_seconds=1e3 if synchronous else 1.0, batch_size=16, publish_every=k, runs_on=clock,
            **options,
        )  # fmt: skip
    steps = [t for t in agent.updated if t > env.resets[5]]
    return (env.resets[-1] - env.resets[5]) / (episodes - 1), (steps[-1] - steps[0]) / (len(steps) - 1), result, env


PUBLISHED = [
    # robot s/episode, update s, updates per episode, other overhead s, published s/episode and s/update, synchronous
    (13.11, 0.1388, 32, 2.78, 20.3, 0.64),
    (37.54, 7.90, 1, 0.0, 45.4, 45.4),
]


@pytest.mark.parametrize(("robot", "update", "k", "overhead", "episode", "step"), PUBLISHED)
def test_the_clock_gives_the_published_table(robot, update, k, overhead, episode, step):
    cycle = robot + k * update + overhead
    generation, training, _, _ = run(update=update, k=k, reset=robot - 10, overhead=overhead)
    assert generation == pytest.approx(cycle, rel=1e-3)
    assert generation == pytest.approx(episode, rel=0.02)
    # The window of updates begins and ends with one, so that a cycle's first update is not weighed twice.
    assert cycle / k == pytest.approx(step, rel=0.02)
    assert training == pytest.approx(cycle / k, rel=0.05)
    generation, training, result, env = run(update=update, k=k, reset=robot - 10, synchronous=False)
    assert generation == pytest.approx(robot, rel=1e-3)
    assert training == pytest.approx(update, rel=1e-3)
    assert result.progress.collector_waited == 0
    assert set(np.abs(np.array(env.lateness)) < 1e-6) == {True}


def test_equal_seeds_give_equal_bits_also_where_they_do_not_take_turns():
    def digest(seed):
        clock = VirtualClock()
        agent, broadcaster = ToyAgent(), Delayed(clock, 0.25)
        env = Paced(Toy(), clock, period=0.1, reset_time=0.33)
        with Buffer.open(":memory:") as storage:
            costed = Costed(agent, clock, update_time=0.017)
            options = {"synchronous": False, "tolerance": 40, "max_seconds": 0.3, "batch_size": 16, "broadcaster": broadcaster}
            result = train(env, costed, storage, steps=400, seed=seed, runs_on=clock, **options)
            rows = [storage.chunk(number) for number in range(0, 400, 10)]
        columns = [np.concatenate([getattr(c, name) for c in rows]).tobytes() for name in ("action", "policy_version", "time")]
        return agent.mean.tobytes(), columns, [c.wall_time for c in rows], result.counters, clock.now()

    assert digest(3) == digest(3)
    assert digest(3) != digest(4)


def test_a_policy_acts_with_the_weights_that_have_arrived():
    clock = VirtualClock()
    broadcaster = Delayed(clock, 1.0)
    for n in range(3):
        clock.sleep_until(n * 0.4)
        broadcaster.publish({"mean": np.full(1, n, np.float32)}, "toy")
    assert broadcaster.version == 2
    assert broadcaster.newest() is None
    seen = []
    for now in (1.0, 1.3, 1.4, 5.0):
        clock.sleep_until(now)
        weights = broadcaster.newest()
        seen.append((weights.version, float(weights.arrays["mean"][0])))
    assert seen == [(0, 0.0), (0, 0.0), (1, 1.0), (2, 2.0)]
    assert broadcaster.newest(than=2) is None


def test_a_step_that_begins_late_by_a_period_begins_a_new_grid():
    clock = VirtualClock()
    env = Paced(Toy(), clock, period=0.1, reset_time=2.0)
    env.reset()
    assert clock.now() == 2.0
    ends = []
    for pause in (0.0, 0.05, 0.0, 0.3, 0.0):
        clock.sleep_until(clock.now() + pause)
        env.step(np.zeros(1, np.float32))
        ends.append(clock.now())
    np.testing.assert_allclose(ends, [2.1, 2.2, 2.3, 2.7, 2.8])
    np.testing.assert_allclose(env.lateness, [0, 0.05, 0, 0.3, 0], atol=1e-12)
    assert (env.steps, env.episodes) == (5, 0)
    assert env.moved == pytest.approx(2.45)


def test_a_reset_that_had_begun_ends_when_it_would_have_ended():
    clock = VirtualClock(100.0)
    env = Paced(Toy(), clock, period=0.1, reset_time=2.0, resets_until=101.25)
    assert env.resetting is None
    watched = clock.start("resetting", env.reset)
    clock.sleep_until(101.0)
    assert env.resetting == 101.25
    watched.join()
    assert (clock.now(), env.resetting) == (101.25, None)
    env.reset()
    assert clock.now() == 103.25


def test_the_same_costs_pass_on_the_wall_clock():
    env = Paced(Toy(), WALL, period=0.01, reset_time=0.02)
    began = WALL.now()
    env.reset()
    for _ in range(3):
        env.step(np.zeros(1, np.float32))
    agent = Costed(ToyAgent(), WALL, update_time=0.01, weights_time=0.01)
    agent.weights()
    assert WALL.now() - began >= 0.06


@pytest.mark.parametrize(("options", "says"), [({"period": 0}, "period"), ({"period": 0.1, "reset_time": -1}, "reset_time")])
def test_costs_that_are_none_are_refused(options, says):
    with pytest.raises(BadOption, match=says):
        Paced(gymnasium.Env(), VirtualClock(), **options)
    with pytest.raises(BadOption, match="update_time"):
        Costed(ToyAgent(), VirtualClock(), update_time=math.nan)
    with pytest.raises(BadOption, match="delay"):
        Delayed(VirtualClock(), -1)
