"""Arms for runs of several processes: simulated ones at a robot's pace, and an agent that orders nothing, for any of them."""

from __future__ import annotations

import time

import gymnasium
import numpy as np
from toy_training import ToyAgent, ToyPolicy

import user_gym  # noqa: F401 - registers the ids
from user_gym.core import ActionChunk

PERIOD = 0.05  # s: what a machine of two cores does for two arms and a test


class Paced(gymnasium.Wrapper):
    """Each step takes a period at least."""

    def step(self, action):
        due = time.monotonic() + PERIOD
        result = self.env.step(action)
        time.sleep(max(0.0, due - time.monotonic()))
        return result


def arm(kind, **options):
    return Paced(gymnasium.make(kind, **options))


gymnasium.register("PacedArm-v0", arm, disable_env_checker=True, order_enforce=False)


class Still(ToyPolicy):
    """Stays where it is."""

    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def act(self, obs, deterministic=False):
        return ActionChunk(np.zeros((1, self.axes), np.float32), self.version)


def agent(observations, actions, options):
    made = ToyAgent()
    made.update = lambda batch: {}
    made.policy = Still(actions.shape[0])
    return made
