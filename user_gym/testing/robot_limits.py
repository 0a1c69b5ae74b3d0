"""What no Robot may do, whatever it is told: a part of the robot suite, which a backend gets with `RobotSuite`.

Orders here go straight to `exchange`, as from a program that forgot `robots.safety`: the driver's own limits are on trial.
On a real arm leave a metre of room above it and keep a hand at the stop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from user_gym.core import Command, Compliance, Robot
from user_gym.errors import BadAction, BadOption, RobotFault
from user_gym.testing.bench import ARRIVED, PERIOD, SETTLE, ArmOnTheBench

STOP = 1e-3  # rad that a soft stop may yield
FAR = 1.0  # m
DEPTH = 0.006  # m below the tool: a press of 12 N at 2000 N/m


class RobotLimits(ArmOnTheBench):
    """Refusals and limits; see the module."""

    def fault(self, robot: Robot) -> None:
        """Bring the arm into a fault, as its emergency stop would. Override it; else nothing is said about recovery."""
        pytest.skip("this suite does not know how to bring this robot into a fault")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
    def test_an_order_that_is_not_finite_is_refused_and_nothing_moves(self, arm: Robot, value: float) -> None:
        """BadAction, for any one number of it; no time passes."""
        began = arm.reset(self._start()).tcp
        for axis in range(6):
            order = began.copy()
            order[axis] = value
            with pytest.raises(BadAction):
                arm.exchange(Command(0.0, tcp=order))
        self._has_not_moved(arm, began)

    @pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
    def test_a_gripper_order_that_is_not_finite_is_refused_and_nothing_moves(self, gripping_arm: Robot, value: float) -> None:
        """BadAction."""
        began = gripping_arm.reset(self._start()).tcp
        with pytest.raises(BadAction):
            gripping_arm.exchange(Command(value, tcp=began + [0.02, 0, 0, 0, 0, 0]))
        self._has_not_moved(gripping_arm, began)

    def test_an_order_that_is_not_one_pose_is_refused_and_nothing_moves(self, arm: Robot) -> None:
        """Neither kind, both kinds, the other kind, or the wrong shape: BadAction."""
        state = arm.reset(self._start())
        aside = state.tcp + [0.02, 0, 0, 0, 0, 0]
        wrong: dict[str, dict[str, Any]] = {
            "none": {},
            "both": {"tcp": aside, "joints": state.q},
            "joints under Cartesian control": {"joints": state.q + 0.05},
            "short": {"tcp": aside[:5]},
            "long": {"tcp": np.append(aside, 0.0)},
            "two rows": {"tcp": np.stack([aside, aside])},
        }
        for name, order in wrong.items():
            self._is_refused(arm, Command(0.0, **order), name)
        self._has_not_moved(arm, state.tcp)

    def test_a_joint_order_that_means_nothing_is_refused_and_nothing_moves(self, joint_arm: Robot) -> None:
        """Not finite, the wrong shape, or a pose under joint control: BadAction."""
        state = joint_arm.reset(self._start())
        aside = state.q + 0.04
        second = np.arange(len(aside)) == 1
        wrong: dict[str, dict[str, Any]] = {
            "none": {},
            "nan": {"joints": np.where(second, np.nan, aside)},
            "infinity": {"joints": np.where(second, np.inf, aside)},
            "short": {"joints": aside[:-1]},
            "long": {"joints": np.append(aside, 0.0)},
            "a pose under joint control": {"tcp": state.tcp + 0.02},
        }
        for name, order in wrong.items():
            self._is_refused(joint_arm, Command(0.0, **order), name)
        after = joint_arm.exchange(Command(0.0, joints=state.q))
        assert after.time == pytest.approx(PERIOD, rel=0.02)
        assert np.abs(after.q - state.q).max() < 0.01

    @pytest.mark.parametrize("way", [(0, 0, FAR), (-FAR, 0, FAR), (0, FAR, FAR)], ids=["up", "back", "aside"])
    def test_an_order_far_out_of_reach_takes_no_joint_past_its_limits(self, arm: Robot, way: tuple[float, ...]) -> None:
        """The driver may refuse or stop; what it may not do is go there."""
        state = arm.reset(self._start())
        self._keeps_its_joints(arm, Command(0.0, tcp=state.tcp + np.array([*way, 0, 0, 0])))

    @pytest.mark.parametrize("end", ["q_min", "q_max"])
    def test_a_joint_order_past_a_limit_takes_no_joint_past_it(self, joint_arm: Robot, end: str) -> None:
        """Each joint by itself, a radian beyond its stop."""
        beyond = getattr(joint_arm.spec, end) + (1.0 if end == "q_max" else -1.0)
        for joint in range(joint_arm.spec.dof):
            order = joint_arm.reset(self._start()).q.copy()
            order[joint] = beyond[joint]
            self._keeps_its_joints(joint_arm, Command(0.0, joints=order))

    def test_a_softer_arm_presses_less(self, arm: Robot) -> None:
        """`set_compliance` acts on an arm that is pressing, and is kept over a reset."""
        own = arm.spec.compliance
        softer = replace(own, stiffness=own.stiffness * [1, 1, 0.4, 1, 1, 1])
        target = self._press(arm, self._start(), DEPTH)
        firm = self._force(arm, target)
        try:
            arm.set_compliance(softer)
            soft = self._force(arm, target)
            assert soft < 0.65 * firm
            again = self._force(arm, self._press(arm, self._start(), DEPTH))
            assert again < 0.65 * firm
        finally:
            arm.set_compliance(own)

    @pytest.mark.parametrize("field", ["stiffness", "damping", "error_clip"])
    @pytest.mark.parametrize("bad", [np.full(6, -1.0), np.full(6, np.nan), np.ones(5)], ids=["negative", "nan", "short"])
    def test_a_compliance_that_means_nothing_is_refused(self, arm: Robot, field: str, bad: Any) -> None:
        """BadOption."""
        arm.reset(self._start())
        with pytest.raises(BadOption):
            arm.set_compliance(replace(arm.spec.compliance, **{field: bad}))

    def test_joint_control_has_no_cartesian_compliance(self, joint_arm: Robot) -> None:
        """BadOption."""
        own: Compliance = joint_arm.spec.compliance
        with pytest.raises(BadOption):
            joint_arm.set_compliance(own)

    def test_after_a_fault_a_reset_works_again(self, arm: Robot) -> None:
        """The order that meets the fault raises RobotFault."""
        start = self._start()
        began = arm.reset(start).tcp
        self.fault(arm)
        with pytest.raises(RobotFault):
            self._hold(arm, began, 3)
        state = arm.reset(start)
        assert np.abs(state.tcp - start.tcp).max() < ARRIVED
        self._has_not_moved(arm, start.tcp)

    def _is_refused(self, arm: Robot, order: Command, name: str) -> None:
        try:
            arm.exchange(order)
        except BadAction:
            return
        pytest.fail(f"accepted an order that means nothing: {name}")

    def _has_not_moved(self, arm: Robot, began: np.ndarray) -> None:
        state = arm.exchange(Command(0.0, tcp=began))
        assert state.time == pytest.approx(PERIOD, rel=0.02)
        assert np.abs(state.tcp - began).max() < ARRIVED

    def _keeps_its_joints(self, arm: Robot, order: Command) -> None:
        low, high = arm.spec.q_min - STOP, arm.spec.q_max + STOP
        for _ in range(2 * SETTLE):
            try:
                q = arm.exchange(order).q
            except (BadAction, RobotFault):
                return
            assert ((q >= low) & (q <= high)).all(), f"joints {q}; allowed: {low} .. {high}"

    def _force(self, arm: Robot, target: np.ndarray) -> float:
        """Mean of the push (N) on the tool, at rest."""
        self._hold(arm, target, SETTLE)
        return float(np.mean([arm.exchange(Command(0.0, tcp=target)).wrench[2] for _ in range(5)]))
