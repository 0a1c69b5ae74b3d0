"""A scripted hand for peg insertion, and what other insertions share with it.

It knows what a person at a real arm knows: the robot's state and where the hole is said to be. Where the hole really is,
it finds by touch: a peg that is pressed down without a sideways order is free to slide, so the chamfer centres it; where
that is not enough, a spiral around the nominal hole looks for the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from user_gym.core import F64, RobotState
from user_gym.tasks.peg_insert import HOLE_DEPTH, PegInsert
from user_gym.tasks.scripted import ScriptedHand

HOVER = 0.003  # m above the rim, where the peg is aligned before it descends
ALIGNED = np.array([0.0008, 0.0008, np.inf, 0.01, 0.01, 0.015])  # m, rad: good enough to descend
NEARLY = 0.05  # rad: pressing down turns it the rest of the way
DESCENT = 0.010  # m per period in the air; slower than the arm could: a fast descent tilts the tool of a softly damped arm
PRESS = 0.006  # m below the measured pose when in contact: 12 N at 2000 N/m
STALLED = 0.0004  # m: less descent than this in a period means that the tip rests on something
PATIENCE = 2  # periods at rest before the spiral begins
SPIRAL_PITCH = 0.0006  # m between two turns
NEAR, MOST_URGE = 0.004, 0.003  # m
PAST_THE_EDGE = 0.004  # m below the rim: from there on the walls lead


@dataclass(frozen=True, slots=True)
class Search:
    """How a tool that rests beside its hole looks for it."""

    radius: float = 0.0035  # m: beyond it the spiral begins anew
    step: float = 0.0015  # m along the spiral per period
    press: float = 0.003  # m: 6 N, so that friction does not hold the tool while it is led sideways
    # Before that: share of what is left sideways that is added to all later orders. An arm with dry friction would creep.
    urge: float = 0.0


PATIENT = Search()


class InsertionHand(ScriptedHand):
    """Aligns above the nominal place, descends, and searches by touch. `read` is always active.

    Args:
        over: (6,) pose chart: the TCP with the tip level with the rim.
        unit: (6,) m, rad of an action of 1.
        noise: as ScriptedHand.
        seed: of the noise.
        search: how it searches.

    Raises:
        BadOption: as ScriptedHand.
    """

    def __init__(self, over: F64, unit: F64, noise: float = 0.0, seed: int = 0, search: Search = PATIENT) -> None:
        self._over, self._search = over, search
        super().__init__(unit, noise, seed)

    def reset(self) -> None:
        """Forget the search of the last episode."""
        self._descending = False
        self._height = np.inf
        self._resting = 0
        self._arc = 0.0
        self._left = np.zeros(2)

    def take_over(self, state: RobotState) -> None:
        """Search on, where the tip is at the rim and near enough: who lifted it would only set it down again."""
        self.reset()
        off = np.abs(self._over - state.tcp)
        near = np.hypot(off[0], off[1]) <= self._search.radius and (off[3:] <= NEARLY).all()
        self._descending = bool(near and state.tcp[2] < self._over[2] + HOVER)

    def inside(self, tcp: F64) -> bool:
        """Whether the tip is past the rim's edge."""
        return bool(tcp[2] < self._over[2] - PAST_THE_EDGE)

    def move(self, state: RobotState) -> F64:
        """What to add to the measured pose (6,) m, rad."""
        tcp = state.tcp
        error = self._over - tcp
        off = np.abs(error)
        self._descending = self._descending or bool((off <= ALIGNED).all() and tcp[2] < self._over[2] + 2 * HOVER)
        if not self._descending:
            error[2] = np.maximum(self._over[2] + HOVER - tcp[2], -DESCENT)
            return self._urged(error)
        step = np.array([0.0, 0.0, -PRESS, *error[3:]])
        fell, self._height = self._height - tcp[2], tcp[2]
        if self.inside(tcp):
            step[2] = -DESCENT
            return step
        self._resting = self._resting + 1 if fell < STALLED else 0
        if self._resting > PATIENCE:
            step[2] = -self._search.press
            step[:2] = self._over[:2] + self._spiral() - tcp[:2]
        return step

    def _urged(self, step: F64) -> F64:
        """The step, and what friction has kept back of those before, where the goal is near."""
        self._left += self._search.urge * step[:2] * (np.abs(step[:2]) < NEAR)
        np.clip(self._left, -MOST_URGE, MOST_URGE, out=self._left)
        step[:2] += self._left
        return step

    def _spiral(self) -> F64:
        """The next point (2,) m of an Archimedean spiral, walked with constant speed."""
        self._arc += self._search.step
        turn = SPIRAL_PITCH / (2 * np.pi)
        angle = np.sqrt(2 * self._arc / turn)
        radius = turn * angle
        if radius > self._search.radius:
            self._arc = 0.0
        return radius * np.array([np.cos(angle), np.sin(angle)])


class PegInsertExpert(InsertionHand):
    """The hand for peg insertion.

    Args:
        task: the task; only its nominal goal and its action scale are used.
        noise: as ScriptedHand.
        seed: of the noise.

    Raises:
        BadOption: as ScriptedHand.
    """

    def __init__(self, task: PegInsert, noise: float = 0.0, seed: int = 0) -> None:
        super().__init__(task.goal + np.array([0.0, 0.0, HOLE_DEPTH, 0.0, 0.0, 0.0]), task.action_scale, noise, seed)
