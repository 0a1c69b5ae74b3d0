"""Policies, agents, experience and where it is kept. Arrays are numpy: no learning library is named here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import F32, F64, I64, Bool


@dataclass(frozen=True, slots=True, eq=False)
class ActionChunk:
    """Actions for the next h periods, from one inference."""

    actions: F32  # (h, action) in [-1, 1]
    version: int  # of the weights that made it
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # each (h, ...): for Chunk.extra, such as log_prob


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A policy's parameters at one version. The arrays are the receiver's own or immutable by agreement."""

    version: int
    arrays: Mapping[str, NDArray[Any]]
    spec_hash: str


@runtime_checkable
class Policy(Protocol):
    """Turns observations into actions. Owned by one thread."""

    spec_hash: str  # names, shapes and dtypes of the weights it accepts
    version: int  # of the weights it acts with; -1 before the first load

    def reset(self, seed: int | None = None) -> None:
        """An episode begins: forget the last one. A seed restarts all the policy draws from; None: go on drawing."""
        ...

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """Actions for one observation (no batch axis)."""
        ...

    def load(self, weights: Weights) -> None:
        """Swap to these weights, between two steps. Raises BadOption if spec_hash differs; then the old ones stay."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Padding:
    """Which part of a batch of unlike robots is data. The rest is 0.

    Columns go by the keys "obs.<name>" (for next_obs too), "extra.<name>" and "action" (for ordered too). So the actions
    that a row's robot has are `np.arange(batch.action.shape[-1]) < padding.extent["action"]`, (n, action).
    """

    present: Mapping[str, Bool]  # each (n,): whether the row's robot has this column
    extent: Mapping[str, I64]  # each (n, d), d axes of one item: row i is data in item[:e0, :e1, ...]; 0 where not present


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Transitions drawn from a Storage. Truncated steps bootstrap from next_obs, terminated ones do not.

    Drawn with a horizon h > 1, each row is a transition and those that follow it: all columns but `obs` and `next_obs` have
    a second axis (n, h, ...), and are 0 where not `valid`; `next_obs` is the observation after the last valid step.

    Where rows come from robots with other cameras or actions, each column is as large as its largest row, `obs` and `extra`
    have the columns of all of them, and `padding` says what is data.
    """

    obs: Mapping[str, NDArray[Any]]  # each (n, ...)
    action: F32  # (n, action) executed, after clamp and override
    ordered: F32  # (n, action) what was asked for; see Chunk
    reward: F32  # (n,)
    next_obs: Mapping[str, NDArray[Any]]  # each (n, ...)
    terminated: Bool  # (n,)
    truncated: Bool  # (n,)
    policy_version: I64  # (n,)
    is_intervention: Bool  # (n,)
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # each (n, ...); see Chunk
    valid: Bool | None = None  # (n, h) steps of the same episode, the first always; None where h is 1
    padding: Padding | None = None  # None: every row is whole


@runtime_checkable
class Agent(Protocol):
    """Learns. Owned by the learner's thread."""

    policy: Policy

    def update(self, batch: Batch) -> Mapping[str, float]:
        """One optimiser step; returns metrics."""
        ...

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """The policy's parameters now, as arrays that later updates may overwrite."""
        ...

    def save(self, path: Path) -> None:
        """Write everything needed to go on exactly."""
        ...

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote. Raises WrongRun."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Columns of T consecutive steps of one episode.

    Observation columns have T + 1 rows (the last is the observation after the last step), the others T.
    """

    source: str  # who collected it: a collector's name, unique in a run
    episode: int
    sequence: int  # 0, 1, ... within the episode
    robot: str
    task: str
    kind: str  # "policy" | "demo"
    obs: Mapping[str, NDArray[Any]]  # each (T + 1, ...)
    action: F32  # (T, action) executed, after clamp and override
    ordered: F32  # (T, action) what was asked for: the policy's action, or the human's while intervening
    reward: F32  # (T,)
    terminated: Bool  # (T,)
    truncated: Bool  # (T,)
    success: Bool  # (T,)
    policy_version: I64  # (T,) -1: no policy acted: a random step, or a human's
    is_intervention: Bool  # (T,)
    reward_source: Sequence[str]  # (T,)
    time: F64  # (T,) s, robot's clock, increasing within the chunk
    wall_time: float  # s since the epoch, of the chunk's first observation
    clock: str = "sim"  # which clock `time` is on
    clock_offset: float = 0.0  # s, wall - clock at the chunk's first observation, as seen by who collected it
    env_id: str = ""  # as in gym.make; "" where unknown
    spec_hash: str = ""  # of the observation and action spaces; "" where unknown
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # each (T, ...): further columns, such as log_prob

    def __len__(self) -> int:
        return len(self.reward)


class Builder(Protocol):
    """Makes chunks of the steps of one episode after another; `user_gym.system.ChunkBuilder` is one."""

    def start(self, obs: Mapping[str, NDArray[Any]], episode: int, time: float = 0.0) -> None:
        """Begin an episode with its first observation, at `time` s on the robot's clock. Steps not yet emitted are dropped.

        Raises BadChunk where the observation is no mapping.
        """
        ...

    def add(
        self,
        action: NDArray[Any],
        reward: float,
        terminated: bool,
        truncated: bool,
        info: Mapping[str, Any],
        obs: Mapping[str, NDArray[Any]],
        version: int,
        extra: Mapping[str, Any] | None = None,
    ) -> Chunk | None:
        """One step: `obs` is what it led to. Returns a chunk when one is complete. Raises NotReset, BadChunk.

        `action` is what env.step was given, `version` that of the weights that chose it, `extra` one row of Chunk.extra. Of
        `info` these keys are read, all optional: "executed_action" (`action`), "intervene_action" (what a human ordered in
        place of `action`), "is_success", "is_intervention", "reward_source" ("rule"), "time" (s, robot's clock), and, where
        episodes of an environment are of several bodies, "robot" and "task".
        """
        ...

    def flush(self, truncated: bool = False) -> Chunk | None:
        """Emit the steps collected so far, as when collection stops inside an episode; None if there are none.

        With `truncated` the episode is over, and its last step says so, if it has not left yet.
        """
        ...


class Acknowledgement(NamedTuple):
    """What a Storage promises: these steps will be sampled, and will not be stored twice."""

    first: int  # index of the chunk's first transition
    steps: int
    repeated: bool  # True: this chunk had been stored before; nothing was added


@runtime_checkable
class Storage(Protocol):
    """Keeps experience. Thread-safe."""

    def append(self, chunk: Chunk) -> Acknowledgement:
        """Store a chunk. Idempotent by (source, episode, sequence). Raises BadChunk, Closed."""
        ...

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """n transitions, uniform over those stored now, with replacement; each with up to horizon - 1 that follow it.

        They are written into the arrays of `out`, such as those of an earlier batch, or into new ones.

        What follows ends with the episode, and earlier where the storage does not hold the next step. It may belong to
        chunks that a view does not select.

        Raises:
            BadOption: nothing is stored, `horizon` is below 1, or `out` has no room for such a batch.
        """
        ...

    def view(self, where: str) -> Storage:
        """The transitions that a condition over columns selects; it grows and changes as the storage does. Read-only."""
        ...

    def __len__(self) -> int:
        """Number of transitions."""
        ...

    def stats(self) -> Mapping[str, float]:
        """Counts and bytes of what is stored now."""
        ...

    def close(self) -> None:
        """Let go of memory and files."""
        ...
