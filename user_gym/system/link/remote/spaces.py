"""Gymnasium's spaces as trees that can travel, and back. What is none of these an edge cannot serve under `User/Remote-v0`."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from user_gym.errors import BadBlock, BadOption

_MOST = 1 << 28  # bytes of a space and of all its parts together: bounds take as much memory as soon as they are made


def described(space: gymnasium.Space[Any]) -> dict[str, Any]:
    """A tree. Raises BadOption."""
    match space:
        case spaces.Box():
            low, high = (_one_or_all(bound) for bound in (space.low, space.high))
            return {"space": "Box", "dtype": str(space.dtype), "shape": list(space.shape), "low": low, "high": high}
        case spaces.Discrete():
            return {"space": "Discrete", "n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete():
            return {"space": "MultiDiscrete", "n": np.asarray(space.nvec, np.int64)}
        case spaces.MultiBinary():
            return {"space": "MultiBinary", "shape": list(space.shape)}
        case spaces.Dict():
            return {"space": "Dict", "parts": {name: described(part) for name, part in space.spaces.items()}}
        case spaces.Tuple():
            return {"space": "Tuple", "parts": [described(part) for part in space.spaces]}
    raise BadOption("space", space, "Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple")


def space_of(tree: Any) -> gymnasium.Space[Any]:
    """The inverse of `described`. Raises BadBlock."""
    try:
        if (size := _nbytes(tree)) > _MOST:
            raise ValueError(f"{size} bytes; allowed: {_MOST}")
        return _space(tree)
    except (
        AssertionError,
        TypeError,
        ValueError,
        KeyError,
        OverflowError,
    ) as error:  # Gymnasium's own words for what is no space
        raise BadBlock("space of an edge", tree, "one of Gymnasium's", cure=str(error)) from error


def _space(tree: Any) -> gymnasium.Space[Any]:
    match tree:
        case {"space": "Box", "dtype": str() as dtype, "shape": list() as shape, "low": low, "high": high}:
            shape = _shape(shape)
            if np.dtype(dtype).kind not in "biuf":
                raise ValueError(f"dtype {dtype}")
            bounds = [np.broadcast_to(bound, shape).astype(dtype) for bound in (low, high)]
            return spaces.Box(bounds[0], bounds[1], shape, np.dtype(dtype).type)
        case {"space": "Discrete", "n": int() as n, "start": int() as start}:
            return spaces.Discrete(n, start=start)
        case {"space": "MultiDiscrete", "n": np.ndarray() as n}:
            return spaces.MultiDiscrete(n)
        case {"space": "MultiBinary", "shape": list() as shape}:
            return spaces.MultiBinary(_shape(shape))
        case {"space": "Dict", "parts": dict() as parts}:
            return spaces.Dict({name: _space(part) for name, part in parts.items()})
        case {"space": "Tuple", "parts": list() as parts}:
            return spaces.Tuple([_space(part) for part in parts])
    raise ValueError("unknown kind of space")


def _one_or_all(bound: np.ndarray) -> np.ndarray:
    """One number where all are equal, so that the bounds of a picture are not as large as two pictures."""
    return bound.flat[:1].reshape(()) if bound.size and (bound == bound.flat[0]).all() else bound


def _shape(shape: list[Any]) -> tuple[int, ...]:
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"shape {shape}")
    return tuple(shape)


def _nbytes(tree: Any) -> int:
    """Of one bound of a space, before anything of it is made."""
    match tree:
        case {"space": "Dict", "parts": dict() as parts}:
            return sum(_nbytes(part) for part in parts.values())
        case {"space": "Tuple", "parts": list() as parts}:
            return sum(_nbytes(part) for part in parts)
        case {"space": "Box", "dtype": str() as dtype, "shape": list() as shape}:
            return math.prod(max(n, 1) for n in _shape(shape)) * np.dtype(dtype).itemsize
        case {"shape": list() as shape}:
            return math.prod(max(n, 1) for n in _shape(shape))
    return 0
