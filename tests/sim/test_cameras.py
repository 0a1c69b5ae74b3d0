"""The cameras see the tool and the work."""

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.core import Command
from user_gym.errors import Closed
from user_gym.robots import specs
from user_gym.sim.cell import build
from user_gym.tasks.peg_insert import PegInsert

ROBOTS = ("franka-fr3", "franka-fer", "arx-x5", "arx-l5")


def red(image) -> np.ndarray:
    """Where (h, w) a picture shows the peg."""
    r, g, b = (image[..., i].astype(int) for i in range(3))
    return (r > 90) & (r > 2 * g) & (r > 2 * b)


def wood(image) -> np.ndarray:
    """Where (h, w) a picture shows the board."""
    r, g, b = (image[..., i].astype(int) for i in range(3))
    return (r > g + 10) & (g > b + 10) & ~red(image)


@pytest.fixture(params=ROBOTS)
def pictures(request):
    env = gym.make("User/PegInsert-sim-v0", robot=request.param, obs="pixels")
    goal = env.unwrapped.task.goal
    near = env.reset(seed=0, options={"tcp": goal + np.array([0, 0, 0.04, 0, 0, 0])})[0]
    far = env.reset(seed=0, options={"tcp": goal + np.array([-0.04, 0.04, 0.08, 0, 0, 0.3])})[0]
    env.close()
    return near, far


def test_the_wrist_camera_sees_the_peg_and_the_board_under_it(pictures) -> None:
    for obs in pictures:
        assert red(obs["wrist"]).sum() > 150
        assert wood(obs["wrist"]).sum() > 500


def test_the_wrist_camera_moves_with_the_peg(pictures) -> None:
    near, far = (red(obs["wrist"]) for obs in pictures)
    assert (near & far).sum() > 0.8 * near.sum()  # it is where it was in the picture


def test_the_side_camera_sees_peg_and_board_and_where_the_peg_is(pictures) -> None:
    near, far = (obs["side"] for obs in pictures)
    assert red(near).sum() > 20
    assert red(far).sum() > 20
    assert wood(near).sum() > 300
    assert np.abs(np.argwhere(red(near)).mean(0) - np.argwhere(red(far)).mean(0)).max() > 8  # pixels


def test_a_frame_is_of_the_newest_state_and_its_own() -> None:
    spec = specs.spec("franka-fr3")
    task = PegInsert(spec)
    cell = build(spec, task, "tcp", 0.004)
    cell.robot.connect()
    camera = cell.cameras["side"]
    cell.robot.reset(task.start(np.random.default_rng(0)))
    with pytest.raises(Closed, match="connect"):
        camera.read()
    camera.connect()
    first = camera.read()
    kept = first.image.copy()
    state = cell.robot.exchange(Command(0.0, tcp=task.goal + np.array([0, 0, 0.05, 0, 0, 0])))
    second = camera.read()
    assert (first.time, second.time) == (0.0, state.time)
    assert not np.array_equal(first.image, second.image)
    assert np.array_equal(first.image, kept)
    camera.close()
    camera.close()
    cell.robot.close()


def test_the_picture_of_a_pose_does_not_depend_on_what_came_before() -> None:
    images = []
    for wandering in (0, 3):
        env = gym.make("User/PegInsert-sim-v0", obs="pixels")
        env.reset(seed=1)
        for _ in range(wandering):
            env.step(env.action_space.sample())
        images.append(env.reset(seed=8)[0]["wrist"])
        env.close()
    assert np.array_equal(*images)
