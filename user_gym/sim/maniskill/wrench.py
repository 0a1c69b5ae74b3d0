"""The contact wrench on the tool over one control period: the same definition as in the MuJoCo twin.

PhysX tells contact forces without their friction. What all contacts together did follows from what the last joint did to the
last link, and from how that link's momentum changed: both are known exactly.
"""

from __future__ import annotations

import numpy as np

from user_gym.core import F64
from user_gym.robots.kinematics import Links
from user_gym.sim.maniskill.world import Momentum, World


class WristContact:
    """Sums one arm's substeps up. The mean over the period; at the last one alone an impact reads several times as much."""

    def begin(self, world: World) -> None:
        """A period begins."""
        self._before, self._sum, self._substeps = world.momentum(), np.zeros(6), 0

    def add(self, world: World, frames: Links) -> None:
        """A substep was done; `frames` are the links' before it."""
        turn, joint, tool = frames.turns[-2], frames.points[-2], frames.points[-1]
        carried = world.carried()
        force, moment = turn @ carried[:3], turn @ carried[3:]
        self._sum[:3] += force
        self._sum[3:] += moment + _moment(joint - tool, force)
        self._substeps += 1

    def mean(self, world: World, tool: F64, period: float) -> F64:
        """(6,) N, N m on the tool at the TCP `tool` (3,) m, base axes, over a period of so many s."""
        after: Momentum = world.momentum()
        force = (after.linear - self._before.linear) / period
        moment = (after.angular - self._before.angular) / period + _moment(after.centre - tool, force)
        return np.concatenate([force, moment]) - self._sum / self._substeps


def _moment(lever: F64, force: F64) -> F64:
    """Vector product of (3,) m and (3,) N, in Python's numbers: several times as fast as numpy's."""
    (x, y, z), (a, b, c) = lever.tolist(), force.tolist()
    return np.array([y * c - z * b, z * a - x * c, x * b - y * a])
