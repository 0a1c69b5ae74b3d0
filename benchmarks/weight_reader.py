"""A process that acts at 20 Hz and takes every new version of shared weights between two steps, as a policy would.

    python -m benchmarks.weight_reader NAME

Says "ready" on stdout, and ends when stdin does.
"""

from __future__ import annotations

import select
import sys
from itertools import count
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.system.weights import SharedSubscriber

PERIOD = 0.05  # s
PIECE = 1 << 24  # bytes; a policy's own memory would be as large as the weights, four of them larger than this machine's


def read(array: NDArray[Any], piece: NDArray[np.uint8]) -> None:
    """Copy all of it, a piece at a time."""
    flat = array.reshape(-1).view(np.uint8)
    for at in range(0, len(flat), len(piece)):
        part = flat[at : at + len(piece)]
        np.copyto(piece[: len(part)], part)


def main(name: str) -> None:
    piece, version, began = np.empty(PIECE, np.uint8), -1, monotonic()
    with SharedSubscriber(name) as subscriber:
        print("ready", flush=True)
        for tick in count(1):
            weights = subscriber.newest(version)
            if weights is not None:
                version = weights.version
                for name in weights.arrays:
                    read(weights.arrays[name], piece)
                del weights
            if select.select([sys.stdin], [], [], max(0.0, began + tick * PERIOD - monotonic()))[0]:
                return


if __name__ == "__main__":
    main(sys.argv[1])
