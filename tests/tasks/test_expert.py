from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from scripted_episodes import outcomes

import user_gym  # noqa: F401
from user_gym.core import RobotState, Teleop
from user_gym.errors import BadOption
from user_gym.robots import specs
from user_gym.tasks.expert import PRESS, PegInsertExpert
from user_gym.tasks.peg_insert import PegInsert


def resting(tcp) -> RobotState:
    z = np.zeros(6)
    return RobotState(time=0.0, q=z, dq=z, tau=z, tcp=np.asarray(tcp, float), velocity=z, wrench=z, gripper=0.0)


@pytest.fixture
def task():
    return PegInsert(specs.spec("franka-fr3"))


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
@pytest.mark.parametrize("offset", [0.0, 0.001, 0.002])
def test_the_expert_always_finds_the_hidden_hole(robot, offset):
    env = gym.make("User/PegInsert-sim-v0", robot=robot, hole_offset=offset)
    assert all(outcomes(env, PegInsertExpert(env.unwrapped.task), 12))


def test_the_expert_is_a_human_who_has_always_taken_over(task):
    expert = PegInsertExpert(task)
    assert isinstance(expert, Teleop)
    order = expert.read(resting(task.goal + [0.03, 0, 0.1, 0, 0, 0.2]))
    assert order.active
    assert order.action.dtype == np.float32
    assert order.action.shape == (6,)


def test_it_aligns_above_the_rim_before_it_descends(task):
    aside = PegInsertExpert(task).action(resting(task.goal + [0.03, 0, 0.028, 0, 0, 0.2]))
    assert aside[0] < -0.9
    assert aside[5] < 0
    assert abs(aside[2]) < 0.01  # at hover height: no descent yet
    above = PegInsertExpert(task).action(resting(task.goal + [0, 0, 0.028, 0, 0, 0]))
    assert above[2] == pytest.approx(-PRESS / 0.02)


def test_a_peg_that_rests_on_the_board_is_searched_with_in_a_spiral_and_reset_forgets_it(task):
    expert = PegInsertExpert(task)
    on_the_rim = resting(task.goal + [0, 0, 0.025, 0, 0, 0])
    actions = [expert.action(on_the_rim) for _ in range(40)]
    assert not actions[1][:2].any()  # first it is left free to slide
    sideways = np.array([a[:2] for a in actions[6:]]) * 0.02
    assert np.linalg.norm(sideways, axis=1).max() > 0.002
    assert len({tuple(np.sign(s)) for s in sideways}) == 4  # all around
    expert.reset()
    assert not expert.action(on_the_rim)[:2].any()


def test_it_never_looks_at_where_the_hole_really_is(task):
    hidden = PegInsert(specs.spec("franka-fr3"), hole_offset=0.003)
    state = resting(task.goal + [0.01, 0.02, 0.08, 0, 0, 0.1])
    np.testing.assert_array_equal(PegInsertExpert(task).action(state), PegInsertExpert(hidden).action(state))


def test_noise_is_reproducible_and_stays_in_the_action_space(task):
    state = resting(task.goal + [0.03, 0, 0.1, 0, 0, 0.2])
    one, two = (PegInsertExpert(task, noise=0.5, seed=3) for _ in range(2))
    first = [one.action(state) for _ in range(5)]
    np.testing.assert_array_equal(first, [two.action(state) for _ in range(5)])
    assert np.abs(first).max() <= 1.0
    assert len({a.tobytes() for a in first}) == 5


@pytest.mark.parametrize("noise", [-0.1, np.nan, np.inf])
def test_noise_that_means_nothing_is_refused(task, noise):
    with pytest.raises(BadOption, match="noise"):
        PegInsertExpert(task, noise=noise)


def test_a_human_who_takes_over_at_the_rim_searches_on_instead_of_lifting_the_peg(task):
    expert, over = PegInsertExpert(task), task.goal + [0, 0, 0.025, 0, 0, 0]
    for aside, turned, down in ((0.0025, 0.0, True), (0.0025, 0.1, False), (0.004, 0.0, False)):
        here = resting(over + [aside, 0, 0, 0, 0, turned])
        expert.take_over(here)
        assert (expert.action(here)[2] < 0) == down
        expert.reset()
        assert expert.action(here)[2] > 0
