"""Two boards beside each other: everything but the words, the goal and the verdict is the same whichever is meant."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scripted_episodes import outcomes

import user_gym  # noqa: F401
from user_gym.core import RobotState, Scene
from user_gym.errors import BadOption
from user_gym.robots import specs
from user_gym.tasks.boards import ROOM, TWO
from user_gym.tasks.expert import PegInsertExpert
from user_gym.tasks.peg_insert import MAX_OFFSET, PEG_WIDTH, PegInsert

ROBOTS = ("franka-fr3", "franka-fer", "arx-x5", "arx-l5")
BLUE, YELLOW = (PegInsert(specs.spec("franka-fr3"), board=board) for board in ("blue", "yellow"))


def made(board: str | None, **options: Any) -> gym.Env[Any, Any]:
    return gym.make("User/PegInsert-sim-v0", board=board, **options)


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("board", TWO)
def test_the_expert_finds_the_hole_that_is_meant_on_every_arm(robot: str, board: str) -> None:
    env = made(board, robot=robot)
    assert all(outcomes(env, PegInsertExpert(env.unwrapped.task), 4))  # pyright: ignore[reportAttributeAccessIssue]


def test_neither_start_nor_pictures_nor_state_tell_which_is_meant() -> None:
    one, other = made("blue", obs="pixels"), made("yellow", obs="pixels")
    assert one.observation_space == other.observation_space
    for seed in range(2):
        seen, also = one.reset(seed=seed)[0], other.reset(seed=seed)[0]
        for step in range(3):
            for name in seen:
                np.testing.assert_array_equal(seen[name], also[name], err_msg=f"{name}, step {step}")
            action = np.full(6, 0.3, np.float32)
            seen, also = one.step(action)[0], other.step(action)[0]
    for env in (one, other):
        env.close()


def test_words_and_goal_do_tell() -> None:
    assert (BLUE.description, YELLOW.description) == (
        "insert the red peg into the blue board",
        "insert the red peg into the yellow board",
    )
    assert PegInsert.description == "insert the red peg into the hole of the board"
    np.testing.assert_allclose(BLUE.goal - YELLOW.goal, [0, 0.1, 0, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("rule", ["strict", "1cm"])
def test_a_peg_in_the_other_board_is_no_success(rule: str) -> None:
    spec = specs.spec("franka-fr3")
    tasks = [PegInsert(spec, hole_offset=0.0, success=rule, board=board) for board in TWO]
    objects = tasks[0].start(np.random.default_rng(0)).objects
    scene = Scene(tuple(board.name for board in TWO.values()), objects, np.ones(2, bool), "sim", 0.0)
    z = np.zeros(6)
    for meant in tasks:
        for task in tasks:
            state = RobotState(np.zeros(()), z, z, z, meant.goal, z, z, np.zeros(()))
            assert bool(task.judge(state, scene, np.zeros(0)).success) == (task is meant)


def test_each_board_is_off_in_a_direction_of_its_own_and_none_meets_the_other() -> None:
    starts = [BLUE.start(np.random.default_rng(seed)).objects for seed in range(50)]
    nominal = np.array([[0.5, 0.05], [0.5, -0.05]])
    off = np.array(starts)[:, :, :2] - nominal
    np.testing.assert_allclose(np.linalg.norm(off, axis=-1), BLUE.hole_offset)
    assert np.abs(off[:, 0] - off[:, 1]).max() > 0.001
    gap = 0.1 - 2 * TWO["blue"].half[1]
    assert 2 * MAX_OFFSET <= gap < gap + 2 * MAX_OFFSET < PEG_WIDTH  # nor does a peg fall between them
    assert BLUE.workspace.high[1] == pytest.approx(TWO["blue"].aside + ROOM)
    assert TWO["blue"].aside + TWO["blue"].half[1] > BLUE.workspace.high[1] + PEG_WIDTH / 2 - 0.001


@pytest.mark.parametrize("board", ["red", "", 1, True])
def test_a_board_that_is_not_there_is_refused(board: Any) -> None:
    with pytest.raises(BadOption, match=r"bad board .*allowed: None \| blue \| yellow"):
        PegInsert(specs.spec("franka-fr3"), board=board)


def test_physx_has_both_boards_too() -> None:
    pytest.importorskip("sapien", reason="comes with the extra 'maniskill'")
    env = gym.make("User/PegInsert-maniskill-v0", board="yellow")
    assert all(outcomes(env, PegInsertExpert(env.unwrapped.task), 2))  # pyright: ignore[reportAttributeAccessIssue]
