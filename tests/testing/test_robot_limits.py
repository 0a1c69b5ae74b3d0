"""The suite catches arms that do what no arm may do."""

from dataclasses import replace

import numpy as np
import pytest
from faults import Faulty, caught

from user_gym.core import Command
from user_gym.errors import BadAction, RobotFault
from user_gym.testing.robot_suite import RobotSuite


class SwallowsNan(Faulty):
    """Holds its last order where the new one is not finite, and says nothing."""

    def exchange(self, command):
        given = np.concatenate([np.ravel(v) for v in (command.tcp, command.joints, command.gripper) if v is not None])
        if not np.isfinite(given).all():
            return self.state
        return self.moved(command)

    def reset(self, start):
        self.state = self.robot.reset(start)
        return self.state

    def moved(self, command):
        self.state = self.robot.exchange(command)
        return self.state


class GuessesTheKind(Faulty):
    """Takes the pose where both kinds are given."""

    def exchange(self, command):
        return self.robot.exchange(command if command.tcp is None else replace(command, joints=None))


class MovesThenRefuses(Faulty):
    """Passes on what is finite of an order before it looks at the rest."""

    def reset(self, start):
        self.began = self.robot.reset(start)
        return self.began

    def exchange(self, command):
        order = command.tcp if command.joints is None else command.joints
        if order is not None and np.isfinite(order).all():
            return self.robot.exchange(command)
        if self.began.tcp.shape == np.shape(command.tcp):
            self.robot.exchange(Command(0.0, tcp=np.where(np.isfinite(command.tcp), command.tcp, self.began.tcp + 0.01)))
        raise BadAction("allowed: finite numbers")


class GoesAnywhere(Faulty):
    """Reports where it was told to go, as an arm without limits would."""

    def exchange(self, command):
        state = self.robot.exchange(
            replace(command, tcp=None, joints=np.clip(command.joints, self.spec.q_min, self.spec.q_max))
        )
        return replace(state, q=command.joints)


class ReachesTooFar(Faulty):
    """Its last joint turns on with the distance of the order."""

    def exchange(self, command):
        state = self.robot.exchange(command)
        far = np.linalg.norm(command.tcp[:3] - state.tcp[:3]) > 0.5
        return replace(state, q=state.q + far * 7.0)


class MixesItsJoints(Faulty):
    def exchange(self, command):
        return self.robot.exchange(replace(command, joints=command.joints[[1, 0, *range(2, self.spec.dof)]]))


class IgnoresCompliance(Faulty):
    def set_compliance(self, compliance):
        pass


class ForgetsCompliance(Faulty):
    """At a reset."""

    def reset(self, start):
        self.robot.set_compliance(self.spec.compliance)
        return self.robot.reset(start)


class SnapsItsGripper(Faulty):
    def exchange(self, command):
        return replace(self.robot.exchange(command), gripper=np.float64(command.gripper))


class StaysInItsFault(Faulty):
    failed = False

    def exchange(self, command):
        try:
            return self.robot.exchange(command)
        except RobotFault:
            self.failed = True
            raise

    def reset(self, start):
        if self.failed:
            raise RobotFault("stopped")
        return self.robot.reset(start)


SUITE = RobotSuite()


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (SwallowsNan, lambda arm: SUITE.test_an_order_that_is_not_finite_is_refused_and_nothing_moves(arm, np.nan)),
        (MovesThenRefuses, lambda arm: SUITE.test_an_order_that_is_not_finite_is_refused_and_nothing_moves(arm, np.inf)),
        (GuessesTheKind, SUITE.test_an_order_that_is_not_one_pose_is_refused_and_nothing_moves),
        (ReachesTooFar, lambda arm: SUITE.test_an_order_far_out_of_reach_takes_no_joint_past_its_limits(arm, (0, 0, 1.0))),
        (IgnoresCompliance, SUITE.test_a_softer_arm_presses_less),
        (ForgetsCompliance, SUITE.test_a_softer_arm_presses_less),
        (
            IgnoresCompliance,
            lambda arm: SUITE.test_a_compliance_that_means_nothing_is_refused(arm, "damping", np.full(6, -1.0)),
        ),
    ],
)
def test_the_suite_catches_a_dangerous_arm_that(fault, test) -> None:
    caught(fault, test, SUITE.make_cell(SUITE._task()))


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (MixesItsJoints, lambda arm: SUITE.test_a_joint_order_moves_each_joint_towards_it(arm, 1)),
        (GoesAnywhere, lambda arm: SUITE.test_a_joint_order_past_a_limit_takes_no_joint_past_it(arm, "q_max")),
        (SwallowsNan, SUITE.test_a_joint_order_that_means_nothing_is_refused_and_nothing_moves),
        (IgnoresCompliance, SUITE.test_joint_control_has_no_cartesian_compliance),
    ],
)
def test_the_suite_catches_an_arm_under_joint_control_that(fault, test) -> None:
    caught(fault, test, SUITE.make_cell(SUITE._task(), control="joint"))


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (SnapsItsGripper, SUITE.test_the_gripper_opens_and_closes),
        (SwallowsNan, lambda arm: SUITE.test_a_gripper_order_that_is_not_finite_is_refused_and_nothing_moves(arm, np.nan)),
    ],
)
def test_the_suite_catches_a_gripper_that(fault, test) -> None:
    caught(fault, test, SUITE.make_cell(SUITE._task(moves_gripper=True)))


def test_the_suite_catches_an_arm_that_stays_in_its_fault() -> None:
    suite = RobotSuite()
    suite.fault = lambda arm: arm.robot._twins._qpos.fill(np.nan)
    caught(StaysInItsFault, suite.test_after_a_fault_a_reset_works_again, suite.make_cell(suite._task()), RobotFault)
