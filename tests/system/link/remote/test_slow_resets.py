"""Rows of a vector environment that begin anew, and take their time: together, and without harm to those in mid-episode."""

from __future__ import annotations

import threading
import time

import gymnasium
import numpy as np
import pytest
from remote_parts import fleet
from remote_toys import FAULTY, HELD, ID, RemoteToy

from user_gym.system.link.remote.served import Served
from user_gym.vector.remote import RemoteVectorEnv

STILL = np.zeros((2, 2), np.float32)
WATCHDOG = 1.5  # s; several times what the rows are attended in, on a machine with much to do
LONG = 1.5 * WATCHDOG
SLOW_SEED = 7


class Slow(RemoteToy):
    """With SLOW_SEED, and again after that, a reset takes longer than the watchdog of the other rows."""

    slow = False

    def reset(self, *, seed=None, options=None):
        self.slow = self.slow or seed == SLOW_SEED
        if self.slow and seed is None:
            time.sleep(LONG)
        return super().reset(seed=seed, options=options)


class Together(RemoteToy):
    """It is made, and each episode begins, only while another one's does."""

    made, begun = threading.Barrier(2), threading.Barrier(2)

    def __init__(self, **options):
        self.made.wait(10.0)
        super().__init__(**options)

    def reset(self, **options):
        self.begun.wait(10.0)
        return super().reset(**options)


for name, kind in (("SlowToy-v0", Slow), ("TogetherToy-v0", Together)):
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=kind)  # pyright: ignore[reportArgumentType]


def many(running, id, **options):
    env = RemoteVectorEnv(2, edges=["e1/a", "e1/b"], hub=running.address, env_id=[id, ID], retry=0.0, **options)
    running.stack.callback(env.close)
    return env


@pytest.fixture(params=["network", "shared memory"])
def slow(request, tmp_path):
    with fleet(tmp_path, {robot: [Served("SlowToy-v0")] for robot in "ab"}, watchdog=WATCHDOG) as running:
        env = many(running, "SlowToy-v0", channel=request.param, reset_timeout=20.0)
        env.reset(seed=[1, SLOW_SEED])
        yield env


def test_a_row_in_mid_episode_goes_on_while_another_begins_anew_for_longer_than_the_watchdog(slow):
    actions = STILL.copy()
    actions[1, 0] = FAULTY
    assert slow.step(actions)[3].tolist() == [False, True]
    obs, _, _, truncated, _ = slow.step(STILL)  # row 1 is reset, and row 0 waits for it
    assert truncated.tolist() == [False, False]
    assert obs["x"][:, 1].tolist() == [2, 0]
    obs, _, _, truncated, info = slow.step(STILL)
    assert "fault" not in info
    assert obs["x"][:, 1].tolist() == [3, 1]
    assert not HELD.is_set()


def test_a_row_in_mid_episode_goes_on_while_another_is_reset_by_name(slow):
    slow.step(STILL)
    slow.reset(options={"reset_mask": np.array([False, True])})
    obs, *_, info = slow.step(STILL)
    assert "fault" not in info
    assert obs["x"][:, 1].tolist() == [2, 1]
    assert not HELD.is_set()


def test_a_row_that_has_begun_waits_for_the_others(slow):
    slow.reset(seed=[2, None])
    assert slow.step(STILL)[0]["x"][:, 1].tolist() == [1, 1]
    assert not HELD.is_set()


def test_leases_environments_and_episodes_of_all_rows_begin_at_the_same_time(tmp_path):
    with fleet(tmp_path, {robot: [Served("TogetherToy-v0"), Served(ID)] for robot in "ab"}) as running:
        env = many(running, ID)
        for row in env.envs:  # as after a loss of all that was there; and now they want the other one
            row._way.release()
            row._way.drop()
            row._way._ids = ["TogetherToy-v0"]
        env.reset(seed=0)
        assert not env.step(STILL)[3].any()
