"""A pipeline on a virtual clock: costs are declared, each run is the same, and one that was killed goes on exactly."""

from __future__ import annotations

from user_gym.system.virtual.clock import VirtualClock
from user_gym.system.virtual.costed import Costed
from user_gym.system.virtual.delayed import Delayed
from user_gym.system.virtual.exact import Costs, train_exactly
from user_gym.system.virtual.paced import Paced

__all__ = ["Costed", "Costs", "Delayed", "Paced", "VirtualClock", "train_exactly"]
