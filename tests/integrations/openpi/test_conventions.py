"""What others call an observation and an action, there and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from policies import observation

from user_gym.errors import BadOption
from user_gym.integrations.openpi.conventions import LIBERO, OURS, Convention, lerobot, lerobot_env

ALL = {"ours": OURS, "libero": LIBERO, "lerobot": lerobot(), "lerobot_env": lerobot_env()}


@pytest.mark.parametrize("convention", ALL.values(), ids=ALL)
def test_an_observation_goes_there_and_comes_back_equal(convention: Convention) -> None:
    obs = observation() | {"prompt": np.array("insert the peg"), "action_prefix": np.ones((2, 6), np.float32)}
    back = convention.here(convention.there(obs))
    assert back.keys() == obs.keys()
    for name, value in obs.items():
        assert back[name].dtype == value.dtype
        np.testing.assert_array_equal(back[name], value)


@pytest.mark.parametrize("convention", ALL.values(), ids=ALL)
def test_actions_go_there_and_come_back_equal(convention: Convention) -> None:
    actions = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_array_equal(convention.chunk(convention.answer(actions)), actions)


def test_the_keys_are_those_of_the_others() -> None:
    obs = observation() | {"prompt": np.array("insert")}
    libero = LIBERO.there(obs)
    assert libero.keys() == {"observation/state", "observation/image", "observation/wrist_image", "prompt"}
    np.testing.assert_array_equal(libero["observation/wrist_image"], obs["wrist"])
    policy = lerobot().there(obs)
    assert policy.keys() == {"observation.state", "observation.images.wrist", "observation.images.side", "task"}
    picture = policy["observation.images.side"]
    assert (picture.dtype, picture.shape, policy["task"]) == (np.float32, (1, 3, 32, 48), ["insert"])
    assert picture[0, 2, 5, 7] == obs["side"][5, 7, 2] / np.float32(255)
    assert (policy["observation.state"].dtype, policy["observation.state"].shape) == (np.float32, (1, 19))
    assert set(lerobot().answer(np.zeros((4, 6), np.float32))) == {"action"}
    env = lerobot_env().there(observation())
    assert env.keys() == {"pixels", "agent_pos"}
    assert env["pixels"].keys() == {"wrist", "side"}


def test_another_camera_keeps_its_name() -> None:
    there = lerobot(("wrist",)).there(observation())
    assert {"observation.images.wrist", "side"} <= there.keys()


def test_a_longer_action_is_cut_to_those_of_the_robot_and_one_action_is_a_chunk() -> None:
    answer = {"actions": np.arange(64.0).reshape(2, 32)}
    assert OURS.chunk(answer, 6).tolist() == [[0, 1, 2, 3, 4, 5], [32, 33, 34, 35, 36, 37]]
    assert OURS.chunk({"actions": np.ones(7)}).shape == (1, 7)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"action": np.ones((2, 6))}, r"bad answer's 'actions' \['action'\]"),
        ({"actions": [[0.0]]}, "an array of that name"),
        ({"actions": np.ones((2, 2, 6))}, r"float64\[2, 2, 6\]'; allowed: finite numbers \(h, action\)"),
        ({"actions": np.ones((0, 6))}, "finite numbers"),
        ({"actions": np.full((1, 6), np.nan)}, "finite numbers"),
        ({"actions": np.array([["a"] * 6])}, "finite numbers"),
        ({"actions": np.ones((2, 3))}, "3 numbers in each action'; allowed: 6 or more"),
    ],
)
def test_an_answer_without_a_chunk_is_refused(answer: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        OURS.chunk(answer, 6)


@pytest.mark.parametrize(
    ("convention", "message_there", "message"),
    [
        (LIBERO, {"observation/image": np.zeros((4, 4), np.uint8)}, r"uint8\[4, 4\]'; allowed: uint8 \(h, w, 3\)"),
        (LIBERO, {"observation/image": np.zeros((4, 4, 3), np.float32)}, "bad picture 'observation/image'"),
        (LIBERO, {"observation/state": "x"}, "bad observation 'observation/state' 'str'"),
        (LIBERO, {"prompt": ["x"]}, "bad prompt 'prompt'"),
        (lerobot(), {"observation.state": np.zeros(19)}, r"float64\[19\]'; allowed: a leading axis of one"),
        (lerobot(), {"observation.images.side": np.zeros((1, 4, 4, 3), np.float32)}, r"allowed: float32 \(1, 3, h, w\)"),
        (lerobot(), {"task": ["a", "b"]}, "a text in a list of one"),
        (lerobot_env(), {"pixels": np.zeros(3)}, "bad observation 'pixels' 'ndarray'; allowed: a map of pictures"),
    ],
)
def test_an_observation_of_another_shape_is_refused(
    convention: Convention, message_there: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadOption, match=message):
        convention.here(message_there)
