"""A simulated robot at the pace of a real one: `gymnasium.make("benchmarks.paced_sim:PacedSim-v0", period=0.05, ...)`.

Runs on one machine and across a network are compared at the same pace, so that it is not the simulator that sets it.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from benchmarks.paced_twin import PERIOD, Paced


def make(period: float = PERIOD, **options: Any) -> gymnasium.Env[Any, Any]:
    """The simulated id with these options; a step lasts `period` s at least."""
    return Paced(gymnasium.make("User/PegInsert-sim-v0", **options), period)


gymnasium.register("PacedSim-v0", make, disable_env_checker=True, order_enforce=False)
