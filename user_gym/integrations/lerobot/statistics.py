"""What LeRobot normalises with: minimum, maximum, mean, deviation and quantiles of each feature. It knows no file.

Of numbers that are not finite, such as the log_prob of a human's step, none counts. Pictures count as 0..1 by channel, a few
frames of an episode, each point in so many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Stats = dict[str, NDArray[Any]]  # name -> (...), of one feature
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
FRAMES = 32  # of an episode that are looked at
_SIDE = 150  # points of a picture's longer side that are looked at, roughly


def of_numbers(rows: NDArray[Any]) -> Stats:
    """Of rows (n, ...): each statistic has the shape of a row, (1,) where that is a number."""
    values = rows.reshape(len(rows), -1).astype(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    values[:, np.isnan(values).all(axis=0)] = 0.0
    return _of(values, rows.shape[1:] or (1,))


def of_pictures(frames: NDArray[np.uint8]) -> Stats:
    """Of frames (n, height, width, 3): each statistic is (3, 1, 1)."""
    step = max(1, max(frames.shape[1:3]) // _SIDE)
    points = frames[:, ::step, ::step].reshape(-1, 3) / 255.0
    return _of(points, (3, 1, 1)) | {"count": np.array([len(frames)])}


def joined(parts: Sequence[Mapping[str, Stats]]) -> dict[str, Stats]:
    """Of several episodes together; quantiles as the weighted mean of theirs, as LeRobot has it."""
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _of(values: NDArray[np.float64], shape: tuple[int, ...]) -> Stats:
    made = {
        "min": np.nanmin(values, axis=0),
        "max": np.nanmax(values, axis=0),
        "mean": np.nanmean(values, axis=0),
        "std": np.nanstd(values, axis=0),
        **dict(zip(QUANTILES, np.nanquantile(values, list(QUANTILES.values()), axis=0), strict=True)),
    }
    return {name: value.reshape(shape) for name, value in made.items()} | {"count": np.array([len(values)])}


def _joined(parts: Sequence[Stats]) -> Stats:
    counts = np.array([int(part["count"][0]) for part in parts])
    weights = (counts / counts.sum()).reshape(-1, *[1] * parts[0]["mean"].ndim)
    stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0] if name != "count"}
    mean = (weights * stacked["mean"]).sum(axis=0)
    variance = (weights * (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2)).sum(axis=0)
    return {
        "min": stacked["min"].min(axis=0),
        "max": stacked["max"].max(axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        **{name: (weights * stacked[name]).sum(axis=0) for name in QUANTILES},
        "count": np.array([counts.sum()]),
    }
