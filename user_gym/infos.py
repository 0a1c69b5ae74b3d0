"""Infos of many arms as Gymnasium batches them: each key an array with one row an arm, each `_key` a mask of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from user_gym.core import F32, F64, I64, Bool, Judgement

Infos = dict[str, Any]
_NONE: Mapping[str, I64] = MappingProxyType({})


def acting(
    mask: Bool, judged: Judgement, executed: F32, clipped: Bool | bool, time: F64, stages: Mapping[str, I64] = _NONE
) -> Infos:
    """Of the arms of mask (n,), which took a step; `stages` (n,) each is how far the task says that they are."""
    n = len(mask)
    return _masked(
        mask,
        {
            "is_success": judged.success & mask,
            "is_intervention": np.zeros(n, bool),
            "teleop_action": np.where(mask[:, None], executed, np.float32(0)),
            "executed_action": np.where(mask[:, None], executed, np.float32(0)),
            "safety_clipped": np.broadcast_to(clipped, (n,)) & mask,
            "terminate_episode": np.zeros(n, bool),
            "rerecord_episode": np.zeros(n, bool),
            "discrete_penalty": np.zeros(n),
            "time": np.where(mask, time, 0.0),
            **_of(mask, stages),
        },
    )


def resting(mask: Bool, time: F64, drawn: Mapping[str, F64], stages: Mapping[str, I64] = _NONE) -> Infos:
    """Of the arms of mask (n,), which were reset; `drawn` (n,) each is what the backend drew for their episodes."""
    n = len(mask)
    values = {"is_success": np.zeros(n, bool), "is_intervention": np.zeros(n, bool), "time": np.where(mask, time, 0.0)}
    return _masked(mask, values | _of(mask, drawn) | _of(mask, stages))


def merge(info: Infos, more: Infos, mask: Bool) -> None:
    """Put the rows of mask of `more` into `info`."""
    for key, value in more.items():
        if key.startswith("_"):
            info[key] = info.get(key, np.zeros_like(mask)) | value
        else:
            info[key] = np.where(_rows(mask, value), value, info.get(key, np.zeros_like(value)))


def finish(info: Infos, done: Bool, final_obs: np.ndarray) -> Infos:
    """Same-step reset: rows of done move to final_info, beside final_obs (n,) objects; the others stay."""
    final_info: Infos = {}
    rest: Infos = {"final_obs": final_obs, "_final_obs": done, "final_info": final_info, "_final_info": done}
    for key in [k for k in info if not k.startswith("_")]:
        value, mask = info[key], info[f"_{key}"]
        final_info[key] = np.where(_rows(done, value), value, np.zeros_like(value))
        final_info[f"_{key}"] = done & mask
        going_on = mask & ~done
        if going_on.any():
            rest[key], rest[f"_{key}"] = np.where(_rows(going_on, value), value, np.zeros_like(value)), going_on
    return rest


def collate(rows: Sequence[Mapping[str, Any]]) -> Infos:
    """Infos of single environments, each with what keys it has, as Gymnasium's own vectorisers batch them."""
    info: Infos = {}
    n = len(rows)
    for key in dict.fromkeys(key for row in rows for key in row):
        mask = np.array([key in row for row in rows])
        values = [row.get(key) for row in rows]
        given = next(value for value in values if value is not None)
        if isinstance(given, Mapping) and key != "final_obs":
            info[key] = collate([value or {} for value in values])
        else:
            info[key] = array = _room(key, given, n)
            for i in np.flatnonzero(mask):
                array[i] = values[i]
        info[f"_{key}"] = mask
    return info


def _room(key: str, value: Any, n: int) -> np.ndarray:
    """Where n such values go."""
    if key != "final_obs" and isinstance(value, np.ndarray):
        return np.zeros((n, *value.shape), value.dtype)
    if isinstance(value, bool | int | float | np.number):
        return np.zeros(n, type(value))
    return np.full(n, None, object)


def _of(mask: Bool, values: Mapping[str, F64] | Mapping[str, I64]) -> Infos:
    """The values (n,) of the rows of mask, 0 elsewhere."""
    return {name: np.where(mask, value, np.zeros_like(value)) for name, value in values.items()}


def _masked(mask: Bool, values: Infos) -> Infos:
    return {k: v for key, value in values.items() for k, v in ((key, value), (f"_{key}", mask.copy()))}


def _rows(mask: Bool, value: np.ndarray) -> Bool:
    """The mask shaped so that it selects rows of value."""
    return mask.reshape(-1, *[1] * (value.ndim - 1))
