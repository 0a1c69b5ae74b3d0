"""A scripted hand for caps: puts the wrench on as a peg goes into a hole, then turns until the environment says it is tight."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, RobotState
from user_gym.tasks.cap_tighten import BEGIN, CEILING, MOUTH, CapTighten
from user_gym.tasks.expert import InsertionHand, Search

BEYOND = 0.001  # m that the search goes beyond where the bottle may be
ON = 0.010  # m that the cap is inside the wrench, from which on it is turned
TURN = 0.1  # rad a period: more than the compliance lets it turn, so it turns with all its torque
HOLD = 0.002  # m downwards meanwhile: 4 N, so that the wrench stays on


class CapTightenExpert(InsertionHand):
    """The hand for a cap.

    Args:
        task: the task; its nominal goal, its action scale and how far off it may be are used.
        noise: as ScriptedHand.
        seed: of the noise.

    Raises:
        BadOption: as ScriptedHand.
    """

    def __init__(self, task: CapTighten, noise: float = 0.0, seed: int = 0) -> None:
        search = Search(radius=task.cap_offset + BEYOND, step=0.001, urge=0.3)
        mouth = np.array([0.0, 0.0, MOUTH - CEILING, 0.0, 0.0, BEGIN])
        super().__init__(task.goal + mouth, task.action_scale, noise, seed, search)

    def move(self, state: RobotState) -> F64:
        """What to add to the measured pose (6,) m, rad."""
        step = super().move(state)
        if self._descending and state.tcp[2] < self._over[2] - ON:
            step[:] = 0.0, 0.0, -HOLD, -state.tcp[3], -state.tcp[4], -TURN
        return step
