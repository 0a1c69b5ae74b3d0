"""The way of an ARX arm back to its start, from wherever an episode left it."""

import numpy as np
import pytest

from user_gym.errors import Unreachable
from user_gym.real import approach
from user_gym.real.arx import path
from user_gym.robots import kinematics, reach, specs
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
