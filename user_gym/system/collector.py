"""Steps an environment with the newest policy and hands the experience over. It knows neither agent nor storage."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Builder, Chunk, Policy, whole
from user_gym.errors import BadOption, Closed, Halted, RobotFault
from user_gym.system.chunked import Planner
from user_gym.system.weights import Subscriber

if TYPE_CHECKING:
    import gymnasium

_Planned = tuple[NDArray[Any], Mapping[str, Any]]  # an action, and its row of Chunk.extra
_RANDOM = -1  # policy version of a step that no policy chose


class Outlet(Protocol):
    """Where chunks go: a `Channel`, or the way to another process."""

    def put(self, item: Chunk) -> None:
        """Take a chunk, waiting for room. Raises Closed."""
        ...


class Permission(Protocol):
    """Says when to go on: `SamplesPerInsert`, or the way to another process that has one."""

    def insert(self, n: int) -> None:
        """n steps were handed over; returns when the next ones may follow. Raises Closed."""
        ...


class Collector:
    """One environment, one policy, one thread.

    After each chunk it waits for the limiter, so a block of collection is one chunk. Weights are swapped between two steps.
    Whatever ends an episode, the steps taken so far are handed over. A RobotFault truncates the episode and begins the next;
    but where a person stopped the robot (Halted), the run ends.

    Args:
        env: a single environment; an observation that is no dict is kept under "obs".
        policy: acts; owned by this collector from now on.
        channel: takes the chunks.
        limiter: is told of every step handed over.
        broadcaster: where newer weights come from.
        builder: makes the chunks.
        seed: of the environment, of random steps and of the policy.
        random_steps: the first steps of a run take uniform actions.
        env_steps: steps taken before, as on resume.
        episodes: episodes begun before; with `seed` they say what is drawn, so that a resumed run repeats nothing.
        max_faults: this many episodes in a row that a RobotFault ended, and the last fault is raised.
        each: called before each step, and before each reset.

    Attributes:
        env_steps: steps taken, earlier ones included.
        episodes: episodes begun.
        completed: episodes that this object saw the end of, without a fault.
        faults: RobotFaults seen by this object.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        policy: Policy,
        channel: Outlet,
        *,
        limiter: Permission,
        broadcaster: Subscriber,
        builder: Builder,
        seed: int = 0,
        random_steps: int = 0,
        env_steps: int = 0,
        episodes: int = 0,
        max_faults: int = 3,
        each: Callable[[], None] = lambda: None,
    ) -> None:
        low, high = getattr(env.action_space, "low", None), getattr(env.action_space, "high", None)
        if low is None or high is None or not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise BadOption("action space", env.action_space, "a Box with finite bounds")
        self._env, self._policy, self._builder = env, policy, builder
        self._channel, self._limiter, self._broadcaster = channel, limiter, broadcaster
        self._low, self._high = low, high
        self._next_seed: int | None = seed + episodes
        self._random_steps = whole("random_steps", random_steps, 0)
        self._rng = np.random.default_rng([seed, episodes])
        self._policy_seed: int | None = int(np.random.SeedSequence([seed, episodes, 1]).generate_state(1)[0])
        self._max_faults, self._each = whole("max_faults", max_faults, 1), each
        self._plan: deque[_Planned] = deque()
        self._planner = policy if isinstance(policy, Planner) else None
        self._refused = False  # limiter or channel are closed
        self._version = _RANDOM  # until the policy acts for the first time
        self.env_steps, self.episodes = env_steps, episodes
        self.completed = self.faults = 0

    def run(self, stop: Event, max_steps: int) -> None:
        """Collect until `env_steps` is `max_steps`, `stop` is set, or limiter or channel are closed."""
        in_a_row = 0
        while self._goes_on(stop, max_steps):
            try:
                self.completed += self._episode(stop, max_steps)
                in_a_row = 0
            except Halted:  # a person stopped it: nothing that happens by itself may move it again
                self.faults += 1
                raise
            except RobotFault:
                self.faults, in_a_row = self.faults + 1, in_a_row + 1
                if in_a_row == self._max_faults:
                    raise

    def _goes_on(self, stop: Event, max_steps: int) -> bool:
        return self.env_steps < max_steps and not stop.is_set() and not self._refused

    def _episode(self, stop: Event, max_steps: int) -> bool:
        """Whether it came to its end."""
        self._each()
        first, info = self._env.reset(seed=self._next_seed)
        self._next_seed = None  # later episodes go on with the environment's own generator
        obs = _as_dict(first)
        self._builder.start(obs, self.episodes, float(info.get("time", 0.0)))
        self.episodes += 1
        self._policy.reset(self._policy_seed)
        self._policy_seed = None
        self._plan.clear()
        try:
            over = False
            while not over and self._goes_on(stop, max_steps):
                obs, over = self._step(obs)
            return over
        except RobotFault:
            self._hand_over(self._builder.flush(truncated=True))
            raise
        finally:
            self._hand_over(self._builder.flush())

    def _step(self, obs: dict[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], bool]:
        self._each()
        action, extra = self._next_action(obs)
        after, reward, terminated, truncated, info = self._env.step(action)
        obs = _as_dict(after)
        if info.get("is_intervention", False):
            self._plan.clear()  # it was made for another course of events
            if self._planner is not None:
                self._planner.interrupt()
        chunk = self._builder.add(action, float(reward), bool(terminated), bool(truncated), info, obs, self._version, extra)
        self.env_steps += 1
        self._hand_over(chunk)
        return obs, bool(terminated or truncated)

    def _next_action(self, obs: Mapping[str, NDArray[Any]]) -> _Planned:
        weights = self._broadcaster.newest(self._policy.version)
        if weights is not None:
            self._policy.load(weights)
        if self.env_steps < self._random_steps:
            return self._rng.uniform(self._low, self._high).astype(np.float32), {}
        if not self._plan:
            made = self._policy.act(obs)
            rows = ({name: column[i] for name, column in made.extra.items()} for i in range(len(made.actions)))
            self._plan.extend(zip(made.actions, rows, strict=True))
            self._version = made.version
        return self._plan.popleft()

    def _hand_over(self, chunk: Chunk | None) -> None:
        if chunk is None or self._refused:
            return
        try:
            # In this order: once the limiter knows of a step, whoever asks the channel finds it there.
            self._channel.put(chunk)
            self._limiter.insert(len(chunk))
        except Closed:  # not raised: it would hide what made the episode end
            self._refused = True


def _as_dict(obs: Any) -> dict[str, NDArray[Any]]:
    return dict(obs) if isinstance(obs, Mapping) else {"obs": np.asarray(obs)}
