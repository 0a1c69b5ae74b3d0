"""The collector acts with the newest weights and hands over every step."""

import threading

import gymnasium
import numpy as np
import pytest
from toy_training import Toy, ToyPolicy

from user_gym.errors import BadOption, Closed, Halted, RobotFault
from user_gym.system import Broadcaster, Channel, ChunkBuilder, Collector, SamplesPerInsert
from user_gym.system.chunked import ChunkedPolicy


def collector(env=None, policy=None, limiter=None, broadcaster=None, max_seconds=1.0, **options):
    """A collector whose learner never holds it up, and its channel."""
    channel = Channel(100)
    limiter = limiter or SamplesPerInsert(1, float("inf"))
    builder = ChunkBuilder("a", "r", "t", max_seconds=max_seconds)
    broadcaster = broadcaster or Broadcaster()
    parts = {"limiter": limiter, "broadcaster": broadcaster, "builder": builder}
    return Collector(env or Toy(), policy or ToyPolicy(), channel, **parts, **options), channel


def everything(channel):
    channel.close()
    return [channel.get() for _ in range(channel.stats().depth)]


def test_every_step_is_handed_over_also_of_an_unfinished_episode():
    it, channel = collector()
    it.run(threading.Event(), 25)
    chunks = everything(channel)
    assert [(c.episode, len(c)) for c in chunks] == [(0, 10), (1, 10), (2, 5)]
    assert (it.env_steps, it.episodes) == (25, 3)
    assert chunks[0].truncated[-1]
    assert not chunks[2].truncated.any()


def test_random_steps_are_uniform_seeded_and_marked():
    broadcaster = Broadcaster()
    broadcaster.publish({"mean": np.zeros(1, np.float32)}, "toy")
    it, channel = collector(random_steps=15, seed=3, broadcaster=broadcaster)
    it.run(threading.Event(), 20)
    again, other = collector(random_steps=15, seed=3)
    again.run(threading.Event(), 20)
    made = everything(channel)
    assert np.concatenate([c.policy_version for c in made]).tolist() == [-1] * 15 + [0] * 5
    one, two = (np.concatenate([c.action for c in chunks]) for chunks in (made, everything(other)))
    np.testing.assert_array_equal(one, two)
    assert np.ptp(one[:15]) > 1.0  # the toy policy's own noise stays within 0.8
    assert abs(one[15:]).max() < 0.5


def test_weights_are_swapped_between_two_steps():
    broadcaster = Broadcaster()

    class Publishing(Toy):
        def step(self, action):
            broadcaster.publish({"mean": np.zeros(1, np.float32)}, "toy")
            return super().step(action)

    broadcaster.publish({"mean": np.zeros(1, np.float32)}, "toy")
    it, channel = collector(Publishing(), broadcaster=broadcaster)
    it.run(threading.Event(), 10)
    (made,) = everything(channel)
    assert made.policy_version.tolist() == list(range(10))


class Counting(ToyPolicy):
    """Plans four steps; the action tells which plan and which step."""

    def __init__(self):
        super().__init__()
        self.plans = 0

    def act(self, obs, deterministic=False):
        self.plans += 1
        chunk = super().act(obs)
        actions = self.plans / 100 + np.arange(4, dtype=np.float32)[:, None] / 1000
        return type(chunk)(actions.astype(np.float32), self.plans)


def test_a_plan_is_carried_out_and_dropped_at_the_end_of_an_episode():
    it, channel = collector(policy=Counting())
    it.run(threading.Event(), 12)
    one, two = everything(channel)
    assert one.policy_version.tolist() == [1] * 4 + [2] * 4 + [3] * 2
    assert two.policy_version.tolist() == [4] * 2
    np.testing.assert_allclose(one.action[:5, 0], [0.01, 0.011, 0.012, 0.013, 0.02], rtol=1e-5)


def test_an_intervention_drops_the_plan():
    class Human(Toy):
        def step(self, action):
            *rest, info = super().step(action)
            return *rest, {**info, "is_intervention": self.n == 2}

    it, channel = collector(Human(), Counting())
    it.run(threading.Event(), 10)
    (made,) = everything(channel)
    assert made.policy_version.tolist() == [1, -1] + [2] * 4 + [3] * 4
    assert made.is_intervention.tolist() == [False, True] + [False] * 8


def test_a_policy_that_keeps_a_plan_is_told_of_an_intervention():
    class Human(Toy):
        def step(self, action):
            *rest, info = super().step(action)
            return *rest, {**info, "is_intervention": self.n == 2}

    it, channel = collector(Human(), ChunkedPolicy(Counting(), horizon=4))
    it.run(threading.Event(), 10)
    (made,) = everything(channel)
    np.testing.assert_allclose(made.action[[0, 2, 3, 6], 0], [0.01, 0.02, 0.021, 0.03], rtol=1e-5)


