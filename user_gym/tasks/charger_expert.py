"""A scripted hand for plugging in. It searches as for a peg, nearer by and more lightly: two thin prongs catch on
what a peg slides over.
"""

from __future__ import annotations

import numpy as np

from user_gym.tasks.charger import PRONG, Charger
from user_gym.tasks.expert import InsertionHand, Search

BEYOND = 0.001  # m that the search goes beyond where the socket may be


class ChargerExpert(InsertionHand):
    """The hand for a charger.

    Args:
        task: the task; its nominal goal, its action scale and how far off it may be are used.
        noise: as ScriptedHand.
        seed: of the noise.

    Raises:
        BadOption: as ScriptedHand.
    """

    def __init__(self, task: Charger, noise: float = 0.0, seed: int = 0) -> None:
        # Who puts a socket up knows how exactly it stands.
        search = Search(radius=task.hole_offset + BEYOND, step=0.0007, press=0.0015, urge=0.3)
        rim = np.array([0.0, 0.0, PRONG[2], 0.0, 0.0, 0.0])
        super().__init__(task.goal + rim, task.action_scale, noise, seed, search)
