"""The success rule where the peg is tilted: what counts is where its tip is, not where the TCP is."""

import numpy as np
import pytest

from user_gym.core import RobotState, Scene
from user_gym.robots import pose, specs
from user_gym.tasks.peg_insert import HOLE_DEPTH, PEG_LENGTH, RIM, PegInsert

TASK = PegInsert(specs.spec("franka-fr3"))
AXIS = np.array([*TASK.goal[:2], 0.0])
TILT = 0.07  # rad: inside the rule's bound; the tip is 3.5 mm beside the TCP


def judged(tcp) -> bool:
    """Whether a tool at `tcp` (6,), with the hole nominal, is a success."""
    z = np.zeros(6)
    state = RobotState(np.float64(0), z, z, z, np.asarray(tcp, float), z, z, np.float64(0))
    board = np.array([[*AXIS[:2], RIM, 0, 0, 0, 1.0]])
    return bool(TASK.judge(state, Scene(("board",), board, np.ones(1, bool), "sim", 0.0), np.zeros(0)).success)


def with_the_tip_at(tip, rotation):
    """The TCP (6,) of a tool so turned whose tip is there."""
    turn = pose.from_chart(np.concatenate([np.zeros(3), rotation]))[3:]
    return np.concatenate([tip - pose.rotate(turn, np.array([0.0, 0.0, PEG_LENGTH])), rotation])


def at_depth(share):
    """A point on the hole's axis, that share of its depth below the rim."""
    return AXIS + [0, 0, RIM - share * HOLE_DEPTH]


@pytest.mark.parametrize("rotation", [[TILT, 0, 0], [-TILT, 0, 0], [0, TILT, 0], [0, -TILT, 0]], ids=str)
def test_a_tilted_peg_is_inside_where_its_tip_is(rotation) -> None:
    tcp = with_the_tip_at(at_depth(0.9), np.array(rotation, float))
    beside = tcp[:2] - AXIS[:2]
    assert np.linalg.norm(beside) > 0.003
    assert judged(tcp)
    mirrored = tcp.copy()
    mirrored[:2] -= 2 * beside  # the TCP as far on the other side: the tip is 7 mm off the axis
    assert not judged(mirrored)
    upright = tcp.copy()
    upright[3:] = 0  # the tip is below the TCP, which is 3.5 mm off the axis
    assert not judged(upright)


@pytest.mark.parametrize(("share", "success"), [(0.85, True), (0.75, False)])
def test_depth_is_the_tips(share, success) -> None:
    assert judged(with_the_tip_at(at_depth(share), np.zeros(3))) is success


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_strongly_tilted_tool_above_the_rim_is_no_success(axis, sign) -> None:
    rotation = np.zeros(3)
    rotation[axis] = 0.9 * sign
    for height in (0.0, 0.005, 0.02, 0.05):
        tip = AXIS + [0, 0, RIM + height]
        assert not judged(with_the_tip_at(tip, rotation))
        # Where the tip would be by a formula for small angles: on the axis, and in the hole if tilt did not count.
        dx, dy = PEG_LENGTH * rotation[1], -PEG_LENGTH * rotation[0]
        assert not judged(np.concatenate([AXIS + [dx, dy, RIM + PEG_LENGTH * np.cos(0.9) + height], rotation]))
        assert not judged(np.concatenate([AXIS + [dx, dy, TASK.goal[2] + height], rotation]))
