"""A block that somebody else brings: every byte of it checked, and what its light columns say, before anything is kept.

A local collector's chunk is checked when it is encoded (`system.chunk.check`); who sends blocks may have encoded anything.
"""

from __future__ import annotations

import numpy as np

from user_gym.errors import BadChunk
from user_gym.system.buffer.appending import TRAINING
from user_gym.system.buffer.block import Block, read_block
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.layout import OBS
from user_gym.system.buffer.prefix import Bytes

# Bytes of light columns, unpacked: LZ4 makes them up to 255 times more, and they are read before anybody asks for them.
MOST_LIGHT = 1 << 26
_ALWAYS = ("action", "ordered")  # finite; the index looks at reward and time itself


def head(data: Bytes) -> Head:
    """What a block says of itself. Raises BadBlock."""
    return Head.parse(data, MOST_LIGHT)


def block(data: Bytes) -> Block:
    """The block; its pictures are checked with `check`. Raises BadBlock."""
    return read_block(data, MOST_LIGHT)


def check(found: Block) -> None:
    """Raise BadBlock where a byte is damaged, and BadChunk where its steps cannot be what a robot did."""
    found.head.items.verify_all(found.data)
    if found.head.group == TRAINING:
        _check_steps(found.head)


def _check_steps(found: Head) -> None:
    where = f"chunk {found.sequence} of episode {found.episode} from {found.source!r}"
    for key, column in found.layout.light.items():
        looked_at = key in _ALWAYS or (column.of == OBS and column.dtype.kind == "f")
        if looked_at and not np.isfinite(found.light(key)).all():
            raise BadChunk(f"{where}: {key} is not finite")
    if (np.diff(found.light("time")) <= 0).any():
        raise BadChunk(f"{where}: time does not increase")
    if (found.light("terminated") | found.light("truncated"))[:-1].any():
        raise BadChunk(f"{where}: the episode ends before its last row; a chunk ends where its episode ends")
