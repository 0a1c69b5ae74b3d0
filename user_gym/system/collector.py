"""Steps an environment with the newest policy and hands the experience over. It knows neither agent nor storage."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Chunk, Policy
from user_gym.errors import BadOption, Closed
from user_gym.system.broadcast import Broadcaster
from user_gym.system.channel import Channel
from user_gym.system.chunk import ChunkBuilder
from user_gym.system.ratelimit import SamplesPerInsert

if TYPE_CHECKING:
    import gymnasium

_RANDOM = -1  # policy version of a step that no policy chose


class Collector:
    """One environment, one policy, one thread.

    After each chunk it waits for the limiter, so a block of collection is one chunk. Weights are swapped between two steps.

    Args:
        env: a single environment; an observation that is no dict is kept under "obs".
        policy: acts; owned by this collector from now on.
        channel: takes the chunks.
        limiter: is told of every step handed over.
        broadcaster: where newer weights come from.
        builder: makes the chunks.
        seed: of the environment and of random steps.
        random_steps: the first steps of a run take uniform actions.
        env_steps: steps taken before, as on resume.
        episodes: episodes begun before.

    Attributes:
        env_steps: steps taken, earlier ones included.
        episodes: episodes begun.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        policy: Policy,
        channel: Channel[Chunk],
        *,
        limiter: SamplesPerInsert,
        broadcaster: Broadcaster,
        builder: ChunkBuilder,
        seed: int = 0,
        random_steps: int = 0,
        env_steps: int = 0,
        episodes: int = 0,
    ) -> None:
        low, high = getattr(env.action_space, "low", None), getattr(env.action_space, "high", None)
        if low is None or high is None or not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise BadOption("action space", env.action_space, "a Box with finite bounds")
        self._env, self._policy, self._builder = env, policy, builder
        self._channel, self._limiter, self._broadcaster = channel, limiter, broadcaster
        self._low, self._high = low, high
        self._next_seed: int | None = seed + episodes
        self._random_steps = random_steps
        self._rng = np.random.default_rng([seed, episodes])
        self._plan: NDArray[Any] = np.empty((0, *low.shape), np.float32)
        self._version = _RANDOM  # until the policy acts for the first time
        self.env_steps, self.episodes = env_steps, episodes

    def run(self, stop: Event, max_steps: int) -> None:
        """Collect until `env_steps` is `max_steps`, `stop` is set, or limiter or channel are closed.

        Steps of an unfinished episode are handed over as well.
        """
        try:
            while self.env_steps < max_steps and not stop.is_set():
                self._episode(stop, max_steps)
        except Closed:
            return

    def _episode(self, stop: Event, max_steps: int) -> None:
        first, info = self._env.reset(seed=self._next_seed)
        self._next_seed = None  # later episodes go on with the environment's own generator
        obs = _as_dict(first)
        self._builder.start(obs, self.episodes, float(info.get("time", 0.0)))
        self.episodes += 1
        self._plan = self._plan[:0]
        over = False
        while not over and self.env_steps < max_steps and not stop.is_set():
            action = self._next_action(obs)
            after, reward, terminated, truncated, info = self._env.step(action)
            obs, over = _as_dict(after), bool(terminated or truncated)
            self.env_steps += 1
            if info.get("is_intervention", False):
                self._plan = self._plan[:0]  # it was made for another course of events
            chunk = self._builder.add(action, float(reward), bool(terminated), bool(truncated), info, obs, self._version)
            if chunk is not None:
                self._hand_over(chunk)
        rest = self._builder.flush()
        if rest is not None:
            self._hand_over(rest)

    def _next_action(self, obs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        weights = self._broadcaster.newest(self._policy.version)
        if weights is not None:
            self._policy.load(weights)
        if self.env_steps < self._random_steps:
            return self._rng.uniform(self._low, self._high).astype(np.float32)
        if not len(self._plan):
            chunk = self._policy.act(obs)
            self._plan, self._version = chunk.actions, chunk.version
        action, self._plan = self._plan[0], self._plan[1:]
        return action

    def _hand_over(self, chunk: Chunk) -> None:
        # In this order: once the limiter knows of a step, whoever asks the channel finds it there.
        self._channel.put(chunk)
        self._limiter.insert(len(chunk))


def _as_dict(obs: Any) -> dict[str, NDArray[Any]]:
    return dict(obs) if isinstance(obs, Mapping) else {"obs": np.asarray(obs)}
