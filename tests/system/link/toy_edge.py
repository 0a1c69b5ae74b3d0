"""A policy and a robot that `user-gym edge` can name, and a hand for `user-gym hub take-over`."""

from __future__ import annotations

import gymnasium
import numpy as np
from toy_robots import ToyRobot
from toy_training import ToyPolicy

from user_gym.core import RobotState, TeleopOrder


def policy(observations, actions):
    assert observations.shape == (2,)
    assert actions.shape == (1,)
    return ToyPolicy()


class StatelyRobot(ToyRobot):
    """A toy that has a state to show, at 50 steps a second."""

    @property
    def state(self):
        joints, six = np.zeros(7), np.zeros(6)
        return RobotState(np.float64(self.n), joints, joints, joints, six, six, six, np.float64(0.0))


gymnasium.register("StatelyRobot-v0", lambda **options: StatelyRobot(**{"step": 0.02, **options}))


class Constant:
    """A hand that holds one thing, and cannot be mistaken for the policy."""

    def connect(self):
        pass

    def reset(self):
        pass

    def read(self, state):
        return TeleopOrder(np.full(1, -0.75, np.float32), True)

    def close(self):
        pass
