"""A pixel environment may be made, stepped and closed by different threads, as training does."""

from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest

import user_gym
from user_gym.errors import MissingSystem
from user_gym.sim import painter


def test_a_pixel_env_is_reset_stepped_and_closed_in_three_threads() -> None:
    env = gymnasium.make("User/PegInsert-sim-v0", obs="pixels")

    def in_its_own_thread(call, *args):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(call, *args).result(60)

    try:
        first, _ = in_its_own_thread(lambda: env.reset(seed=0))
    except MissingSystem as e:
        pytest.skip(str(e))
    second = in_its_own_thread(env.step, np.array([1, 0, 0, 0, 0, 0], np.float32))[0]
    assert first["wrist"].std() > 5
    assert (first["side"] != second["side"]).any()
    in_its_own_thread(env.close)
    assert user_gym


def test_a_process_forked_from_one_that_drew_is_told_to_spawn_instead_of_hanging(monkeypatch) -> None:
    monkeypatch.setattr(painter, "_drawing", -1)  # as a fork would find it
    env = gymnasium.make("User/PegInsert-sim-v0", obs="pixels")
    with pytest.raises(MissingSystem, match="spawn"):
        env.reset(seed=0)
    env.close()
