"""Batches of simulated arms pass the batch suite, and the suite catches batches that mix their rows."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from faults import is_caught

from user_gym.core import Command
from user_gym.errors import BadAction
from user_gym.testing.batch_suite import BatchSuite


class TestFrankaFr3(BatchSuite):
    robot = "franka-fr3"


class TestFrankaFer(BatchSuite):
    robot = "franka-fer"


class TestArxX5(BatchSuite):
    robot = "arx-x5"


class TestArxL5Threads(BatchSuite):
    robot = "arx-l5"
    options: ClassVar = {"threads": 2}


class Faulty:
    """Sound arms behind one fault."""

    def __init__(self, arms):
        self.arms, self.spec, self.count = arms, arms.spec, arms.count

    def connect(self):
        self.arms.connect()

    def reset(self, mask, starts):
        return self.arms.reset(mask, starts)

    def exchange(self, commands, mask=None):
        return self.arms.exchange(commands, mask)

    def set_compliance(self, compliance):
        self.arms.set_compliance(compliance)

    def close(self):
        self.arms.close()


class SwapsRows(Faulty):
    def exchange(self, commands, mask=None):
        state = self.arms.exchange(commands, mask)
        return replace(state, wrench=state.wrench[::-1].copy())


class RoundsToFloats(Faulty):
    def exchange(self, commands, mask=None):
        state = self.arms.exchange(commands, mask)
        return replace(state, q=state.q.astype(np.float32).astype(float))


class IgnoresMasks(Faulty):
    def exchange(self, commands, mask=None):
        return self.arms.exchange(commands)


class ResetsEveryone(Faulty):
    def reset(self, mask, starts):
        return self.arms.reset(np.ones(self.count, bool), starts)


class MovesTheOthersFirst(Faulty):
    def exchange(self, commands, mask=None):
        good = np.isfinite(commands.tcp).all(axis=1)
        if good.all():
            return self.arms.exchange(commands, mask)
        self.arms.exchange(Command(commands.gripper, tcp=np.nan_to_num(commands.tcp)), good)
        raise BadAction("allowed: finite numbers")


class ReusesItsArrays(Faulty):
    mine = None

    def exchange(self, commands, mask=None):
        state = self.arms.exchange(commands, mask)
        self.mine = state.tcp.copy() if self.mine is None else self.mine
        self.mine[:] = state.tcp
        return replace(state, tcp=self.mine)


class Suite(BatchSuite):
    robot = "arx-x5"
    fault = Faulty

    def make_batch(self, task, count, control="tcp"):
        cell = super().make_batch(task, count, control)
        return replace(cell, robot=self.fault(cell.robot))


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (SwapsRows, "test_a_row_is_what_a_single_arm_does"),
        (RoundsToFloats, "test_a_row_is_what_a_single_arm_does"),
        (IgnoresMasks, "test_the_masked_move_and_the_others_stand"),
        (ResetsEveryone, "test_a_masked_reset_leaves_the_others_history_alone"),
        (MovesTheOthersFirst, "test_an_order_that_means_nothing_is_refused_before_any_arm_moves"),
        (ReusesItsArrays, "test_a_state_is_never_written_again"),
    ],
)
def test_the_suite_catches_arms_that(fault, name) -> None:
    suite = Suite()
    suite.fault = fault
    given = "tcp" if "single" in name else suite._connected(3)
    is_caught(lambda: getattr(suite, name)(given))
