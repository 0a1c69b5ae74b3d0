"""The way to a start: up, across, down; and from where nobody goes it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_gym.core import RobotState, Workspace
from user_gym.errors import BadOption, RobotFault
from user_gym.real import approach
from user_gym.real.approach import plan
from user_gym.robots import collision, kinematics, pose, reach, registry, specs

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


ROBOTS = sorted(specs.SPECS)


def standing(spec, q) -> RobotState:
    tcp, zero = pose.to_chart(kinematics.forward(spec, q)), np.zeros(spec.dof)
    return RobotState(np.float64(0), q, zero, zero, tcp, np.zeros(6), np.zeros(6), np.float64(0))


def check(spec, state, start, box) -> None:
    approach.check(spec, state, plan(state.tcp, start, box), box)


@pytest.mark.parametrize("robot", ROBOTS)
def test_every_start_may_be_gone_to_from_home_and_from_every_other_start(robot) -> None:
    spec = specs.spec(robot)
    task, rng = registry.make_task("PegInsert", spec), np.random.default_rng(0)
    state = standing(spec, spec.home)
    for _ in range(4):
        start = task.start(rng).tcp
        check(spec, state, start, task.workspace)
        state = standing(spec, reach.solve(spec, rng.uniform(task.workspace.low, task.workspace.high)))


@pytest.mark.parametrize("robot", ROBOTS)
def test_an_arm_that_is_parked_far_away_is_left_there(robot) -> None:
    spec = specs.spec(robot)
    task = registry.make_task("PegInsert", spec)
    q = spec.home.copy()
    q[0] += 2.5  # turned to the back
    with pytest.raises(RobotFault, match=r"stands at .* outside the workspace.*nothing moved; bring the arm by hand"):
        check(spec, standing(spec, q), task.start(np.random.default_rng(0)).tcp, task.workspace)


def test_a_start_outside_the_workspace_is_refused() -> None:
    spec = specs.spec("franka-fr3")
    with pytest.raises(BadOption, match="inside the workspace"):
        check(spec, standing(spec, spec.home), START + [0.1, 0, 0, 0, 0, 0], BOX)


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_way_on_which_links_would_meet_is_refused_with_their_names(robot, monkeypatch) -> None:
    """Both ends are free; in between something is not."""
    spec = specs.spec(robot)
    task = registry.make_task("PegInsert", spec)
    start, state, real = task.start(np.random.default_rng(0)).tcp, standing(spec, spec.home), collision.clearance

    def narrow_in_the_middle(spec, q):
        tool = kinematics.position(spec, q)
        between = np.linalg.norm(tool - state.tcp[:3]) > 0.004 and np.linalg.norm(tool - start[:3]) > 0.004
        return collision.Clearance(0.004, "elbow and table") if between else real(spec, q)

    monkeypatch.setattr(collision, "clearance", narrow_in_the_middle)
    with pytest.raises(RobotFault, match=r"elbow and table would be 0\.004 m apart, allowed: 0\.005 m"):
        check(spec, state, start, task.workspace)


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_way_that_is_looked_at_is_the_straight_one_and_ends_at_its_start(robot, monkeypatch) -> None:
    spec, seen = specs.spec(robot), []
    task, real = registry.make_task("PegInsert", spec), collision.clearance
    start, state = task.start(np.random.default_rng(1)).tcp, standing(spec, spec.home)
    monkeypatch.setattr(collision, "clearance", lambda spec, q: seen.append(q) or real(spec, q))
    check(spec, state, start, task.workspace)
    tools = np.array([pose.to_chart(kinematics.forward(spec, q)) for q in seen])
    np.testing.assert_allclose(tools[-1], start, atol=2e-3)
    assert np.abs(np.diff(tools, axis=0)[:, :3]).max() < 0.015
    np.testing.assert_allclose(seen[-1], reach.solve(spec, start), atol=0.02)


def test_an_arm_whose_links_are_too_near_already_may_go_where_they_are_not_nearer(monkeypatch) -> None:
    spec = specs.spec("franka-fr3")
    monkeypatch.setattr(collision, "clearance", lambda *_: collision.Clearance(0.002, "hand and table"))
    check(spec, standing(spec, spec.home), START, BOX)


@pytest.mark.parametrize("robot", ROBOTS)
def test_an_arm_that_sags_may_go_on_though_a_joint_at_its_limit_bars_the_straight_way(robot) -> None:
    spec = specs.spec(robot)
    task, rng = registry.make_task("PegInsert", spec), np.random.default_rng(0)
    for _ in range(20):
        left = task.start(rng).tcp.copy()
        left[2] -= rng.uniform(0.01, 0.1)
        left[3:5] += rng.uniform(-0.1, 0.1, 2)
        check(spec, standing(spec, reach.solve(spec, left)), task.start(rng).tcp, task.workspace)
