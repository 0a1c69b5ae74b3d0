from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from baselines.config import Config
from baselines.episodes import make
from baselines.pictures import STATE, Seen, shrunk
from user_gym.errors import BadOption, UnknownName


@dataclass
class Ducks:
    scene_keys: tuple[str, ...] = ("duck", "box")


class Pond(gym.Env):
    """Tells where a duck and a box are, and shows them."""

    def __init__(self):
        self.task = Ducks()
        cameras = {name: gym.spaces.Box(0, 255, (8, 8, 3), np.uint8) for name in ("wrist", "side")}
        state = gym.spaces.Box(-9.0, 9.0, (STATE + 12,), np.float32)
        self.observation_space = gym.spaces.Dict({"state": state, **cameras})
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        pictures = {name: np.full((8, 8, 3), value, np.uint8) for name, value in (("wrist", 3), ("side", 5))}
        return {"state": np.arange(STATE + 12, dtype=np.float32) / 9, **pictures}, {}


def test_a_run_from_pictures_is_not_told_where_objects_are():
    env = Seen(Pond(), 4)
    obs, _ = env.reset()
    assert obs in env.observation_space
    np.testing.assert_array_equal(obs["state"], np.arange(STATE, dtype=np.float32) / 9)
    assert {name: (obs[name].shape, int(obs[name].max())) for name in ("wrist", "side")} == {
        "wrist": ((4, 4, 3), 3), "side": ((4, 4, 3), 5),
    }  # fmt: skip
    assert set(Seen(Pond(), 4, ("side",)).reset()[0]) == {"state", "side"}


@pytest.mark.parametrize("task", ["PegInsert", "PickPlace"])
@pytest.mark.parametrize(("control", "joints"), [("tcp", 0), ("joint", 7)])
def test_the_arm_is_felt_whole_in_every_task_and_control(task, control, joints):
    env = make(Config(env_id=f"User/{task}-sim-v0", obs="pixels", control=control, demos=0))
    spaces: Any = env.observation_space
    assert spaces["state"].shape == (STATE + joints,)
    assert spaces["wrist"].shape == (64, 64, 3)
    env.close()


def test_from_the_state_alone_objects_are_told():
    env = make(Config(env_id="User/PickPlace-sim-v0"))
    spaces: Any = env.observation_space
    assert spaces["state"].shape == (STATE + 6,)
    env.close()


def test_what_cannot_be_seen_so_is_said():
    with pytest.raises(BadOption, match=r"bad picture \(8, 8, 3\); allowed: sides that are multiples of 3"):
        Seen(Pond(), 3)
    for side in (0, "x", True):
        with pytest.raises(BadOption, match=r"bad side .*a whole number, 1 or more"):
            Seen(Pond(), side)
    with pytest.raises(BadOption, match=r"bad obs 'state'; allowed: none.*leave it out"):
        gym.make("baselines.pictures:Seen-v0", env_id="User/PegInsert-sim-v0", robot="franka-fr3", obs="state")
    with pytest.raises(UnknownName, match="unknown camera 'wrst'"):
        Seen(Pond(), 4, ("wrst",))
    blind = Pond()
    del blind.task
    with pytest.raises(BadOption, match="an environment of user_gym"):
        Seen(blind, 4)


def test_a_picture_is_made_small_by_means() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:2, :3] = 7
    picture[0, 0] = 1
    assert shrunk(picture, 2).tolist() == [[[6] * 3, [0] * 3], [[0] * 3] * 2]
    assert shrunk(picture[:4, :4], 4).tolist() == picture[:4, :4].tolist()
    with pytest.raises(BadOption, match=r"bad picture \(4, 6, 3\); allowed: sides that are multiples of 4"):
        shrunk(picture, 4)
