"""bfloat16 in numpy, which has no such type: bits, conversion, and an order of all 65,536 patterns as whole numbers.

An array of dtype `BF16` holds bits, two bytes each: it says what it is, so nobody takes it for counters. In torch it is
`torch.from_numpy(array.view(numpy.int16)).view(torch.bfloat16)`, with no copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import F32

U16 = NDArray[np.uint16]

BF16: np.dtype[np.void] = np.dtype([("bfloat16", "<u2")])

_SIGN = np.uint16(0x8000)
_CHUNK = 1 << 16  # elements: what is worked on stays in a core's own cache


def narrow(values: F32, out: U16) -> None:
    """Write the bits of the nearest bfloat16 of each value, ties to even, as torch rounds.

    A NaN stays one, with its sign and the upper seven bits of its payload, made quiet.

    Args:
        values: contiguous, any shape.
        out: as many elements, contiguous.
    """
    source, target = values.reshape(-1).view(np.uint32), out.reshape(-1)
    work, odd = np.empty(_CHUNK, np.uint32), np.empty(_CHUNK, np.uint32)
    for at in range(0, len(source), _CHUNK):
        bits = source[at : at + _CHUNK]
        a, b = work[: len(bits)], odd[: len(bits)]
        np.right_shift(bits, 16, out=b)
        b &= 1
        b += 0x7FFF
        np.add(bits, b, out=a)  # carries into the upper half where rounding goes up; of a NaN it may make anything
        a >>= 16
        target[at : at + _CHUNK] = a
        np.bitwise_and(bits, 0x7FFFFFFF, out=b)
        if b.max() > 0x7F800000:
            nan = np.flatnonzero(b > 0x7F800000)
            target[at + nan] = (bits[nan] >> 16 | 0x40).astype(np.uint16)


def widen(bits: NDArray[np.generic]) -> F32:
    """The values of bits, exactly; of a BF16 or uint16 array of any shape."""
    wide = bits.view(np.uint16).astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def ordered(bits: U16) -> U16:
    """Patterns as whole numbers in the order of values: neighbours differ by 1, -0 is right below +0, NaN lie at both ends."""
    mask = (bits.view(np.int16) >> 15).view(np.uint16)  # all ones where negative
    mask |= _SIGN
    mask ^= bits
    return mask


def from_ordered(order: U16) -> U16:
    """The inverse of `ordered`."""
    mask = ~(order.view(np.int16) >> 15).view(np.uint16)  # all ones where negative
    mask |= _SIGN
    mask ^= order
    return mask
