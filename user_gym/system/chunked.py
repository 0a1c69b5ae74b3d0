"""A policy that gives chunks of actions becomes one that gives the next action. It knows neither network nor environment.

Three ways to carry chunks out:

    ChunkedPolicy(policy, horizon=4)            the first 4 actions of a chunk, then the next inference
    ChunkedPolicy(policy, ensemble=0.01)        an inference at each step; the mean of all that was planned for it (ACT)
    ChunkedPolicy(policy, horizon=4, delay=2)   real-time chunking: the next chunk is made while this one goes on

What a policy is told beyond an environment's observation are entries of the observation, so they travel wherever it does: the
prompt, and with real-time chunking the actions that are on their way already.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Policy, Weights, real, whole
from user_gym.errors import BadOption, PeerLost, WrongWeights

PROMPT = "prompt"  # of an observation: a text in an array ()
PREFIX = "action_prefix"  # of an observation: (d, action), with which the chunk begins whatever else is in it
INDEX = "chunk_index"  # column of ActionChunk.extra: which action of its chunk it was, (1,) int64


@runtime_checkable
class Planner(Protocol):
    """A policy that keeps a plan from one step to the next."""

    def interrupt(self) -> None:
        """Forget what was planned: others have moved the robot since."""
        ...


class ChunkedPolicy:
    """A Policy that answers with one action at a time. `interrupt` it when others have moved the robot.

    Real-time chunking follows Black, Galliker and Levine 2025: an inference begins `delay` steps before its chunk is needed
    and is told the actions that are carried out meanwhile. A policy that heeds "action_prefix" goes on smoothly from those; of
    any other's chunk the first `delay` actions are left out.

    Args:
        policy: gives chunks; owned by this one from now on. With `delay` it acts in a thread of its own, one call at a time.
        horizon: actions of a chunk that are carried out; None: all that there are, less `delay`.
        ensemble: None, or m >= 0: of what was planned for a step, i inferences after the oldest, exp(-m i) is the weight. ACT's
            m is 0.01.
        delay: steps from an observation to the first action that is made of it; 0: the robot waits for its inference.
        waits: where an inference takes longer than `delay` steps, True: the robot waits for it, so that a run is the same on
            any machine. False: the old chunk goes on while it lasts.
        prompt: added to observations that have none; "": none is.
        timeout: s that an inference in the background may take before the policy counts as lost.
        index: answer with an extra column "chunk_index".

    Attributes:
        late: steps at which a chunk was due and not there.
        inferences: begun so far.

    Raises:
        BadOption: an option has a value that is not allowed, or two that exclude each other.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        horizon: int | None = None,
        ensemble: float | None = None,
        delay: int = 0,
        waits: bool = True,
        prompt: str = "",
        timeout: float = 30.0,
        index: bool = False,
    ) -> None:
        self._horizon = None if horizon is None else whole("horizon", horizon, 1)
        self._ensemble = None if ensemble is None else real("ensemble", ensemble, 0.0, 1e6, "None, or 0 or more")
        self._delay, self._waits, self._prompt, self._index = whole("delay", delay, 0), waits, prompt, index
        self._timeout = real("timeout", timeout, 0.0, math.inf, "0 s or more")
        if ensemble is not None and (delay or horizon is not None):
            raise BadOption("ensemble", ensemble, "None, with a horizon or a delay", "it infers at each step")
        self._policy = policy
        self.spec_hash: str = policy.spec_hash
        self.version: int = policy.version
        self.late = self.inferences = 0
        self._step = 0  # of the episode
        self._plan: _Plan | None = None
        self._plans: deque[_Plan] = deque()  # of the ensemble, the oldest first
        self._next: Future[ActionChunk] | None = None
        self._next_born = 0
        self._newer: Weights | None = None  # came while an inference went on
        self._thread: ThreadPoolExecutor | None = None

    def reset(self, seed: int | None = None) -> None:
        """As `core.Policy.reset`."""
        self.interrupt()
        self._settle()
        self._step = 0
        self._policy.reset(seed)

    def interrupt(self) -> None:
        """As `Planner.interrupt`."""
        self._plan = None
        self._plans.clear()

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """As `core.Policy.act`, with a chunk of one action.

        Raises:
            BadOption: the policy's chunks are shorter than horizon and delay together.
            PeerLost: an inference in the background took longer than `timeout`.
        """
        if self._prompt and PROMPT not in obs:
            obs = {**obs, PROMPT: np.array(self._prompt)}
        if self._ensemble is not None:
            made = self._mean(obs, deterministic, self._ensemble)
        else:
            plan = self._plan = self._current(obs, deterministic)
            made = self._row(plan.chunk, self._step - plan.born)
        self._step += 1
        return made

    def load(self, weights: Weights) -> None:
        """As `core.Policy.load`; an inference that goes on ends with the weights it began with."""
        if weights.spec_hash != self.spec_hash:
            raise WrongWeights(weights.spec_hash, self.spec_hash)
        if self._next is not None and not self._next.done():
            self._newer = weights
        else:
            self._policy.load(weights)
        self.version = weights.version

    def close(self) -> None:
        """End the thread. May be called twice."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._thread = self._next = None

    def __enter__(self) -> ChunkedPolicy:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _current(self, obs: Mapping[str, NDArray[Any]], deterministic: bool) -> _Plan:
        """The chunk that this step's action is of."""
        plan = self._plan
        if plan is None:
            return self._now(obs, deterministic)
        if self._next is not None:
            return self._take(plan, self._next, obs, deterministic)
        at = self._step - plan.born
        if at < self._carried_out(plan.chunk):
            return plan
        if not self._delay:
            return self._now(obs, deterministic)
        self._begin({**obs, PREFIX: plan.chunk.actions[at : at + self._delay]}, deterministic)
        return plan

    def _carried_out(self, chunk: ActionChunk) -> int:
        """Actions of a chunk that are carried out. Raises BadOption where it has not so many."""
        most = len(chunk.actions) - self._delay
        horizon = most if self._horizon is None else self._horizon
        if not max(1, self._delay) <= horizon <= most:
            allowed = f"with a delay of {self._delay} and chunks of {len(chunk.actions)}: {max(1, self._delay)} .. {most}"
            raise BadOption("horizon", self._horizon, allowed)
        return horizon

    def _take(self, plan: _Plan, made: Future[ActionChunk], obs: Mapping[str, NDArray[Any]], deterministic: bool) -> _Plan:
        """The next chunk, once it is due and there; until then the one that goes on."""
        elapsed = self._step - self._next_born
        if elapsed < self._delay:
            return plan
        if not made.done():
            self.late += 1
            if not self._waits and self._step - plan.born < len(plan.chunk.actions):
                return plan
        next_plan = _Plan(self._waited(made), self._next_born)
        self._next = None
        return next_plan if elapsed < len(next_plan.chunk.actions) else self._now(obs, deterministic)

    def _now(self, obs: Mapping[str, NDArray[Any]], deterministic: bool) -> _Plan:
        self._prepare()
        plan = _Plan(self._policy.act(obs, deterministic), self._step)
        self._carried_out(plan.chunk)
        return plan

    def _begin(self, obs: Mapping[str, NDArray[Any]], deterministic: bool) -> None:
        self._prepare()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "chunked-policy")
        self._next, self._next_born = self._thread.submit(self._policy.act, obs, deterministic), self._step

    def _prepare(self) -> None:
        """The policy is idle, and has the newest weights."""
        self._settle()
        if self._newer is not None:
            self._policy.load(self._newer)
            self._newer = None
        self.inferences += 1

    def _settle(self) -> None:
        """Wait for an inference whose chunk nobody wants any more: the policy does one thing at a time."""
        if self._next is not None:
            self._waited(self._next)
            self._next = None

    def _waited(self, made: Future[ActionChunk]) -> ActionChunk:
        try:
            return made.result(self._timeout)
        except LateError:
            if made.done():  # the policy's own, such as of a socket
                raise
            raise PeerLost(f"an inference in the background took longer than {self._timeout:g} s; the policy hangs") from None

    def _mean(self, obs: Mapping[str, NDArray[Any]], deterministic: bool, rate: float) -> ActionChunk:
        """What all chunks that reach this step planned for it, the oldest with the largest weight."""
        self._prepare()
        self._plans.append(_Plan(self._policy.act(obs, deterministic), self._step))
        while self._step - self._plans[0].born >= len(self._plans[0].chunk.actions):
            self._plans.popleft()
        planned = np.stack([plan.chunk.actions[self._step - plan.born] for plan in self._plans])
        weights = np.exp(-rate * np.arange(len(planned)))
        action = (weights[:, None] * planned).sum(0) / weights.sum()
        return self._marked(action.astype(np.float32), self._plans[-1].chunk.version, {}, 0)

    def _row(self, chunk: ActionChunk, at: int) -> ActionChunk:
        return self._marked(chunk.actions[at], chunk.version, {n: c[at : at + 1] for n, c in chunk.extra.items()}, at)

    def _marked(self, action: NDArray[Any], version: int, extra: Mapping[str, NDArray[Any]], at: int) -> ActionChunk:
        return ActionChunk(action[None], version, {**extra, INDEX: np.array([at])} if self._index else extra)


class _Plan(NamedTuple):
    chunk: ActionChunk
    born: int  # step of the observation it was made of
