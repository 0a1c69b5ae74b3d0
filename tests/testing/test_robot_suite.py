"""Every simulated arm passes the robot suite, and the suite catches arms that do not do what they should."""

from dataclasses import replace

import pytest

from user_gym.core import Command
from user_gym.testing.robot_suite import RobotSuite


class TestFrankaFr3(RobotSuite):
    robot = "franka-fr3"


class TestFrankaFer(RobotSuite):
    robot = "franka-fer"


class TestArxX5(RobotSuite):
    robot = "arx-x5"


class TestArxL5(RobotSuite):
    robot = "arx-l5"


class Faulty:
    """A sound arm behind one fault."""

    def __init__(self, robot):
        self.robot, self.spec = robot, robot.spec

    def connect(self):
        self.robot.connect()

    def reset(self, start):
        return self.robot.reset(start)

    def exchange(self, command):
        return self.robot.exchange(command)

    def close(self):
        self.robot.close()


class PushesBack(Faulty):
    def exchange(self, command):
        state = self.robot.exchange(command)
        return replace(state, wrench=-state.wrench)


class HalvesTheForce(Faulty):
    def exchange(self, command):
        state = self.robot.exchange(command)
        return replace(state, wrench=state.wrench / 2)


class AddsOrders(Faulty):
    def reset(self, start):
        state = self.robot.reset(start)
        self.at, self.last = state.tcp, state.tcp
        return state

    def exchange(self, command):
        state = self.robot.exchange(Command(0.0, tcp=self.at))
        self.at = self.at + 0.2 * (command.tcp - self.last)
        return state


class KeepsItsClock(Faulty):
    offset = 0.0

    def exchange(self, command):
        state = self.robot.exchange(command)
        KeepsItsClock.offset = state.time
        return state

    def reset(self, start):
        return replace(self.robot.reset(start), time=KeepsItsClock.offset)


class ReusesItsArrays(Faulty):
    mine = None

    def exchange(self, command):
        state = self.robot.exchange(command)
        if self.mine is None:
            self.mine = state.tcp
        self.mine[:] = state.tcp
        return replace(state, tcp=self.mine)


class MixesItsAxes(Faulty):
    def exchange(self, command):
        return self.robot.exchange(replace(command, tcp=command.tcp[[1, 0, 2, 3, 4, 5]]))


class TurnsTheWrongWay(Faulty):
    def exchange(self, command):
        return self.robot.exchange(replace(command, tcp=command.tcp * [1, 1, 1, -1, 1, 1]))


SUITE = RobotSuite()


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (PushesBack, SUITE.test_pressing_on_the_plate_pushes_the_tool_up),
        (HalvesTheForce, SUITE.test_pressing_on_the_plate_pushes_the_tool_up),
        (AddsOrders, lambda arm: SUITE.test_an_order_moves_the_tool_towards_it(arm, 0, 1)),
        (KeepsItsClock, SUITE.test_the_clock_starts_at_zero_and_advances_one_period_per_exchange),
        (ReusesItsArrays, SUITE.test_a_state_is_never_written_again),
        (MixesItsAxes, lambda arm: SUITE.test_an_order_moves_the_tool_towards_it(arm, 0, 1)),
        (TurnsTheWrongWay, lambda arm: SUITE.test_an_order_turns_the_tool_towards_it(arm, 3)),
    ],
)
def test_the_suite_catches_an_arm_that(fault, test) -> None:
    arm = fault(SUITE.make_cell(SUITE._task()).robot)
    arm.connect()
    with pytest.raises(AssertionError):
        test(arm)
    arm.close()
