"""What callers say to many arms at once, read and checked in one place: counts, modes, seeds, masks, starts, actions, rows."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from user_gym.core import F64, Bool, Workspace
from user_gym.env import wanted
from user_gym.errors import BadAction, BadOption, NotReset


def count(num_envs: object) -> int:
    """How many arms. Raises BadOption."""
    if not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise BadOption("num_envs", num_envs, "a whole number, 1 or more")
    return int(num_envs)


def episode(max_episode_steps: Any, own: int) -> int:
    """Steps of an episode; None: the task's `own`. Raises BadOption."""
    if max_episode_steps is None:
        return own
    if not (isinstance(max_episode_steps, int | np.integer) and max_episode_steps > 0):
        raise BadOption("max_episode_steps", max_episode_steps, "1 or more, or None for the task's own")
    return int(max_episode_steps)


def render_mode(mode: Any) -> str | None:
    """How many arms are drawn. Raises BadOption."""
    if mode is not None and mode != "rgb_array":
        raise BadOption("render_mode", mode, "None | rgb_array")
    return mode


def autoreset(mode: AutoresetMode | str) -> AutoresetMode:
    """What happens to an arm whose episode ended. Raises BadOption."""
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise BadOption("autoreset_mode", mode, " | ".join(m.value for m in AutoresetMode)) from None


def seeds(seed: Any, n: int) -> list[int | None]:
    """One seed for each of n arms, None where it goes on drawing. Raises BadOption."""
    if seed is None:
        return [None] * n
    if _whole(seed):
        return [int(seed) + i for i in range(n)]
    if isinstance(seed, list | tuple | np.ndarray) and len(seed) == n and all(s is None or _whole(s) for s in seed):
        return [None if s is None else int(s) for s in seed]
    raise BadOption("seed", seed, f"a whole number, 0 or more, or a list of {n} of them")


def mask(value: Any, n: int, first: bool) -> Bool:
    """Which of n arms a reset is for; the `first` one is for all. Raises BadOption, NotReset."""
    if value is None:
        return np.ones(n, bool)
    if not isinstance(value, np.ndarray) or value.dtype != bool or value.shape != (n,) or not value.any():
        raise BadOption("reset_mask", value, f"a bool array of shape ({n},) with at least one True")
    if first and not value.all():
        raise NotReset("a first reset of some arms only; reset all of them once")
    return value


def starts(options: Mapping[str, Any], among: Bool, box: Workspace) -> dict[int, F64 | None]:
    """Where each arm of `among` (n,) is to start, if the options of a reset say so. Raises BadOption."""
    tcp, n = options.get("tcp"), len(among)
    each = isinstance(tcp, np.ndarray | list | tuple) and len(tcp) == n and np.ndim(tcp[0]) == 1
    rows = tcp if tcp is not None and each else [tcp] * n
    return {i: wanted({**options, "tcp": rows[i]}, box) for i in np.flatnonzero(among).tolist()}


def actions(value: object, shape: tuple[int, ...]) -> F64:
    """Actions as an array of their own. Raises BadAction where they are no numbers or not of that shape."""
    allowed = f"an array of shape {shape} of numbers in [-1, 1]"
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise BadAction(f"actions {reprlib.repr(value)} ({error}); allowed: {allowed}") from None
    if array.shape != shape or array.dtype.kind not in "biuf":
        shown = "" if isinstance(value, np.ndarray) else f"{reprlib.repr(value)}, "
        raise BadAction(f"actions {shown}of shape {array.shape} and dtype {array.dtype}; allowed: {allowed}")
    return array.astype(np.float64)


def ids(value: Any, n: int) -> list[int]:
    """Which of n arms are meant; None: all. Raises BadOption where one is none, or named twice."""
    if value is None:
        return list(range(n))
    rows = np.asarray(value)
    named = set(rows.tolist()) if rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer) else set()
    if not named or len(named) < rows.size or not named <= set(range(n)):
        raise BadOption("ids", value, f"different whole numbers, 0 .. {n - 1}")
    return rows.tolist()


def _whole(seed: Any) -> bool:
    return isinstance(seed, int | np.integer) and bool(seed >= 0)
