"""A policy that `user-gym edge` can name: takes the weights of the toy agent, and holds still."""

from __future__ import annotations

import numpy as np
from toy_training import ToyPolicy

from user_gym.core import ActionChunk


class Still(ToyPolicy):
    """Of any spaces."""

    def __init__(self, observations, actions):
        super().__init__()
        self._actions = actions.shape[0]

    def act(self, obs, deterministic=False):
        return ActionChunk(np.zeros((1, self._actions), np.float32), self.version)
