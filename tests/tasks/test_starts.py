"""Where a hand may begin, it can be put."""

from __future__ import annotations

import itertools

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401


@pytest.mark.parametrize("robot", ["franka-fr3", "franka-fer", "arx-x5", "arx-l5"])
@pytest.mark.parametrize("task", ["PickPlace", "TableCleanup"])
def test_every_start_can_be_reached(task, robot) -> None:
    env = gym.make(f"User/{task}-sim-v0", robot=robot)
    box = env.unwrapped.task.workspace
    for x, y in itertools.product((box.low[0], box.high[0]), (box.low[1], box.high[1])):
        for z, yaw in ((box.low[2], box.low[5]), (box.high[2], box.high[5])):
            env.reset(seed=0, options={"tcp": np.array([x, y, z, 0, 0, yaw])})
    env.close()
