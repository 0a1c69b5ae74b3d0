"""Policies whose answers tell what they were asked."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Weights
from user_gym.errors import BadOption


class Telling:
    """Actions (3, 6) full of the state's first number and the weights' one; keeps what it saw."""

    spec_hash = "telling"

    def __init__(self) -> None:
        self.version = -1
        self.bias = 0.0
        self.seen: list[dict[str, NDArray[Any]]] = []
        self.deterministic: list[bool] = []
        self.seeds: list[int | None] = []

    def reset(self, seed: int | None = None) -> None:
        self.seeds.append(seed)

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        self.seen.append(dict(obs))
        self.deterministic.append(deterministic)
        value = float(obs["state"][0]) + self.bias
        return ActionChunk(np.full((3, 6), value, np.float32), self.version, {"log_prob": np.arange(3, dtype=np.float32)})

    def load(self, weights: Weights) -> None:
        if weights.spec_hash != self.spec_hash:
            raise BadOption("spec_hash", weights.spec_hash, self.spec_hash)
        self.bias, self.version = float(weights.arrays["bias"][0]), weights.version


class Held(Telling):
    """Answers only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = Event(), Event()

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        self.asked.set()
        assert self.let.wait(20.0)
        return super().act(obs, deterministic)


class Failing(Telling):
    """Fails as no policy should."""

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        raise ZeroDivisionError("the model is gone")


def observation(value: float = 0.25) -> dict[str, NDArray[Any]]:
    """A state that begins with `value`, and two pictures."""
    state = np.zeros(19, np.float32)
    state[0] = value
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
    return {"state": state, "wrist": pictures[0], "side": pictures[1]}
