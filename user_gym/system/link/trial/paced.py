"""A robot with two cameras that costs nothing but time, and a policy that orders nothing: what is left to see is the link."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Weights, real, whole

CAMERAS, SIDE, STATE, ACTIONS = ("wrist", "side"), 128, 19, 6
ROW_BYTES = len(CAMERAS) * SIDE * SIDE * 3 + 4 * STATE  # of one observation
_ON_TIME = 0.1  # of a period: an order that comes so late is still in time
_SCENES, _NOISE = 64, 2.0  # pictures until they repeat; grey levels of a sensor's noise, standard deviation

Observation = dict[str, NDArray[Any]]


class PacedCameras(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Each step lasts a period of the wall's clock, from the moment at which its order is there.

    An order that comes at once keeps the beat, by absolute deadlines; one that comes late begins a period of its own, and the
    robot has held meanwhile. The reward of a step is its number since this object was made, so that steps can be counted.

    Args:
        frequency: steps per second.
        steps: of an episode.
        pictures: (n, 2, 128, 128, 3) uint8, shown one after the other; None: drawn ones with a sensor's noise.
        first: number of the first step.
        clock, sleep: s, monotonic.

    Attributes:
        periods: of all episodes that are over, by how each began: True where its order was there in time.
        episodes: s that each episode took, from its reset to the end of its last period.
    """

    def __init__(
        self,
        frequency: float = 10.0,
        steps: int = 50,
        pictures: NDArray[np.uint8] | None = None,
        first: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._period = 1.0 / real("frequency", frequency, 0.01, 10_000.0, "steps per second, 0.01..10000")
        self._steps, self._clock, self._sleep = whole("steps", steps, 1), clock, sleep
        self._pictures = drawn() if pictures is None else pictures
        self._count, self._begun, self._due, self._taken = whole("first", first, 0), 0.0, -math.inf, 0
        boxes = {name: gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8) for name in CAMERAS}
        state = gymnasium.spaces.Box(-math.inf, math.inf, (STATE,), np.float32)
        self.observation_space: gymnasium.Space[Any] = gymnasium.spaces.Dict({**boxes, "state": state})
        self.action_space = gymnasium.spaces.Box(-1, 1, (ACTIONS,), np.float32)
        self.periods: list[bool] = []
        self.episodes: list[float] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Observation, dict[str, Any]]:
        """At once."""
        super().reset(seed=seed)
        self._begun = self._due = self._clock()
        self._taken = 0
        return self._seen(), {"time": 0.0}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """After a period."""
        late = self._clock() - self._due
        in_time = late <= _ON_TIME * self._period
        self.periods.append(in_time)
        self._due += self._period + (0.0 if in_time else late)
        self._sleep(max(0.0, self._due - self._clock()))
        reward = float(self._count)
        self._count, self._taken = self._count + 1, self._taken + 1
        over = self._taken == self._steps
        if over:
            self.episodes.append(self._clock() - self._begun)
        return self._seen(), reward, False, over, {"time": self._taken * self._period}

    def _seen(self) -> Observation:
        shown = self._pictures[self._count % len(self._pictures)]
        state = np.full(STATE, self._count, np.float32)
        return {**{name: shown[k] for k, name in enumerate(CAMERAS)}, "state": state}


class Still:
    """A Policy that orders nothing, of any weights."""

    spec_hash = "still"

    def __init__(self, *spaces: Any) -> None:
        self.version = -1

    def reset(self, seed: int | None = None) -> None:
        """There is nothing to forget."""

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """Zero."""
        return ActionChunk(np.zeros((1, ACTIONS), np.float32), self.version)

    def load(self, weights: Weights) -> None:
        """Take the version."""
        self.version = weights.version


def drawn(count: int = _SCENES, noise: float = _NOISE, seed: int = 0) -> NDArray[np.uint8]:
    """(count, 2, 128, 128, 3): a shaded table, a block that moves over it, and a sensor's noise, which no codec takes away."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    table = np.stack([80 + x / 2, 60 + y / 2, 100 + (x + y) / 4], axis=-1)
    pictures: Sequence[NDArray[np.uint8]] = []
    for k in range(count):
        for camera in range(len(CAMERAS)):
            seen = table + 10 * camera
            left, top = int(40 + 30 * math.sin(2 * math.pi * k / count)), 50 + 10 * camera
            seen[top : top + 30, left : left + 30] = (180, 60, 40)
            pictures.append(np.clip(seen + rng.normal(0, noise, seen.shape), 0, 255).astype(np.uint8))
    return np.stack(pictures).reshape(count, len(CAMERAS), SIDE, SIDE, 3)
