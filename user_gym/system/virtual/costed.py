"""An agent whose updates and weights take declared seconds, on any clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from user_gym.core import Agent, Batch, Policy, real
from user_gym.system.clock import Clock


class Costed:
    """An `Agent`: the one that is given, made to take as long as a larger one would.

    Args:
        agent: learns.
        clock: to wait on.
        update_time: s from the beginning of an update to its end, the agent's own time included.
        weights_time: s for which a publication of weights holds the learner up.
        spend: returns at the time it is given, s on the clock; such as one that keeps a processor busy. None: sleep.

    Attributes:
        updated: when each update ended, s on the clock.
    """

    def __init__(
        self,
        agent: Agent,
        clock: Clock,
        *,
        update_time: float = 0.0,
        weights_time: float = 0.0,
        spend: Callable[[float], None] | None = None,
    ) -> None:
        self._agent, self._clock = agent, clock
        self._update_time = real("update_time", update_time, 0.0, math.inf, "s, 0 or more")
        self._weights_time = real("weights_time", weights_time, 0.0, math.inf, "s, 0 or more")
        self._spend = spend or clock.sleep_until
        self.policy: Policy = agent.policy
        self.updated: list[float] = []

    def update(self, batch: Batch) -> Mapping[str, float]:
        """As of the agent, `update_time` s later."""
        ends = self._clock.now() + self._update_time
        metrics = self._agent.update(batch)
        self._spend(ends)
        self.updated.append(self._clock.now())
        return metrics

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """As of the agent, `weights_time` s later."""
        self._spend(self._clock.now() + self._weights_time)
        return self._agent.weights()

    def save(self, path: Path) -> None:
        """As of the agent; it takes no time."""
        self._agent.save(path)

    def restore(self, path: Path) -> None:
        """As of the agent; it takes no time."""
        self._agent.restore(path)
