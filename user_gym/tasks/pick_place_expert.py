"""A scripted hand for picking and placing. It sees where the duck is, as a person does, and tries again what went wrong."""

from __future__ import annotations

from enum import Enum

import numpy as np

from user_gym.core import F64, RobotState
from user_gym.errors import BadOption
from user_gym.robots import pose
from user_gym.tasks.pick_place import BODY, FLOOR, HIGHEST, RIM, PickPlace
from user_gym.tasks.scripted import ScriptedHand

HOVER = 0.070  # m above the table: open fingers pass over the duck
CLEAR = 0.075  # m: the duck's underside is above the rim
LET_GO = 0.060  # m: low over the box, fingertips above its rim
OVER = 0.004, 0.06  # m, rad: well enough over the duck to go down
ON_THE_WAY = 0.010, 2.0  # m below HOVER, from where it may be off by so many times more: an arm with dry friction jerks
NEAR = 0.003  # m
OVER_BOX = 0.010  # m
HELD = (2 * BODY[1] - 0.008, 2 * BODY[1] + 0.008)  # m between fingers that have the duck
LOST = 0.025  # m from the TCP to the duck's middle: it is not between the fingers
STALLED = 0.0005  # m that fingers close in a period when they have met something
PATIENCE = 12  # periods that fingers may take
WIDE = 0.050  # m between fingers that have let go
SLOW = 0.012  # m downwards a period beside the duck


class Stage(Enum):
    """What the hand is about."""

    APPROACH = "over the duck, then down to it"
    GRASP = "close"
    CARRY = "up, over the box, low"
    RELEASE = "open, then away"


class PickPlaceExpert(ScriptedHand):
    """The hand for a duck. It has to `watch` before its first move.

    Args:
        task: the task; its goal and its action scale are used.
        noise: as ScriptedHand.
        seed: of the noise.

    Raises:
        BadOption: as ScriptedHand; from a move where nobody sees the duck.
    """

    def __init__(self, task: PickPlace, noise: float = 0.0, seed: int = 0) -> None:
        self._goal, self._opening = task.goal, task.opening
        self._stroke = task.width
        super().__init__(np.append(task.action_scale, 1.0), noise, seed)

    def reset(self) -> None:
        """Begin with the duck."""
        self._begin(Stage.APPROACH)

    def move(self, state: RobotState) -> F64:
        """What to add to the measured pose (6,) m, rad, then the gripper's order."""
        duck = self.scene().pose("duck")
        if not np.isfinite(duck).all():
            raise BadOption("scene", "without the duck", "one that tells where it is", "add a camera estimator")
        width = float(state.gripper) * self._stroke
        self._periods += 1
        step = np.array([0.0, 0.0, 0.0, -state.tcp[3], -state.tcp[4], 0.0, 1.0])
        {
            Stage.APPROACH: self._approach,
            Stage.GRASP: self._grasp,
            Stage.CARRY: self._carry,
            Stage.RELEASE: self._release,
        }[self._stage](state.tcp, duck, width, step)
        self._width = width
        return step

    def _begin(self, stage: Stage) -> None:
        self._stage, self._periods, self._width = stage, 0, np.inf

    def _approach(self, tcp: F64, duck: F64, width: float, step: F64) -> None:
        step[:2] = duck[:2] - tcp[:2]
        step[5] = pose.log(duck[3:])[2] - tcp[5]
        slack = ON_THE_WAY[1] if tcp[2] < HOVER - ON_THE_WAY[0] else 1.0
        over = np.hypot(*step[:2]) <= slack * OVER[0] and abs(step[5]) <= slack * OVER[1] and width >= WIDE
        step[2] = max(duck[2] - tcp[2], -SLOW) if over else HOVER - tcp[2]
        if over and tcp[2] - duck[2] <= NEAR:
            self._begin(Stage.GRASP)

    def _grasp(self, tcp: F64, duck: F64, width: float, step: F64) -> None:
        step[6] = -1.0
        if self._width - width < STALLED and width < WIDE:
            self._begin(Stage.CARRY if HELD[0] <= width <= HELD[1] else Stage.APPROACH)
        elif self._periods > PATIENCE:
            self._begin(Stage.APPROACH)

    def _carry(self, tcp: F64, duck: F64, width: float, step: F64) -> None:
        step[6] = -1.0
        if np.linalg.norm(duck[:3] - tcp[:3]) > LOST:
            self._begin(Stage.APPROACH)
            return
        to_box = self._goal[:2] - tcp[:2]
        over = np.hypot(*to_box) <= OVER_BOX
        step[:2] = to_box if over or tcp[2] >= CLEAR - NEAR else 0.0
        step[2] = (LET_GO if over else CLEAR + NEAR) - tcp[2]
        if over and tcp[2] <= LET_GO + NEAR:
            self._begin(Stage.RELEASE)

    def _release(self, tcp: F64, duck: F64, width: float, step: F64) -> None:
        step[2] = HIGHEST - tcp[2] if width >= WIDE else LET_GO - tcp[2]
        inside = (np.abs(duck[:2] - self._goal[:2]) <= self._opening).all() and FLOOR < duck[2] < RIM
        if self._periods > PATIENCE and not inside:
            self._begin(Stage.APPROACH)
