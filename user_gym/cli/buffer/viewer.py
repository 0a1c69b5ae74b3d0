"""An episode in the viewer Rerun: every picture and every number, on the time of the robot."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from user_gym.core import Chunk
from user_gym.errors import MissingExtra

_NUMBERS = ("reward", "policy_version", "is_intervention")


def show(chunks: Iterable[Chunk], name: str, out: Path | None = None) -> None:
    """Send an episode to a viewer, which is started, or write it into a file that a viewer opens.

    Args:
        chunks: of the episode, in order.
        name: of the episode.
        out: a file; None: a viewer.

    Raises:
        MissingExtra: Rerun is not installed.
    """
    try:
        rr: Any = import_module("rerun")  # no stubs where it is not installed
    except ImportError as error:
        raise MissingExtra("rerun", "rerun") from error
    rr.init(f"user-gym {name}", spawn=out is None)
    if out is not None:
        rr.save(out)
    began: float | None = None
    for chunk in chunks:
        first = chunk.wall_time - chunk.clock_offset
        began = first if began is None else began
        times = np.concatenate([[first], chunk.time]) - began
        for row in range(len(chunk) + 1):
            rr.set_time("time", duration=float(times[row]))
            for camera, column in chunk.obs.items():
                if column.dtype == np.uint8 and column.ndim >= 3:
                    rr.log(f"obs/{camera}", rr.Image(column[row]))
                elif column.ndim == 2:
                    rr.log(f"obs/{camera}", rr.Scalars(column[row].astype(float)))
            if row < len(chunk):
                rr.log("action", rr.Scalars(chunk.action[row].astype(float)))
                rr.log("ordered", rr.Scalars(chunk.ordered[row].astype(float)))
                for number in _NUMBERS:
                    rr.log(number, rr.Scalars(float(getattr(chunk, number)[row])))
