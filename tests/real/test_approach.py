"""The way to a start: up, across, down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_gym.core import Workspace
from user_gym.real.approach import plan

BOX = Workspace(np.array([0.45, -0.05, 0.055, -0.01, -0.01, -0.5]), np.array([0.55, 0.05, 0.155, 0.01, 0.01, 0.5]))
START = np.array([0.47, 0.03, 0.10, 0.0, 0.0, 0.3])


def test_a_peg_in_its_hole_is_drawn_straight_up_without_a_turn() -> None:
    deep = np.array([0.5, 0.0, 0.056, 0.005, 0.0, -0.2])
    way = plan(deep, START, BOX)
    (up,) = way.retreat
    assert np.array_equal(up[[0, 1, 3, 4, 5]], deep[[0, 1, 3, 4, 5]])
    assert up[2] == BOX.high[2]
    above, end = way.approach
    assert above[2] == BOX.high[2]
    assert np.array_equal(end, START)


def test_an_arm_that_is_high_already_goes_across_up_there() -> None:
    far = np.array([0.3, 0.2, 0.5, 0.0, 0.2, 0.0])
    way = plan(far, START, BOX)
    assert way.retreat == []
    assert [w[2] for w in way.approach] == [0.5, START[2]]


def test_a_start_at_the_top_is_approached_in_one_go() -> None:
    top = START.copy()
    top[2] = BOX.high[2]
    way = plan(top, top, BOX)
    assert way.retreat == []
    assert len(way.approach) == 1
    assert np.array_equal(way.approach[0], top)


@given(st.lists(st.floats(-0.3, 0.7), min_size=6, max_size=6))
def test_between_up_and_down_it_is_never_below_the_top_of_the_workspace(tcp) -> None:
    way = plan(np.array(tcp), START, BOX)
    for waypoint in (*way.retreat, *way.approach[:-1]):
        assert waypoint[2] >= BOX.high[2]
    last = way.approach[-2] if len(way.approach) > 1 else np.array([*START[:2], BOX.high[2]])
    assert last[:2] == pytest.approx(START[:2])
    assert np.array_equal(way.approach[-1], START)
