"""What bench_async measures with: a robot and a learner that take the published times, and what both note down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Batch, Policy, Weights
from user_gym.system.clock import Clock
from user_gym.system.virtual import Paced

STEPS = 100  # of an episode; none ends early
PERIOD = 0.1  # s


class Costs(NamedTuple):
    """What a published set-up takes."""

    name: str
    robot: float  # s per episode, reset included
    update: float  # s
    per_episode: int  # updates per episode of the synchronous pipeline
    other: float  # s per episode of the synchronous pipeline that are neither
    published: tuple[float, float]  # s per episode and s per update of the synchronous pipeline

    @property
    def cycle(self) -> float:
        """s per episode of the synchronous pipeline, as the sum of its parts."""
        return self.robot + self.per_episode * self.update + self.other

    def scaled(self, factor: float) -> Costs:
        """All of it faster."""
        return self._replace(robot=self.robot * factor, update=self.update * factor, other=self.other * factor)


PUBLISHED = (
    Costs("CNN + SAC", 13.11, 0.1388, 32, 2.78, (20.3, 0.64)),
    Costs("pi0 + HG-DAgger", 37.54, 7.90, 1, 0.0, (45.4, 45.4)),
)


class Episodes(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Episodes of 100 steps with the observation and action of a peg insertion from the robot's state."""

    observation_space = gymnasium.spaces.Box(-1, 1, (19,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (6,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray[np.float32], dict]:
        super().reset(seed=seed)
        self._n = 0
        return self._look(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self._n += 1
        return self._look(), 0.0, False, self._n == STEPS, {}

    def _look(self) -> NDArray[np.float32]:
        return self.np_random.uniform(-1, 1, 19).astype(np.float32)


class Large:
    """An agent, and the policy that acts, with 2.6 million parameters that an update does not change. It costs nothing."""

    spec_hash = "large"

    def __init__(self, parameters: int = 2_600_000) -> None:
        self.policy: Policy = self
        self.version = -1
        self._parameters = np.zeros(parameters, np.float32)

    def reset(self, seed: int | None = None) -> None:
        pass

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        return ActionChunk(np.zeros((1, 6), np.float32), self.version)

    def load(self, weights: Weights) -> None:
        self._parameters, self.version = weights.arrays["all"], weights.version

    def update(self, batch: Batch) -> Mapping[str, float]:
        return {}

    def weights(self) -> Mapping[str, NDArray[Any]]:
        return {"all": self._parameters}

    def save(self, path: Path) -> None:
        path.write_bytes(self._parameters.data)

    def restore(self, path: Path) -> None:
        self._parameters = np.fromfile(path, np.float32)


class Journal(Paced):
    """Remembers when each episode began to reset, and what the robot had moved by then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.resets: list[tuple[float, float]] = []  # (s on the clock, s moved)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.resets.append((self._clock.now(), self.moved))
        return super().reset(seed=seed, options=options)


def spinning(clock: Clock) -> Callable[[float], None]:
    """Keeps one core busy until a time, in pieces of a few hundred us that leave the interpreter to others, as torch does."""
    matrix = np.full((192, 192), 1e-3, np.float32)
    out = np.empty_like(matrix)

    def spin(due: float) -> None:
        while clock.now() < due:
            np.matmul(matrix, matrix, out=out)

    return spin


class Window(NamedTuple):
    """What was seen between two resets."""

    episodes: int
    generation: float  # s per episode
    training: float  # s per update
    robot_idle: float  # share of the window in which the robot neither moved nor reset
    learner_idle: float  # share of the window outside updates


def window(
    resets: Sequence[tuple[float, float]],
    updated: Sequence[float],
    update: float,
    first: int,
    episodes: int,
    synchronous: bool,
) -> Window:
    """The window of so many episodes from the reset of `first` on.

    A synchronous window holds whole cycles, so that elapsed / updates is exact. An asynchronous one cuts an update at either
    end: there it is measured from the end of the first update in it to the end of the last.

    Args:
        resets: of each episode, as `Journal.resets`.
        updated: when each update ended, s on the same clock.
        update: s of one.
        first: episode.
        episodes: in the window.
        synchronous: what was run.
    """
    (begin, moved), (end, moved_then) = resets[first], resets[first + episodes]
    elapsed = end - begin
    ended = [t for t in updated if begin < t <= end]
    updates, spent = (len(ended), elapsed) if synchronous else (len(ended) - 1, ended[-1] - ended[0])
    return Window(
        episodes, elapsed / episodes, spent / updates, 1 - (moved_then - moved) / elapsed, 1 - updates * update / spent
    )
