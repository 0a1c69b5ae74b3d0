"""The way of an ARX arm back to its start, from wherever an episode left it."""

import numpy as np
import pytest

from user_gym.errors import Unreachable
from user_gym.real import approach
from user_gym.real.arx import path
from user_gym.robots import kinematics, motors, pose, reach, specs
from user_gym.robots.wire.mit import Mit
from user_gym.sim.can.arm import CanArm
from user_gym.tasks.peg_insert import PegInsert

SAG = 0.1  # rad of tilt that gravity, friction and contact leave behind
PERIOD = 0.02  # s


@pytest.mark.parametrize("robot", ["arx-x5", "arx-l5"])
def test_every_reset_goes_up_from_where_the_arm_sags_and_ends_at_its_start(robot):
    """The L5's fourth joint stands at its limit there: an error here would refuse every later reset as well."""
    spec = specs.spec(robot)
    task, rng = PegInsert(spec), np.random.default_rng(0)
    low, high = spec.q_min + spec.joint_margin, spec.q_max - spec.joint_margin
    stray = 0.0
    for _ in range(60):
        left, start = task.start(rng).tcp.copy(), task.start(rng).tcp
        left[2] -= rng.uniform(0.01, 0.1)
        left[3:5] += rng.uniform(-SAG, SAG, 2)
        way = approach.plan(left, start, task.workspace)
        q = reach.solve(spec, left)
        up = path.plan(spec, q, way.retreat, 0.1, PERIOD)
        assert (up >= low - 1e-9).all()
        assert (up <= high + 1e-9).all()
        for q in up[:: len(up) // 4]:
            off = kinematics.forward(spec, q)[:2] - left[:2]
            stray = max(stray, float(np.abs(off).max()))
        down = path.plan(spec, up[-1], way.approach, 0.1, PERIOD)
        np.testing.assert_allclose(kinematics.forward(spec, down[-1])[:3], start[:3], atol=1e-5)
    assert stray < 0.002  # m sideways


def test_a_line_that_leaves_the_joint_limits_for_good_is_refused():
    spec = specs.spec("arx-l5")
    far = PegInsert(spec).goal.copy()
    far[2] += 0.4
    with pytest.raises(Unreachable, match=r"arx-l5 cannot go straight to .* its tool off by .* allowed: joints within"):
        path.plan(spec, spec.home, [far], 0.1, PERIOD)


@pytest.mark.parametrize("seconds", [0.3, 2.0])
@pytest.mark.parametrize("robot", ["arx-x5", "arx-l5"])
def test_an_arm_that_was_let_down_goes_up_from_where_it_hangs_and_comes_upright(robot, seconds):
    spec, table = specs.spec(robot), motors.arm(robot)
    task, rng = PegInsert(spec), np.random.default_rng(1)
    arm = CanArm(spec, task, table, 0.001, reach.solve(spec, task.start(rng).tcp), 0.0)
    arm.release()
    for i in range(spec.dof):
        arm.follow(i, Mit(kd=5.0))
    arm.step(round(1000 * seconds))
    q, _ = arm.posture()
    hangs, start = pose.to_chart(kinematics.forward(spec, q)), task.start(rng).tcp
    assert np.abs(hangs[3:5]).max() > 0.3
    way = approach.plan(hangs, start, task.workspace)
    up = path.plan(spec, q, way.retreat, 0.1, PERIOD)
    at = kinematics.forward(spec, up[-1])
    assert at[:3] == pytest.approx([*hangs[:2], task.workspace.high[2]], abs=1e-3)  # straight up
    down = path.plan(spec, up[-1], way.approach, 0.1, PERIOD)
    assert pose.to_chart(kinematics.forward(spec, down[-1])) == pytest.approx(start, abs=1e-5)
    steps = np.abs(np.diff(np.concatenate([q[None], up, down]), axis=0)).max(axis=0)
    assert (steps <= 0.3 * spec.dq_max * PERIOD * 1.001).all()
