from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from baselines.bc import Config
from baselines.config import Config as RlpdConfig
from baselines.episodes import make
from baselines.relative import FINE

OBJECTS = ("block", "can", "tower", "lid")


@pytest.fixture
def table():
    env = make(Config(env_id="User/TableCleanup-sim-v0"))
    yield env
    env.close()


def told(env: Any, obs: Any) -> tuple[np.ndarray, ...]:
    """The goal, and of each object its place, place finely, sine and cosine."""
    width = env.unwrapped.observation_space["state"].shape[0]
    more, n = obs["state"][width:], len(OBJECTS)
    assert len(more) == 3 + 8 * n
    parts = np.split(more[3:], np.cumsum([3 * n, 3 * n, n]))
    return more[:3], parts[0].reshape(n, 3), parts[1].reshape(n, 3), parts[2], parts[3]


def test_the_state_tells_at_its_end_where_the_scene_says_that_objects_are_to_the_hand(table):
    rng = np.random.default_rng(0)
    obs, _ = table.reset(seed=0)
    core: Any = table.unwrapped
    for _ in range(15):
        obs, *_ = table.step(rng.uniform(-1.0, 1.0, 7).astype(np.float32))
        goal, off, fine, sine, cosine = told(table, obs)
        tcp = core.state.tcp
        assert goal == pytest.approx(np.tanh(FINE * (core.task.goal - tcp)[:3] / 0.02), abs=1e-4)
        for k, name in enumerate(OBJECTS):
            at = core.scene.pose(name)
            assert off[k] == pytest.approx((at[:3] - tcp[:3]) / 0.02, abs=1e-4)
            assert fine[k] == pytest.approx(np.tanh(FINE * (at[:3] - tcp[:3]) / 0.02), abs=1e-3)
            if name == "lid":
                continue
            turn = 4 * (2 * np.arctan2(at[5], at[6]) - tcp[5])
            assert (sine[k], cosine[k]) == pytest.approx((np.sin(turn), np.cos(turn)), abs=1e-2)


def test_the_rest_of_an_observation_is_as_it_was_and_all_of_it_in_its_space(table):
    obs, _ = table.reset(seed=3)
    again, _ = table.unwrapped.reset(seed=3)
    assert np.array_equal(obs["state"][: len(again["state"])], again["state"])
    assert obs["state"].dtype == np.float32
    assert obs in table.observation_space
    for step in range(40):
        obs, *_ = table.step(np.full(7, -1.0 if step < 20 else 1.0, np.float32))
        assert obs in table.observation_space


@pytest.mark.parametrize(
    "config",
    [
        Config(),  # no object
        Config(env_id="User/TableCleanup-sim-v0", obs="pixels"),  # who sees is not told
        RlpdConfig(env_id="User/TableCleanup-sim-v0"),
    ],
)
def test_without_objects_from_pictures_and_for_other_baselines_nothing_is_added(config):
    env = make(config)
    spaces: Any = env.observation_space
    own: Any = env.unwrapped.observation_space
    assert spaces["state"].shape[0] <= own["state"].shape[0]
    env.close()
