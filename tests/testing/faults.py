"""A sound arm behind one fault, and the proof that a suite sees it."""

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


def caught(fault, test, cell, by=(AssertionError, pytest.fail.Exception)) -> None:
    arm = fault(cell.robot)
    arm.connect()
    with pytest.raises(by):
        test(arm)
    arm.close()
