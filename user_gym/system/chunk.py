"""Steps of one episode become `core.Chunk` records. This knows neither environment nor storage, only what a step returns."""

from __future__ import annotations

import math
import sys
import time as _time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Chunk, real
from user_gym.errors import BadChunk, BadOption, NotReset

_FIRST_ROWS = 64
KINDS = ("policy", "demo")
_NOBODY = -1  # policy version of a step that no policy chose
_ACTIONS = ("action", "ordered")
_STEP_COLUMNS = {
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "success": np.bool_,
    "policy_version": np.int64,
    "is_intervention": np.bool_,
    "time": np.float64,
}
_NUMBERS = (
    ("episode", (int, np.integer), "a whole number"),
    ("sequence", (int, np.integer), "a whole number"),
    ("wall_time", (int, float, np.integer, np.floating), "a number, s"),
    ("clock_offset", (int, float, np.integer, np.floating), "a number, s"),
)


class ChunkBuilder:
    """Collects the steps of one episode after another in preallocated columns.

    A chunk is complete at the end of an episode, and before it would span more than `max_seconds` of robot time. The last
    observation of a chunk is the first of the next one. A chunk owns its arrays: the builder never writes them again.

    Args:
        source: who collects; unique in a run.
        robot: name as in gym.make.
        task: name of the task.
        kind: "policy" or "demo".
        max_seconds: longest robot time in one chunk, s.
        period: s of robot time per step, used where info has no "time".
        clock: which clock info["time"] is on, such as "sim".
        wall_clock: s since the epoch.
        env_id: as in gym.make.
        spec_hash: of the environment's spaces; `system.spec_hash` makes it.
        extra: further columns of a step: name -> the row (an array or numpy scalar) of steps for which none is given, and of
            a human's, such as {"log_prob": np.float32("nan")}.
    """

    def __init__(
        self,
        source: str,
        robot: str,
        task: str,
        kind: str = "policy",
        *,
        max_seconds: float = 1.0,
        period: float = 0.1,
        clock: str = "sim",
        wall_clock: Callable[[], float] = _time.time,
        env_id: str = "",
        spec_hash: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if kind not in KINDS:
            raise BadOption("kind", kind, " or ".join(KINDS))
        max_seconds = real("max_seconds", max_seconds, sys.float_info.min, math.inf, "s > 0")
        period = real("period", period, sys.float_info.min, sys.float_info.max, "s > 0")
        self._source, self._robot, self._task, self._kind, self._clock = source, robot, task, kind, clock
        self._max_seconds, self._period, self._wall_clock = max_seconds, period, wall_clock
        self._env_id, self._spec_hash = env_id, spec_hash
        self._absent = {name: np.asarray(row) for name, row in (extra or {}).items()}
        self._extra: dict[str, NDArray[Any]] = {}
        self._columns: dict[str, NDArray[Any]] = {}
        self._obs: dict[str, NDArray[Any]] = {}
        self._sources: list[str] = []
        self._running = False

    def start(self, obs: Mapping[str, NDArray[Any]], episode: int, time: float = 0.0) -> None:
        """As `core.Builder.start`."""
        if not isinstance(obs, Mapping):
            raise BadChunk(f"observation is {type(obs).__name__}; allowed: a mapping, name -> array, such as {{'state': obs}}")
        self._episode, self._sequence, self._rows = episode, 0, 0
        self._sources = []
        self._now = self._chunk_began = time
        self._wall = self._chunk_wall = self._wall_clock()
        columns: dict[str, NDArray[Any]] = {}
        for name, value in obs.items():
            value = np.asarray(value)
            old = self._obs.get(name)
            fits = old is not None and old.shape[1:] == value.shape and old.dtype == value.dtype
            columns[name] = old if old is not None and fits else np.empty((_FIRST_ROWS + 1, *value.shape), value.dtype)
            columns[name][0] = value
        self._obs = columns
        self._running = True

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
        """As `core.Builder.add`."""
        if not self._running:
            raise NotReset("ChunkBuilder.add before start; call start with the observation of env.reset")
        executed = np.asarray(info.get("executed_action", action), np.float32)
        ordered = np.asarray(info.get("intervene_action", action), np.float32)
        by_human = bool(info.get("is_intervention", False))
        self._make_room(executed, ordered)
        self._robot, self._task = str(info.get("robot", self._robot)), str(info.get("task", self._task))
        row, before = self._rows, self._now
        now = float(info.get("time", before + self._period))
        columns = self._columns
        columns["action"][row] = executed
        columns["ordered"][row] = ordered
        columns["reward"][row] = reward
        columns["terminated"][row] = terminated
        columns["truncated"][row] = truncated
        columns["success"][row] = bool(info.get("is_success", False))
        columns["is_intervention"][row] = by_human
        columns["policy_version"][row] = _NOBODY if by_human else version
        columns["time"][row] = now
        self._write_extra(row, {} if by_human or extra is None else extra)
        self._write_obs(row + 1, obs)
        self._now, self._wall = now, self._wall_clock()
        self._sources.append(str(info.get("reward_source", "rule")))
        self._rows += 1
        # One more step as long as the last would leave the chunk's span; the slack absorbs rounding of summed periods.
        full = now - self._chunk_began + (now - before) > self._max_seconds * (1 + 1e-9)
        if not (terminated or truncated or full):
            return None
        chunk = self._emit()
        self._running = not (terminated or truncated)
        return chunk

    def flush(self, truncated: bool = False) -> Chunk | None:
        """As `core.Builder.flush`."""
        rest = None
        if self._running and self._rows:
            self._columns["truncated"][self._rows - 1] |= truncated
            rest = self._emit()
        self._running = self._running and not truncated
        return rest

    def _make_room(self, action: NDArray[Any], ordered: NDArray[Any]) -> None:
        if ordered.shape != action.shape:
            raise BadChunk(f"the ordered action has shape {ordered.shape}; allowed: {action.shape}, as the executed one")
        if not self._columns or self._columns["action"].shape[1:] != action.shape:
            if action.ndim != 1 or self._rows:
                raise BadChunk(f"action has shape {action.shape}; allowed: (action,), the same for all steps of a chunk")
            self._columns = {name: np.empty(_FIRST_ROWS, dtype) for name, dtype in _STEP_COLUMNS.items()}
            self._columns |= {name: np.empty((_FIRST_ROWS, *action.shape), np.float32) for name in _ACTIONS}
            self._extra = {name: np.empty((_FIRST_ROWS, *row.shape), row.dtype) for name, row in self._absent.items()}
        room = len(self._columns["reward"])
        if self._rows == room:
            self._columns = {name: _longer(column, 2 * room) for name, column in self._columns.items()}
            self._extra = {name: _longer(column, 2 * room) for name, column in self._extra.items()}
        for name, column in self._obs.items():
            if self._rows + 1 == len(column):
                self._obs[name] = _longer(column, 2 * self._rows + 1)

    def _write_extra(self, row: int, extra: Mapping[str, Any]) -> None:
        if not extra.keys() <= self._extra.keys():
            raise BadChunk(f"extra has {sorted(extra)}; allowed: {sorted(self._extra)}, as given to the ChunkBuilder")
        for name, column in self._extra.items():
            value = np.asarray(extra.get(name, self._absent[name]))
            if value.shape != column.shape[1:]:
                raise BadChunk(f"extra {name!r} has shape {value.shape}; allowed: {column.shape[1:]}")
            column[row] = value

    def _write_obs(self, row: int, obs: Mapping[str, NDArray[Any]]) -> None:
        if obs.keys() != self._obs.keys():
            raise BadChunk(f"observation has keys {sorted(obs)}; the episode began with {sorted(self._obs)}")
        for name, column in self._obs.items():
            value = np.asarray(obs[name])
            if value.shape != column.shape[1:] or value.dtype != column.dtype:
                began = f"{column.dtype}{column.shape[1:]}"
                raise BadChunk(f"observation {name!r} is {value.dtype}{value.shape}; the episode began with {began}")
            column[row] = value

    def _emit(self) -> Chunk:
        n, columns = self._rows, self._columns
        own = {name: column[:n].copy() for name, column in columns.items()}
        chunk = Chunk(
            source=self._source,
            episode=self._episode,
            sequence=self._sequence,
            robot=self._robot,
            task=self._task,
            kind=self._kind,
            obs={name: column[: n + 1].copy() for name, column in self._obs.items()},
            reward_source=tuple(self._sources),
            **own,
            wall_time=self._chunk_wall,
            clock=self._clock,
            clock_offset=self._chunk_wall - self._chunk_began,
            env_id=self._env_id,
            spec_hash=self._spec_hash,
            extra={name: column[:n].copy() for name, column in self._extra.items()},
        )
        for column in self._obs.values():
            column[0] = column[n]
        self._sources, self._rows = [], 0
        self._sequence += 1
        self._chunk_began, self._chunk_wall = self._now, self._wall
        return chunk


def _longer(column: NDArray[Any], rows: int) -> NDArray[Any]:
    longer = np.empty((rows, *column.shape[1:]), column.dtype)
    longer[: len(column)] = column
    return longer


def check_types(chunk: object) -> None:
    """Raise BadChunk unless something is a chunk of arrays, numbers and text, whatever they say."""
    if not isinstance(chunk, Chunk):
        raise BadChunk(f"{type(chunk).__name__} is no chunk; allowed: core.Chunk")
    where = f"chunk {chunk.sequence!r} of episode {chunk.episode!r} from {chunk.source!r}"
    for name, kinds, allowed in _NUMBERS:
        number = getattr(chunk, name)
        if isinstance(number, bool) or not isinstance(number, kinds):
            raise BadChunk(f"{where}: {name} is {number!r}; allowed: {allowed}")
    arrays = {name: getattr(chunk, name) for name in (*_ACTIONS, *_STEP_COLUMNS)}
    for name, column in (*arrays.items(), *chunk.obs.items(), *chunk.extra.items()):
        if not isinstance(name, str):
            raise BadChunk(f"{where}: a column has the name {name!r}; allowed: text")
        if not isinstance(column, (np.ndarray, np.generic)) or isinstance(column, np.ma.MaskedArray):
            raise BadChunk(f"{where}: {name!r} is of type {type(column).__name__}; allowed: numpy.ndarray without a mask")
    if not all(isinstance(source, str) for source in chunk.reward_source):
        raise BadChunk(f"{where}: reward_source is {chunk.reward_source!r}; allowed: text for each step")


def check(chunk: Chunk) -> None:
    """Raise BadChunk, naming the column, unless the columns of a chunk fit together."""
    check_types(chunk)
    where = f"chunk {chunk.sequence} of episode {chunk.episode} from {chunk.source!r}"
    steps = len(chunk.reward)
    if steps == 0:
        raise BadChunk(f"{where} has no steps; allowed: 1 or more")
    if chunk.kind not in KINDS:
        raise BadChunk(f"{where} has kind {chunk.kind!r}; allowed: {' or '.join(KINDS)}")
    if chunk.episode < 0 or chunk.sequence < 0:
        raise BadChunk(f"{where} has a negative number; episodes and sequences count from 0")
    if not chunk.obs:
        raise BadChunk(f"{where} has no observation column; allowed: 1 or more")
    for name, column in chunk.obs.items():
        if len(column) != steps + 1:
            raise BadChunk(f"{where}: observation {name!r} has {len(column)} rows; {steps} steps need {steps + 1}")
    for name in _ACTIONS:
        column = getattr(chunk, name)
        if column.dtype != np.float32 or column.ndim != 2:
            raise BadChunk(f"{where}: {name} is {column.dtype}{column.shape}; allowed: float32 (steps, action)")
    for name, dtype in _STEP_COLUMNS.items():
        column = getattr(chunk, name)
        if column.dtype != dtype or column.ndim != 1:
            raise BadChunk(f"{where}: {name} is {column.dtype}{column.shape}; allowed: {np.dtype(dtype)} (steps,)")
    for name in (*_ACTIONS, *_STEP_COLUMNS, "reward_source"):
        if len(getattr(chunk, name)) != steps:
            raise BadChunk(f"{where}: {name} has {len(getattr(chunk, name))} rows; reward has {steps}")
    for name, column in chunk.extra.items():
        if np.shape(column)[:1] != (steps,):
            raise BadChunk(f"{where}: extra {name!r} has shape {np.shape(column)}; reward has {steps} rows")
    if chunk.ordered.shape != chunk.action.shape:
        raise BadChunk(f"{where}: ordered has shape {chunk.ordered.shape}; action has {chunk.action.shape}")
    numbers = {name: getattr(chunk, name) for name in (*_ACTIONS, "reward", "time")}
    numbers |= {f"observation {name!r}": column for name, column in chunk.obs.items() if column.dtype.kind == "f"}
    for name, column in numbers.items():
        finite = np.isfinite(column)
        if not finite.all():
            raise BadChunk(f"{where}: {name} is not finite in row {int(np.argwhere(~finite)[0][0])}")
    if steps > 1 and not (np.diff(chunk.time) > 0).all():
        row = int(np.argmax(np.diff(chunk.time) <= 0)) + 1
        raise BadChunk(f"{where}: time does not increase at row {row}: {chunk.time[row - 1]} s, then {chunk.time[row]} s")
    over = (chunk.terminated | chunk.truncated)[:-1]
    if over.any():
        raise BadChunk(
            f"{where}: the episode ends in row {int(np.argmax(over))} of {steps}; a chunk ends where its episode ends"
        )
