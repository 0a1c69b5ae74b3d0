"""A scripted hand for peg insertion: demonstrations, and the human of tests. It is a Teleop like any other.

It knows what a person at a real arm knows: the robot's state and where the hole is said to be. Where the hole really is,
it finds by touch: a peg that is pressed down without a sideways order is free to slide, so the chamfer centres it; where
that is not enough, a spiral around the nominal hole looks for the edge.
"""

from __future__ import annotations

import numpy as np

from user_gym.core import F32, F64, RobotState, TeleopOrder
from user_gym.errors import BadOption
from user_gym.tasks.peg_insert import HOLE_DEPTH, PegInsert

HOVER = 0.003  # m above the rim, where the peg is aligned before it descends
ALIGNED = np.array([0.0008, 0.0008, np.inf, 0.01, 0.01, 0.015])  # m, rad: good enough to descend
DESCENT = 0.010  # m per period in the air; slower than the arm could: a fast descent tilts the tool of a softly damped arm
PRESS = 0.006  # m below the measured pose when in contact: 12 N at 2000 N/m
SEARCH_PRESS = 0.003  # m: 6 N, so that friction does not hold the peg while it is led sideways
STALLED = 0.0004  # m: less descent than this in a period means that the tip rests on something
PATIENCE = 2  # periods at rest before the spiral begins
SPIRAL_PITCH = 0.0006  # m between two turns
SPIRAL_STEP = 0.0015  # m along the spiral per period
SPIRAL_RADIUS = 0.0035  # m: beyond it the spiral begins anew


class PegInsertExpert:
    """Aligns above the nominal hole, descends, and searches by touch. `read` is always active.

    Args:
        task: the task; only its nominal goal and its action scale are used.
        noise: standard deviation of Gaussian noise on each action, in units of the action, for varied demonstrations.
        seed: of the noise.

    Raises:
        BadOption: `noise` is negative or not finite.
    """

    def __init__(self, task: PegInsert, noise: float = 0.0, seed: int = 0) -> None:
        if not 0.0 <= noise < np.inf:
            raise BadOption("noise", noise, "0 or more, in units of the action")
        self._goal, self._scale, self._noise = task.goal, task.action_scale, noise
        self._rim = task.goal[2] + HOLE_DEPTH  # height of the TCP when the tip is level with the rim
        self._rng = np.random.default_rng(seed)
        self.reset()

    def connect(self) -> None:
        """Nothing to open."""

    def reset(self) -> None:
        """Forget the search of the last episode."""
        self._descending = False
        self._height = np.inf
        self._resting = 0
        self._arc = 0.0

    def read(self, state: RobotState) -> TeleopOrder:
        """The next action, six axes of the TCP."""
        return TeleopOrder(self.action(state), active=True)

    def close(self) -> None:
        """Nothing to let go of."""

    def action(self, state: RobotState) -> F32:
        """Action (6,) in [-1, 1] for one state."""
        steps = self._move(state.tcp) / self._scale
        if self._noise:
            steps = steps + self._rng.normal(0.0, self._noise, 6)
        return np.clip(steps, -1.0, 1.0).astype(np.float32)

    def _move(self, tcp: F64) -> F64:
        """What to add to the measured pose (6,) m, rad."""
        error = self._goal - tcp
        self._descending = self._descending or bool((np.abs(error) <= ALIGNED).all() and tcp[2] < self._rim + 2 * HOVER)
        if not self._descending:
            move = error.copy()
            move[2] = np.maximum(self._rim + HOVER - tcp[2], -DESCENT)
            return move
        move = np.array([0.0, 0.0, -PRESS, *error[3:]])
        fell, self._height = self._height - tcp[2], tcp[2]
        if tcp[2] < self._rim - 0.004:  # the tip is past the chamfer
            move[2] = -DESCENT
            return move
        self._resting = self._resting + 1 if fell < STALLED else 0
        if self._resting > PATIENCE:
            move[2] = -SEARCH_PRESS
            move[:2] = self._goal[:2] + self._spiral() - tcp[:2]
        return move

    def _spiral(self) -> F64:
        """The next point (2,) m of an Archimedean spiral, walked with constant speed."""
        self._arc += SPIRAL_STEP
        turn = SPIRAL_PITCH / (2 * np.pi)
        angle = np.sqrt(2 * self._arc / turn)
        radius = turn * angle
        if radius > SPIRAL_RADIUS:
            self._arc = 0.0
        return radius * np.array([np.cos(angle), np.sin(angle)])
