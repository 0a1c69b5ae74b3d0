"""How exactly orders are shortened at a joint's margin, and how exactly the box of joint orders holds."""

import numpy as np
import pytest

from user_gym.core import Command, RobotState, Workspace
from user_gym.robots import kinematics, pose, safety
from user_gym.robots.specs import spec

FRANKA = spec("franka-fr3")
PERIOD = 0.1
OPEN = Workspace(np.full(6, -4.0), np.full(6, 4.0))


def at(arm, q):
    """The state of an arm at rest at these joints."""
    tcp = pose.to_chart(kinematics.forward(arm, q))
    return RobotState(np.float64(0), q, 0 * q, 0 * q, tcp, np.zeros(6), np.zeros(6), np.float64(0))


def rotation_step(before, after):
    """Rotation vector (3,) in base axes from one chart (6,) to the other."""
    return pose.log(pose.multiply(pose.from_chart(after)[3:], pose.conjugate(pose.from_chart(before)[3:])))


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_an_order_is_shortened_so_that_the_joint_ends_at_its_margin(robot, side) -> None:
    arm, room = spec(robot), 0.01
    limits = safety.limits(arm, OPEN, PERIOD)
    for joint in range(arm.dof):
        q = 0.7 * arm.home + 0.3 * (arm.q_min + arm.q_max) / 2 + 0.1
        q[joint] = limits.q_high[joint] - room if side > 0 else limits.q_low[joint] + room
        state, jacobian = at(arm, q), kinematics.jacobian(arm, q)
        least_squares = np.linalg.pinv(jacobian)
        order = jacobian @ np.eye(arm.dof)[joint] * side  # the pose's motion when this joint alone moves
        order *= 3 * room / abs(least_squares[joint] @ order)
        order *= min(1.0, (limits.step / np.abs(order).clip(1e-9)).min())
        asked = abs(least_squares[joint] @ order)
        assert asked > 1.2 * room, (joint, asked)
        turn = pose.multiply(pose.exp(order[3:]), pose.from_chart(state.tcp)[3:])
        target = pose.to_chart(np.concatenate([state.tcp[:3] + order[:3], turn]))
        safe, clipped = safety.clamp(Command(0.0, target), state, limits, arm)
        assert clipped, joint
        done = np.concatenate([safe.tcp[:3] - state.tcp[:3], rotation_step(state.tcp, safe.tcp)])
        assert side * (least_squares @ done)[joint] == pytest.approx(room, rel=0.05), joint


def raised(by):
    """Joints of an arm whose tool is `by` m above home, by its second joint alone."""
    lift = kinematics.jacobian(FRANKA, FRANKA.home)[2, 1]
    q = FRANKA.home + np.eye(7)[1] * by / lift
    assert kinematics.position(FRANKA, q)[2] - kinematics.position(FRANKA, FRANKA.home)[2] == pytest.approx(by, rel=0.05)
    return q


def ceiling(above_home):
    """Limits whose only bound on the TCP is its height."""
    high = OPEN.high.copy()
    high[2] = kinematics.position(FRANKA, FRANKA.home)[2] + above_home
    return safety.limits(FRANKA, Workspace(OPEN.low, high), PERIOD)


def test_a_joint_order_may_not_leave_the_box_by_a_millimetre() -> None:
    safe, clipped = safety.clamp(Command(0.0, None, raised(0.002)), at(FRANKA, FRANKA.home), ceiling(0.001), FRANKA)
    assert clipped
    assert np.array_equal(safe.joints, FRANKA.home)


def test_outside_the_box_a_joint_order_may_not_go_a_millimetre_farther() -> None:
    q = raised(0.004)
    safe, clipped = safety.clamp(Command(0.0, None, raised(0.005)), at(FRANKA, q), ceiling(0.0), FRANKA)
    assert clipped
    assert np.array_equal(safe.joints, q)


def test_outside_the_box_a_millimetre_back_is_allowed() -> None:
    safe, clipped = safety.clamp(Command(0.0, None, raised(0.003)), at(FRANKA, raised(0.004)), ceiling(0.0), FRANKA)
    assert not clipped
    assert np.array_equal(safe.joints, raised(0.003))
