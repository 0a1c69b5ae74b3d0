"""What of an observation travels to the learner, and so what the policy acts on: which columns, how large, how coded.

One declaration for both: weights that were learned from other pictures than the policy sees would be of no use to it. The rate
is that of the steps. What devices say beyond that stays at the edge: see `link.raw`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation
from numpy.typing import NDArray

from user_gym.core import whole
from user_gym.errors import BadOption, MissingExtra, UnknownName
from user_gym.system.buffer.layout import HEAVY_BYTES, OBS, STEP_COLUMNS


class Declared(NamedTuple):
    """One column, before anything is sent."""

    column: str  # as `Column.key`
    form: str  # dtype and shape of a row
    nbytes: int  # of a step, before coding; a lossless coding never makes it more
    coding: str


@dataclass(frozen=True, slots=True)
class TrainingGroup:
    """As declared for a run."""

    columns: tuple[str, ...] | None = None  # of the observation; None: all
    picture: tuple[int, int] | None = None  # (height, width) of all pictures, which divide those of the env; None: as it gives
    jpeg: int | None = None  # quality of all pictures; None: lossless
    zstd: bool = False  # Zstandard may press them, where it makes them smaller than LZ4 does

    def __post_init__(self) -> None:
        if self.picture is not None:
            for side in self.picture:
                whole("picture", side, 1)
        if self.jpeg is not None and whole("jpeg", self.jpeg, 1) > 100:
            raise BadOption("jpeg", self.jpeg, "1 .. 100, quality of JPEG")
        if self.zstd and find_spec("zstandard") is None:  # now, and not when the first robot has moved
            raise MissingExtra("zstandard", "zstd")

    def wrap(self, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
        """The env with these observations; itself where nothing is to be changed. Raises UnknownName, BadOption."""
        if self.columns is None and self.picture is None:
            return env
        space = env.observation_space
        if not isinstance(space, spaces.Dict):
            raise BadOption("columns of an observation", self.columns or self.picture, "an env whose observations are dicts")
        chosen = list(space.spaces) if self.columns is None else list(self.columns)
        for name in chosen:
            if name not in space.spaces:
                raise UnknownName("column of the observation", name, space.spaces)
        shrinking = {name: self._factors(name, space[name]) for name in chosen if self.picture and _is_picture(space[name])}
        shrunk = {name: _shrunk_space(space[name], shrinking[name]) if name in shrinking else space[name] for name in chosen}

        def taken(obs: Any) -> Any:
            return {name: _shrunk(obs[name], shrinking[name]) if name in shrinking else obs[name] for name in chosen}

        return TransformObservation(env, taken, spaces.Dict(shrunk))

    def lossy(self, space: spaces.Space[Any]) -> Mapping[str, int]:
        """Column -> quality of JPEG."""
        if self.jpeg is None:
            return {}
        return {name: self.jpeg for name, part in _columns(space).items() if _is_picture(part) and _nbytes(part) >= HEAVY_BYTES}

    def declared(self, space: spaces.Space[Any], actions: spaces.Space[Any]) -> list[Declared]:
        """What a step of an env with these spaces brings: for who wants to know before it does."""
        lossy, size = self.lossy(space), math.prod(actions.shape or ())
        rows: list[Declared] = []
        for name, part in _columns(space).items():
            coding = "with light"
            if name in lossy:
                coding = f"jpeg {self.jpeg}"
            elif _nbytes(part) >= HEAVY_BYTES and part.shape:
                coding = "lz4 or zstd" if self.zstd else "lz4"
            rows.append(Declared(f"{OBS}.{name}", f"{part.dtype}{list(part.shape or ())}", _nbytes(part), coding))
        for name, (dtype, axes) in STEP_COLUMNS.items():
            kind = np.dtype(dtype)
            rows.append(Declared(name, f"{kind}{[size] * axes}", kind.itemsize * size**axes, "with light"))
        return rows

    def _factors(self, name: str, space: spaces.Space[Any]) -> tuple[int, int]:
        assert self.picture is not None
        assert space.shape is not None
        (height, width), (rows, columns) = space.shape[:2], self.picture
        if height % rows or width % columns:
            raise BadOption(f"picture of {name!r}", self.picture, f"sides that divide {height} x {width} without rest")
        return height // rows, width // columns


def _columns(space: spaces.Space[Any]) -> Mapping[str, spaces.Space[Any]]:
    return space.spaces if isinstance(space, spaces.Dict) else {"obs": space}


def _is_picture(space: spaces.Space[Any]) -> bool:
    return space.dtype == np.uint8 and len(space.shape or ()) == 3


def _nbytes(space: spaces.Space[Any]) -> int:
    return math.prod(space.shape or ()) * np.dtype(space.dtype).itemsize


def _shrunk_space(space: spaces.Space[Any], factors: tuple[int, int]) -> spaces.Box:
    assert space.shape is not None
    height, width, *rest = space.shape
    return spaces.Box(0, 255, (height // factors[0], width // factors[1], *rest), np.uint8)


def _shrunk(image: NDArray[np.uint8], factors: tuple[int, int]) -> NDArray[np.uint8]:
    """Each pixel the mean of those that it stands for."""
    (rows, columns), (height, width, colours) = factors, image.shape
    parts = image.reshape(height // rows, rows, width // columns, columns, colours)
    total = parts.sum(axis=(1, 3), dtype=np.uint32)
    return ((total + rows * columns // 2) // (rows * columns)).astype(np.uint8)
