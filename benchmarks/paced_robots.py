"""A robot that costs nothing but time, and an agent that costs nothing: what several processes add to both."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Batch, Weights

STEPS = 10  # of an episode
_AT_ONCE = 0.02  # s


class PacedRobot(gymnasium.Env[Any, Any]):
    """Steps and resets last as long as they are said to, by absolute deadlines.

    Args:
        step, reset: s.
        first: steps of the first episode, so that robots are out of phase.
    """

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, step: float = 0.05, reset: float = 0.5, first: int = STEPS) -> None:
        self._step, self._reset, self._length = step, reset, first
        self._due = 0.0

    def _pass(self, seconds: float) -> None:
        now = time.monotonic()
        # Who calls again at once keeps the beat; who comes late begins a period of its own.
        self._due = (self._due if now - self._due < _AT_ONCE else now) + seconds
        time.sleep(max(0.0, self._due - time.monotonic()))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[Any], dict[str, Any]]:
        """After `reset` s."""
        super().reset(seed=seed)
        self._pass(self._reset)
        self._taken = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """After `step` s."""
        self._pass(self._step)
        self._taken += 1
        over = self._taken == self._length
        if over:
            self._length = STEPS
        return np.zeros(2, np.float32), 0.0, False, over, {}


gymnasium.register("PacedRobot-v0", PacedRobot)


class Still:
    """A Policy that orders nothing."""

    spec_hash = "still"

    def __init__(self) -> None:
        self.version = -1

    def reset(self, seed: int | None = None) -> None:
        """There is nothing to forget."""

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """Zero."""
        return ActionChunk(np.zeros((1, 1), np.float32), self.version)

    def load(self, weights: Weights) -> None:
        """Take the version."""
        self.version = weights.version


class Idle:
    """An Agent that learns nothing, in no time."""

    def __init__(self) -> None:
        self.policy = Still()

    def update(self, batch: Batch) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """One number."""
        return {"zero": np.zeros(1, np.float32)}

    def save(self, path: Path) -> None:
        """Nothing is to be kept."""
        path.write_text("")

    def restore(self, path: Path) -> None:
        """Nothing was."""


def agent(observations: Any, actions: Any, options: Mapping[str, Any]) -> Idle:
    """For a plan."""
    return Idle()
