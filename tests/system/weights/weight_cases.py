"""Weights to send in tests: float32 ones, a counter, and two names for one array."""

from __future__ import annotations

import numpy as np

from user_gym.core import Weights


def policy(seed=0, n=20_000):
    rng = np.random.default_rng(seed)
    embedding = rng.normal(0, 0.05, (50, 40)).astype(np.float32)
    return {
        "embedding": embedding,
        "body": rng.normal(0, 0.05, n).astype(np.float32),
        "head": embedding,
        "steps": np.array(3),
        "adapter": np.zeros((8, 4), np.float32),
    }


def moved(arrays, seed=1, scale=1e-4, names=("embedding", "body", "adapter")):
    """The next version: some tensors a little different, one step more."""
    rng = np.random.default_rng(seed)
    after = {
        name: array + rng.normal(0, scale, array.shape).astype(np.float32) for name, array in arrays.items() if name in names
    }
    after = arrays | after | {"steps": arrays["steps"] + 1}
    return after | {"head": after["embedding"]}  # tied


def same(weights: Weights, arrays) -> bool:
    """Bit for bit."""
    return set(weights.arrays) == set(arrays) and all(
        weights.arrays[name].dtype == array.dtype and weights.arrays[name].tobytes() == array.tobytes()
        for name, array in arrays.items()
    )
