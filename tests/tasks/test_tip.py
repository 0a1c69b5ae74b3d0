"""The success rule looks at the peg's true tip, however the tool is turned."""

import numpy as np
import pytest

from user_gym.core import RobotState, Scene
from user_gym.robots import pose, specs
from user_gym.tasks.peg_insert import CLEARANCE, DEPTH_SHARE, HOLE_DEPTH, PEG_LENGTH, RIM, PegInsert

TASK = PegInsert(specs.spec("franka-fr3"))
HOLE = np.array([*TASK.goal[:2], RIM, 0, 0, 0, 1.0])
SCENE = Scene(("board",), HOLE[None], np.ones(1, bool), "sim", np.float64(0))
NEEDED = DEPTH_SHARE * HOLE_DEPTH


def state(tip: np.ndarray, turn: list[float]) -> RobotState:
    """A state whose tip is at `tip` (3,), with the tool turned from tool-down by `turn` (3,)."""
    axis = pose.rotate(pose.exp(np.array(turn)), np.array([0.0, 0.0, -1.0]))
    tcp = np.concatenate([tip - PEG_LENGTH * axis, turn])
    none = np.zeros(7)
    return RobotState(np.float64(0), none, none, none, tcp, np.zeros(6), np.zeros(6), np.float64(0))


@pytest.mark.parametrize("yaw", [-0.5, 0.0, 0.5])
@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.05, 0.0), (0.0, -0.05), (-0.03, 0.04)])
def test_the_rule_holds_to_a_hundredth_of_a_millimetre_at_any_turn(yaw: float, tilt: tuple[float, float]) -> None:
    turn = [*tilt, yaw]
    for deeper, expected in ((1e-5, True), (-1e-5, False)):
        tip = HOLE[:3] + [CLEARANCE, -CLEARANCE, -NEEDED - deeper]
        assert bool(TASK.judge(state(tip, turn), SCENE, np.zeros(0)).success) is expected
    for side, expected in ((1.99e-3, True), (2.01e-3, False)):
        for direction in (np.array([1.0, 0, 0]), np.array([0, -1.0, 0])):
            tip = HOLE[:3] + side * direction - [0, 0, NEEDED + 1e-3]
            assert bool(TASK.judge(state(tip, turn), SCENE, np.zeros(0)).success) is expected


def test_a_tool_that_lies_on_its_side_has_inserted_nothing() -> None:
    for turn in ([1.3, 0.0, 0.0], [0.0, 0.92, 0.0], [-0.92, 0.916, 0.0]):
        assert not TASK.judge(state(HOLE[:3] - [0, 0, NEEDED + 1e-3], turn), SCENE, np.zeros(0)).success


def test_a_hole_that_is_not_seen_is_not_filled() -> None:
    unseen = Scene(("board",), np.full((1, 7), np.nan), np.zeros(1, bool), "camera", np.float64(0))
    assert TASK.judge(state(HOLE[:3] - [0, 0, NEEDED + 1e-3], [0, 0, 0]), SCENE, np.zeros(0)).success
    assert not TASK.judge(state(HOLE[:3] - [0, 0, NEEDED + 1e-3], [0, 0, 0]), unseen, np.zeros(0)).success
