"""The toy robot as one of an inventory: nobody else may have it meanwhile. A module that a plan can name."""

from __future__ import annotations

import fcntl
from pathlib import Path

import gymnasium
import toy_robots


class PlacedRobot(toy_robots.ToyRobot):
    """A toy robot with an id.

    Args:
        device: its id.
        cell: folder with a file for each robot; who has it holds its lock.
        options: of the toy robot.
    """

    def __init__(self, device, cell, **options):
        super().__init__(**options)
        self.file, self.lease = Path(cell) / device, None

    def reset(self, **kwargs):
        if self.lease is None:
            self.lease = self.file.open("w")
            fcntl.flock(self.lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return super().reset(**kwargs)

    def close(self):
        super().close()
        if self.lease is not None:
            self.lease.close()


gymnasium.register("PlacedRobot-v0", PlacedRobot)
