"""Many remote environments at once, when something is wrong with one of them, or with all."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from remote_parts import TOY, fleet, wait
from remote_toys import FAULTY, ID, STEPS

import user_gym  # noqa: F401  (registers the ids)
from user_gym.errors import BadOption, Busy, Closed, RobotFault
from user_gym.vector.remote import RemoteVectorEnv

STILL = np.zeros((2, 2), np.float32)


@pytest.fixture
def two(tmp_path):
    with fleet(tmp_path, {"a": TOY, "b": TOY}) as running:
        yield running


def many(running, **options):
    edges = ["e1/a", "e1/b"]
    env = RemoteVectorEnv(2, **{"edges": edges, "hub": running.address, "env_id": ID, "retry": 0.0, **options})
    running.stack.callback(env.close)
    return env


def at_fault(row):
    actions = STILL.copy()
    actions[row, 0] = FAULTY
    return actions


@pytest.mark.parametrize("channel", ["network", "shared memory"])
def test_rows_step_together_and_begin_again_by_themselves(two, channel):
    env = many(two, channel=channel)
    obs, _ = env.reset(seed=3)
    assert obs["x"].tolist() == [[3, 0, 0, 0], [4, 0, 0, 0]]
    for n in range(1, STEPS + 1):
        obs, reward, _, truncated, info = env.step(STILL)
        assert (obs["x"][:, 1] == n).all()
        assert reward.tolist() == [n, n]
        assert info["time"].tolist() == pytest.approx([0.1 * n] * 2)
    assert truncated.tolist() == [True, True]
    obs, reward, _, truncated, _ = env.step(STILL)
    assert (obs["x"][:, 1].tolist(), reward.tolist(), truncated.tolist()) == ([0, 0], [0, 0], [False, False])
    assert env.call("channel") == (channel, channel)


def test_a_fault_of_one_row_truncates_it_and_the_other_goes_on(two):
    env = many(two)
    env.reset(seed=1)
    env.step(STILL)
    obs, reward, _, truncated, info = env.step(at_fault(1))
    assert truncated.tolist() == [False, True]
    assert reward.tolist() == [2, 0]
    assert obs["x"][1].tolist() == [2, 1, 1, 1]
    assert info["fault"][1].startswith("Reflex: the toy protects itself")
    assert info["_fault"].tolist() == [False, True]
    assert list(env.faults) == [1]
    obs, _, _, truncated, _ = env.step(STILL)
    assert (obs["x"][:, 1].tolist(), truncated.tolist()) == ([3, 0], [False, False])
    assert not env.faults


def test_a_row_that_is_down_stays_truncated_until_it_is_time_for_another_attempt(two):
    env = many(two, retry=3600.0)
    env.reset()
    env._tried = 1e12  # an attempt was made a moment ago
    env.step(at_fault(0))
    for n in (2, 3):
        obs, reward, _, truncated, _ = env.step(STILL)
        assert (truncated.tolist(), reward.tolist()) == ([True, False], [0, n])
        assert obs["x"][0, 1] == 0
    env.reset(options={"reset_mask": np.array([True, False])})
    assert env.step(STILL)[1].tolist() == [1, 4]


def test_a_row_that_a_person_stopped_waits_for_a_reset_that_names_it(tmp_path):
    with fleet(tmp_path, {"a": TOY, "b": TOY}) as running:
        env = many(running)
        env.reset()
        running.host._seats["b"].stop("boss")
        for _ in range(3):
            _, _, _, truncated, info = env.step(STILL)
            assert truncated.tolist() == [False, True]
            assert info["fault"][1].startswith("Halted: b was stopped by boss")
        env.reset(options={"reset_mask": np.array([False, True])})
        assert env.step(STILL)[3].tolist() == [False, False]


def test_with_every_row_down_for_too_long_a_step_raises(two):
    env = many(two, max_faults=2, timeout=1.0, reset_timeout=2.0)
    env.reset()
    two.edge.close()
    two.host.close()
    assert env.step(STILL)[3].tolist() == [True, True]
    for _ in range(2):
        assert env.step(STILL)[3].all()
    with pytest.raises(RobotFault, match="no row is left"):
        env.step(STILL)


def test_with_every_row_stopped_by_a_person_a_step_raises_at_once(two):
    env = many(two)
    env.reset()
    two.hub.stop(by="boss")
    assert env.step(STILL)[3].all()
    with pytest.raises(RobotFault, match="Halted: "):
        env.step(STILL)
    env.reset()
    assert not env.step(STILL)[3].any()


def test_same_step_gives_the_last_and_the_first_observation(two):
    env = many(two, autoreset_mode="SameStep", max_episode_steps=2)
    env.reset(seed=1)
    env.step(STILL)
    obs, _, _, truncated, info = env.step(STILL)
    assert truncated.all()
    assert obs["x"][:, 1].tolist() == [0, 0]
    assert [final["x"][1] for final in info["final_obs"]] == [2, 2]


def test_the_id_makes_it_and_close_gives_every_robot_back(two):
    env = gymnasium.make_vec("User/Remote-v0", 2, hub=two.address, env_id=ID, edge="e1")
    env.reset()
    assert len(two.hub.leases()) == 2
    with pytest.raises(Busy):
        gymnasium.make_vec("User/Remote-v0", 1, hub=two.address, env_id=ID)
    env.close()
    env.close()
    wait(lambda: not two.hub.leases())
    with pytest.raises(Closed):
        env.step(STILL)


def test_rows_and_edges_are_as_many(two):
    with pytest.raises(BadOption, match="a list of 3"):
        RemoteVectorEnv(3, edges=["e1"], hub=two.address, env_id=ID)
    with pytest.raises(Busy):
        RemoteVectorEnv(3, hub=two.address, env_id=ID)
    wait(lambda: not two.hub.leases())
