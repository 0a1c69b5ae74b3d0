"""A sound arm behind one fault, and the proof that a suite sees a fault."""

import pytest


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

    def set_compliance(self, compliance):
        self.robot.set_compliance(compliance)

    def close(self):
        self.robot.close()


def is_caught(test, by=(AssertionError, pytest.fail.Exception)) -> None:
    with pytest.raises(by):
        test()


def caught(fault, test, cell, by=(AssertionError, pytest.fail.Exception)) -> None:
    arm = fault(cell.robot)
    arm.connect()
    is_caught(lambda: test(arm), by)
    arm.close()
