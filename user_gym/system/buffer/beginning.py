"""A chunk whose first observation lay in another that is gone: it begins one step later. It knows no store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from user_gym.core import Chunk
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.layout import OBS, STEP_COLUMNS


def without_first(block: Block) -> Chunk | None:
    """The chunk of a block whose first observation is lost, from its second step on; None if it has but one."""
    if block.head.steps == 1:
        return None
    unknown = {c.name: np.zeros(c.shape, c.dtype) for c in block.head.layout.columns if c.of == OBS}
    chunk = block.chunk(unknown)
    columns = {name: getattr(chunk, name)[1:] for name in (*STEP_COLUMNS, "reward_source")}
    return replace(
        chunk,
        **columns,
        obs={name: column[1:] for name, column in chunk.obs.items()},
        extra={name: column[1:] for name, column in chunk.extra.items()},
        wall_time=chunk.wall_time + float(chunk.time[0] - _began(chunk)),
    )


def _began(chunk: Chunk) -> float:
    """Time of a chunk's first observation, s on the robot's clock."""
    return chunk.wall_time - chunk.clock_offset
