"""Inverse kinematics: it reaches, keeps the limits, has one answer, and says when it cannot."""

import numpy as np
import pytest

from user_gym.errors import Unreachable
from user_gym.robots import kinematics, pose, reach, registry, specs

ROBOTS = sorted(specs.SPECS)


def task_of(robot: str):
    return registry.make_task("PegInsert", specs.spec(robot))


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_joints_found_put_the_tool_where_it_was_asked_for(robot: str) -> None:
    spec, box = specs.spec(robot), task_of(robot).workspace
    rng = np.random.default_rng(0)
    for _ in range(50):
        tcp = rng.uniform(box.low, box.high)
        q = reach.solve(spec, tcp)
        assert np.abs(pose.to_chart(kinematics.forward(spec, q)) - tcp).max() < 1e-6
        assert ((q >= spec.q_min + spec.joint_margin) & (q <= spec.q_max - spec.joint_margin)).all()


def test_a_redundant_arm_is_placed_as_near_to_home_as_the_pose_allows() -> None:
    """What is left of the way home changes the pose: it has hardly a part in the null space of the Jacobian."""
    spec, box, rng = specs.spec("franka-fr3"), task_of("franka-fr3").workspace, np.random.default_rng(0)
    for _ in range(5):
        q = reach.solve(spec, rng.uniform(box.low, box.high))
        jacobian, away = kinematics.jacobian(spec, q), spec.home - q
        assert np.linalg.norm(away - np.linalg.pinv(jacobian) @ (jacobian @ away)) < 0.02  # rad; without the pull 0.08 to 0.4


def test_an_answer_belongs_to_who_asked() -> None:
    spec = specs.spec("franka-fr3")
    home = pose.to_chart(kinematics.forward(spec, spec.home))
    q = reach.solve(spec, home)
    assert np.array_equal(q, reach.solve(spec, home))
    assert q.flags.writeable
    assert not np.shares_memory(q, spec.home)


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_pose_out_of_reach_is_refused_with_what_is_allowed(robot: str) -> None:
    spec = specs.spec(robot)
    with pytest.raises(Unreachable, match="keep the task's work near"):
        reach.solve(spec, np.array([3.0, 0, 0.3, 0, 0, 0]))


def test_a_tool_turned_by_half_a_turn_is_no_arrival() -> None:
    """There the antisymmetric part of the rotation vanishes as it does at the goal."""
    spec = specs.spec("franka-fr3")
    home = pose.to_chart(kinematics.forward(spec, spec.home))
    flipped = home + np.array([0, 0, 0, np.pi, 0, 0])
    try:
        q = reach.solve(spec, flipped)
    except Unreachable:
        return
    turn = pose.multiply(kinematics.forward(spec, q)[3:], pose.conjugate(pose.from_chart(flipped)[3:]))
    assert np.abs(pose.log(turn)).max() < 1e-6
