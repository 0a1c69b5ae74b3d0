"""Puts values in the order of the exponents of others, and back. Both sides of a difference know those others: the old weights.

An optimiser's step is of one size for all parameters, so how many units in the last place a parameter moves depends on its
exponent. In this order, what is alike comes together, and a simple coder finds it.

The order is stable: first all that belong to exponent 0, in the order they came in, then those of exponent 1, up to 255.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import U8
from user_gym.system.weights.bf16 import U16

Indices = NDArray[np.intp]

# Elements worked on at a time: what sorts more leaves the core's own cache, and less makes more parts to put together.
CHUNK = 1 << 16
_EXPONENTS = np.arange(256, dtype=np.uint8)  # of the dtype that is searched, or all of it would be converted


def chunks(counts: Sequence[int]) -> list[tuple[int, slice]]:
    """(array, part of it) for arrays of so many elements, in order; no part has more than CHUNK."""
    return [(k, slice(at, min(at + CHUNK, n))) for k, n in enumerate(counts) for at in range(0, n, CHUNK)]


def sort(old: U16) -> tuple[Indices, Indices]:
    """Of one chunk's bits: where each element comes from in the order of exponents, and where each exponent begins (257,)."""
    exponents: U8 = (old >> 7).astype(np.uint8)  # the cast drops the sign
    order = np.argsort(exponents, kind="stable")
    begin = np.empty(257, np.intp)
    begin[:256], begin[256] = np.searchsorted(exponents, _EXPONENTS, sorter=order), len(old)
    return order, begin


def join(pieces: Sequence[U16], begins: Sequence[Indices], stream: U16) -> Indices:
    """Write chunks that each are in this order into one stream that is; how many elements of it each exponent has (256,)."""
    totals = np.sum([np.diff(begin) for begin in begins], axis=0) if begins else np.zeros(256, np.intp)
    places = starts(totals)
    for piece, begin in zip(pieces, begins, strict=True):
        for inside, outside in _parts(begin, places):
            stream[outside] = piece[inside]
    return totals


def starts(totals: Indices) -> Indices:
    """Where in the stream each exponent begins (256,); `take` moves it on."""
    return np.cumsum(totals) - totals


def take(stream: U16, begin: Indices, places: Indices) -> U16:
    """The next chunk out of a stream, in the order of its own exponents; `places` must leave as many for it as it has."""
    piece = np.empty(int(begin[-1]), np.uint16)
    for inside, outside in _parts(begin, places):
        piece[inside] = stream[outside]
    return piece


def _parts(begin: Indices, places: Indices) -> list[tuple[slice, slice]]:
    """(where in the chunk, where in the stream) for each exponent that a chunk has; `places` move on."""
    sizes = np.diff(begin)
    has = np.flatnonzero(sizes)
    firsts, starts, counts = (x[has].tolist() for x in (begin, places, sizes))
    places += sizes
    return [(slice(a, a + n), slice(b, b + n)) for a, b, n in zip(firsts, starts, counts, strict=True)]
