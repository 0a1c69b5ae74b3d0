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
    """The goal; of each object place and yaw, and the same finely; which is nearest, and its place and yaw, both ways."""
    width = env.unwrapped.observation_space["state"].shape[0]
    more, n = obs["state"][width:], len(OBJECTS)
    assert len(more) == 3 + 8 * n + n + 8
    goal, off, fine, which, near = np.split(more, np.cumsum([3, 4 * n, 4 * n, n]))
    return goal, off.reshape(n, 4), fine.reshape(n, 4), which, near


def test_the_state_tells_at_its_end_where_the_scene_says_that_objects_are_to_the_hand(table):
    rng = np.random.default_rng(0)
    obs, _ = table.reset(seed=0)
    core: Any = table.unwrapped
    for _ in range(15):
        obs, *_ = table.step(rng.uniform(-1.0, 1.0, 7).astype(np.float32))
        goal, off, fine, which, near = told(table, obs)
        tcp = core.state.tcp
        assert goal == pytest.approx(np.tanh(FINE * (core.task.goal - tcp)[:3] / 0.02), abs=1e-4)
        for k, name in enumerate(OBJECTS):
            at = core.scene.pose(name)
            assert off[k, :3] == pytest.approx((at[:3] - tcp[:3]) / 0.02, abs=1e-4)
            assert fine[k] == pytest.approx(np.tanh(FINE * off[k]), abs=1e-4)
            yaw = 2 * np.arctan2(at[5], at[6]) if name != "lid" else 0.0
            assert off[k, 3] == pytest.approx((yaw - tcp[5]) / 0.1, abs=1e-3)
        first = np.argmin([np.linalg.norm(core.scene.pose(name)[:3] - tcp[:3]) for name in OBJECTS])
        assert np.array_equal(which, np.arange(len(OBJECTS)) == first)
        assert np.array_equal(near, [*off[first], *fine[first]])


@pytest.mark.parametrize(("turned", "seen"), [(0.6, 0.6), (-0.7, -0.7), (0.9, 0.9 - np.pi / 2), (3.0, 3.0 - np.pi)])
def test_a_quarter_of_a_turn_further_an_object_is_told_as_before(table, turned, seen):
    obs, _ = table.reset(seed=0)
    state = table.unwrapped.reset(seed=0)[0]["state"].copy()
    state[24] = turned / np.pi
    obs = table.observation({"state": state})
    assert told(table, obs)[1][0, 3] + state[5] == pytest.approx(seen / 0.1, abs=1e-3)


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
