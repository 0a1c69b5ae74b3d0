"""What every Robot must do, whatever moves it. A backend subclasses this in three lines:

    class TestMyArm(RobotSuite):
        robot = "franka-fr3"
        backend = "sim"

It knows the protocol of `core.Robot` and the data of a RobotSpec, no simulator and no vendor. A real arm moves a few
centimetres above a plate of 30 mm at its work point, and presses on it with about 12 N.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from user_gym.core import Command, Robot, RobotState
from user_gym.errors import Closed, NotReset
from user_gym.robots import specs
from user_gym.testing.bench import ARRIVED, PERIOD, SETTLE
from user_gym.testing.robot_limits import RobotLimits

PRESS = 0.006  # m that an order is below the tool before the suite calls it a press: 12 N at 2000 N/m
FORCE_TOLERANCE = 0.25  # of the spring's pull


class RobotSuite(RobotLimits):
    """Subclass it; the name of the subclass begins with Test. `testing.bench` lists the attributes and hooks."""

    def test_constructing_opens_nothing(self) -> None:
        """An exchange or reset before connect is refused."""
        robot: Robot = self.make_cell(self._task()).robot
        with pytest.raises(Closed):
            robot.reset(self._start())

    def test_connect_and_close_may_come_twice(self, arm: Robot) -> None:
        """The second time does nothing."""
        arm.connect()
        arm.reset(self._start())
        arm.close()
        arm.close()

    def test_use_after_close_is_refused(self, arm: Robot) -> None:
        """Closed, not a crash."""
        state = arm.reset(self._start())
        arm.close()
        with pytest.raises(Closed):
            arm.exchange(Command(0.0, tcp=state.tcp))

    def test_exchange_before_reset_is_refused(self, arm: Robot) -> None:
        """NotReset, and the arm does not move."""
        with pytest.raises(NotReset):
            arm.exchange(Command(0.0, tcp=self._start().tcp))

    def test_shapes_follow_the_spec(self, arm: Robot) -> None:
        """Every field of a state is there, finite and in its shape."""
        state = arm.reset(self._start())
        n = arm.spec.dof
        shapes = {f.name: np.shape(getattr(state, f.name)) for f in fields(RobotState)}
        assert shapes == {
            "time": (), "q": (n,), "dq": (n,), "tau": (n,), "tcp": (6,), "velocity": (6,), "wrench": (6,), "gripper": ()
        }  # fmt: skip
        assert all(np.isfinite(getattr(state, name)).all() for name in shapes)
        assert ((state.q >= arm.spec.q_min) & (state.q <= arm.spec.q_max)).all()

    def test_reset_reaches_the_start_at_rest(self, arm: Robot) -> None:
        """Also after it has moved away, and again."""
        for seed in (0, 1):
            start = self._start(seed)
            state = arm.reset(start)
            assert np.abs(state.tcp - start.tcp).max() < ARRIVED
            assert np.abs(state.velocity).max() < 0.01
            for _ in range(3):
                state = arm.exchange(Command(0.0, tcp=moved(start.tcp, x=0.02, z=0.01)))

    def test_the_clock_starts_at_zero_and_advances_one_period_per_exchange(self, arm: Robot) -> None:
        """On the robot's own clock, not the wall's; a reset sets it back."""
        for _ in range(2):
            state = arm.reset(self._start())
            assert state.time == pytest.approx(0.0, abs=1e-9)
            for k in (1, 2, 3):
                state = arm.exchange(Command(0.0, tcp=state.tcp))
                assert float(state.time) == pytest.approx(k * PERIOD, rel=0.02)

    def test_a_state_is_never_written_again(self, arm: Robot) -> None:
        """What was handed out stays what it was, through exchanges and a reset."""
        kept = [arm.reset(self._start(0))]
        copies = [snapshot(kept[0])]
        for k in range(3):
            state = arm.exchange(Command(0.0, tcp=moved(kept[0].tcp, x=0.005 * k)))
            assert not any(np.shares_memory(getattr(state, f), getattr(old, f)) for old in kept for f in ("q", "tcp", "wrench"))
            kept.append(state)
            copies.append(snapshot(state))
        arm.reset(self._start(1))
        for state, copy in zip(kept, copies, strict=True):
            assert all(np.array_equal(getattr(state, name), value) for name, value in copy.items())

    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("sign", [-1, 1])
    def test_an_order_moves_the_tool_towards_it(self, arm: Robot, axis: int, sign: int) -> None:
        """Along each axis, and not along the others."""
        began = arm.reset(self._start()).tcp
        target = began.copy()
        target[axis] += sign * 0.01
        state = self._hold(arm, target, SETTLE)
        assert np.abs(state.tcp[:3] - target[:3]).max() < ARRIVED
        assert np.abs(state.tcp[3:] - target[3:]).max() < 0.03

    @pytest.mark.parametrize("axis", [3, 4, 5])
    def test_an_order_turns_the_tool_towards_it(self, arm: Robot, axis: int) -> None:
        """About each axis of the base, in the sense of the pose chart."""
        began = arm.reset(self._start()).tcp
        target = began.copy()
        target[axis] += 0.04
        state = self._hold(arm, target, SETTLE)
        assert state.tcp[axis] - began[axis] == pytest.approx(0.04, abs=0.025)
        assert np.abs(state.tcp[:3] - target[:3]).max() < 2 * ARRIVED

    def test_an_order_that_arrives_twice_moves_the_arm_once(self, arm: Robot) -> None:
        """Orders are absolute targets."""
        target = moved(arm.reset(self._start()).tcp, x=0.01)
        once = self._hold(arm, target, SETTLE)
        twice = self._hold(arm, target, SETTLE)
        assert np.abs(twice.tcp[:3] - once.tcp[:3]).max() < ARRIVED

    def test_free_motion_stays_within_the_workspace(self, arm: Robot) -> None:
        """Orders inside the box do not carry the tool out of it by more than a centimetre or 0.1 rad."""
        box, rng = self._task().workspace, np.random.default_rng(0)
        floor = np.array([0, 0, 0.02, 0, 0, 0])  # stays clear of the plate
        slack = np.array([0.01] * 3 + [0.1] * 3)
        arm.reset(self._start())
        for _ in range(30):
            state = arm.exchange(Command(0.0, tcp=rng.uniform(box.low + floor, box.high)))
            assert (state.tcp >= box.low - slack).all()
            assert (state.tcp <= box.high + slack).all()

    def test_there_is_no_wrench_in_free_space(self, arm: Robot) -> None:
        """At rest; what friction feigns is far below a press."""
        start = self._start()
        arm.reset(start)
        self._hold(arm, start.tcp, 5)
        forces = [arm.exchange(Command(0.0, tcp=start.tcp)).wrench[:3] for _ in range(5)]
        assert np.abs(np.mean(forces, axis=0)).max() < 4.0

    def test_pressing_on_the_plate_pushes_the_tool_up(self, arm: Robot) -> None:
        """The wrench is what acts *on* the tool: +z, and as large as the spring that presses.

        Averaged over five periods at rest. The error stays inside its clip, so the spring pulls with stiffness times the
        distance from the measured TCP to the order. Friction in the joints takes its share.
        """
        spec = specs.spec(self.robot)
        target = self._press(arm, self._start(), PRESS)
        states = [arm.exchange(Command(0.0, tcp=target)) for _ in range(5)]
        error = np.mean([s.tcp[2] for s in states]) - target[2]
        assert error < spec.compliance.error_clip[2]
        pulled = spec.compliance.stiffness[2] * error
        assert np.mean([s.wrench[2] for s in states]) == pytest.approx(pulled, rel=FORCE_TOLERANCE)

    def test_the_gripper_opens_and_closes(self, gripping_arm: Robot) -> None:
        """Where the task moves it, and no faster than the spec says."""
        hand, start = gripping_arm.spec.gripper, self._start()
        fastest = hand.speed * PERIOD / hand.width  # of the range in one period
        state = gripping_arm.reset(start)
        for wanted in (1.0, 0.0):
            for _ in range(int(1 / fastest) + 8 if self.timed_hand else 300):
                before = state.gripper
                state = gripping_arm.exchange(Command(wanted, tcp=start.tcp))
                assert abs(state.gripper - before) < 1.25 * fastest + 0.02 or not self.timed_hand
                if abs(state.gripper - wanted) < 0.1 and not self.timed_hand:
                    break
            assert float(state.gripper) == pytest.approx(wanted, abs=0.1)

    @pytest.mark.parametrize("sign", [-1, 1])
    def test_a_joint_order_moves_each_joint_towards_it(self, joint_arm: Robot, sign: int) -> None:
        """And not the others."""
        for joint in range(joint_arm.spec.dof):
            state = joint_arm.reset(self._start())
            target = state.q.copy()
            target[joint] += sign * 0.04
            for _ in range(SETTLE):
                state = joint_arm.exchange(Command(0.0, joints=target))
            assert np.abs(state.q - target).max() < 0.015, f"joint {joint + 1}"


def moved(tcp: np.ndarray, x: float = 0.0, z: float = 0.0) -> np.ndarray:
    """The pose chart (6,) with its position moved, m."""
    return tcp + np.array([x, 0, z, 0, 0, 0])


def snapshot(state: RobotState) -> dict[str, np.ndarray]:
    """Copies of a state's fields."""
    return {f.name: np.array(getattr(state, f.name)) for f in fields(RobotState)}
