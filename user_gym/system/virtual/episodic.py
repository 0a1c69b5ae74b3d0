"""Episodes that are the same whatever came before them: all that is drawn in one follows from the run's seed and its number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Policy, Weights

_ENV, _POLICY = 0, 1


def _seed(seed: int, episode: int, whose: int) -> int:
    return int(np.random.SeedSequence([seed, episode, whose]).generate_state(1)[0])


class EpisodicEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Each reset has a seed of its own.

    Args:
        env: its reset restores all of its state.
        seed: of the run.
        episode: number of the first one.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int, episode: int = 0) -> None:
        super().__init__(env)
        self._run, self._episode = seed, episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As of the environment; `seed` is not used."""
        self._episode += 1
        return super().reset(seed=_seed(self._run, self._episode - 1, _ENV), options=options)


class EpisodicPolicy:
    """A `Policy`: the one that is given, seeded for each episode. Copies go on by themselves.

    Args:
        policy: acts.
        seed: of the run.
        episode: number of the first one.
    """

    def __init__(self, policy: Policy, seed: int, episode: int = 0) -> None:
        self._policy, self._run, self._episode = policy, seed, episode
        self.spec_hash: str = policy.spec_hash
        self.version: int = policy.version

    def reset(self, seed: int | None = None) -> None:
        """As `core.Policy.reset`; `seed` is not used."""
        self._episode += 1
        self._policy.reset(_seed(self._run, self._episode - 1, _POLICY))

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """As `core.Policy.act`."""
        return self._policy.act(obs, deterministic)

    def load(self, weights: Weights) -> None:
        """As `core.Policy.load`."""
        self._policy.load(weights)
        self.version = self._policy.version