def test_dict_observations_keep_their_names_and_others_are_called_obs():
    class Named(Toy):
        def reset(self, *, seed=None, options=None):
            obs, info = super().reset(seed=seed)
            return {"state": obs}, info

        def step(self, action):
            obs, *rest = super().step(action)
            return {"state": obs}, *rest

    for env, names in ((Toy(), {"obs"}), (Named(), {"state"})):
        it, channel = collector(env)
        it.run(threading.Event(), 10)
        assert set(everything(channel)[0].obs) == names


def test_it_ends_when_stop_is_set_and_when_the_limiter_closes():
    stop = threading.Event()

    class Stopping(Toy):
        def step(self, action):
            if self.n == 3:
                stop.set()
            return super().step(action)

    it, channel = collector(Stopping())
    it.run(stop, 1000)
    assert [len(c) for c in everything(channel)] == [4]

    limiter = SamplesPerInsert(1, 0)
    it, channel = collector(limiter=limiter)
    thread = threading.Thread(target=it.run, args=(threading.Event(), 1000), daemon=True)
    thread.start()
    channel.get(timeout=5)
    limiter.close()
    thread.join(5)
    assert not thread.is_alive()
    assert it.env_steps == 10


def failing(error, *, at, episodes, in_reset=False):
    """A Toy that raises before step `at` of these episodes, or in their resets."""

    class Failing(Toy):
        begun = -1

        def reset(self, *, seed=None, options=None):
            self.begun += 1
            if in_reset and self.begun in episodes:
                raise error
            return super().reset(seed=seed)

        def step(self, action):
            if not in_reset and self.n == at and self.begun in episodes:
                raise error
            return super().step(action)

    return Failing()


@pytest.mark.parametrize("error", [RuntimeError("cable"), Closed("the environment is closed")])
def test_an_error_of_the_environment_is_raised_and_loses_no_step(error):
    it, channel = collector(failing(error, at=7, episodes={1}), max_seconds=0.5)
    with pytest.raises(type(error), match=str(error)):
        it.run(threading.Event(), 1000)
    chunks = everything(channel)
    assert [(c.episode, len(c)) for c in chunks] == [(0, 5), (0, 5), (1, 5), (1, 2)]
    assert not chunks[-1].truncated.any()
    assert it.env_steps == 17


def test_an_error_is_raised_also_when_nobody_takes_the_steps_any_more():
    it, channel = collector(failing(RuntimeError("cable"), at=7, episodes={0}))
    channel.close()
    with pytest.raises(RuntimeError, match="cable"):
        it.run(threading.Event(), 1000)


def test_a_robot_fault_truncates_the_episode_and_the_next_one_begins():
    it, channel = collector(failing(RobotFault("reflex"), at=7, episodes={1, 2, 4, 5}))
    it.run(threading.Event(), 60)
    chunks = everything(channel)
    assert [(c.episode, len(c)) for c in chunks] == [(0, 10), (1, 7), (2, 7), (3, 10), (4, 7), (5, 7), (6, 10), (7, 2)]
    assert [bool(c.truncated[-1]) for c in chunks] == [True] * 7 + [False]
    assert not any(c.terminated.any() or c.truncated[:-1].any() for c in chunks)
    assert (it.faults, it.env_steps) == (4, 60)


@pytest.mark.parametrize("in_reset", [False, True])
def test_too_many_faults_in_a_row_are_raised_with_every_step_kept(in_reset):
    env = failing(RobotFault("reflex"), at=7, episodes={1, 3, 4, 5, 6}, in_reset=in_reset)
    it, channel = collector(env, max_faults=3)
    with pytest.raises(RobotFault, match="reflex"):
        it.run(threading.Event(), 1000)
    assert it.faults == 4
    assert sum(map(len, everything(channel))) == it.env_steps == 20 + (0 if in_reset else 4 * 7)


def test_the_policy_is_told_of_each_episode_and_seeded_for_the_first():
    def told(**options):
        class Listening(ToyPolicy):
            def reset(self, seed=None):
                seeds.append(seed)

        seeds = []
        it, _ = collector(policy=Listening(), **options)
        it.run(threading.Event(), it.env_steps + 25)
        return seeds

    seeds = told(seed=3)
    assert seeds[0] is not None
    assert seeds[1:] == [None, None]
    assert told(seed=3) == seeds
    assert len({told(seed=s, episodes=e)[0] for s in (3, 4) for e in (0, 1, 2)}) == 6


def test_a_persons_stop_ends_the_run_and_is_not_answered_by_a_reset():
    env = failing(Halted("an operator said stop"), at=7, episodes={2})
    it, _ = collector(env, max_faults=3)
    with pytest.raises(Halted):
        it.run(threading.Event(), 60)
    assert (it.faults, it.episodes) == (1, 3)


def test_no_fault_at_all_is_no_number_of_faults():
    with pytest.raises(BadOption, match="max_faults 0"):
        collector(max_faults=0)


def test_an_action_space_without_bounds_is_refused():
    env = Toy()
    env.action_space = gymnasium.spaces.Discrete(3)
    with pytest.raises(BadOption, match="Box"):
        collector(env)
