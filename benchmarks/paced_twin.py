"""A protocol twin at the pace of a robot: `gymnasium.make("benchmarks.paced_twin:PacedTwin-v0", address=..., twin=...)`.

A gated twin's time passes only in steps, as fast as the machine can; here each step takes a period of the wall's time at least,
so that several twins share a machine as robots would, and rates say who waited.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium

import user_gym  # noqa: F401 - registers the ids

PERIOD = 0.1  # s, as the ids have it


class Paced(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Keeps a beat by absolute deadlines; who comes late begins a beat of its own."""

    def __init__(self, env: gymnasium.Env[Any, Any], period: float = PERIOD) -> None:
        super().__init__(env)
        self._period, self._due = period, 0.0

    def step(self, action: Any) -> Any:
        """One step, at the end of its period."""
        result = self.env.step(action)
        self._due = max(self._due + self._period, time.monotonic())
        time.sleep(max(0.0, self._due - time.monotonic()))
        return result

    def reset(self, **arguments: Any) -> Any:
        """As fast as the machine is."""
        result = self.env.reset(**arguments)
        self._due = time.monotonic()
        return result


def make(**options: Any) -> gymnasium.Env[Any, Any]:
    """The real id with these options."""
    return Paced(gymnasium.make("User/PegInsert-real-v0", **options))


gymnasium.register("PacedTwin-v0", make, disable_env_checker=True, order_enforce=False)
