"""What changed between two images of the same bfloat16 parameters, in few bytes, exactly. It knows no tensors and no versions.

The difference of two patterns is that of their places in the order of values (`bf16.ordered`), modulo 2^16; so any pattern can
become any other. Differences are put in the order of the old values' exponents, each becomes a code of two bits (-1, 0, +1,
other), four to a byte, and the others follow as numbers of two bytes. Where others are many, all are others.
docs/weights.md has the same for other implementers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from user_gym.core.arrays import U8
from user_gym.errors import BadBlock
from user_gym.system.weights.bf16 import U16, from_ordered, ordered
from user_gym.system.weights.exponents import Indices, chunks, join, sort, starts, take
from user_gym.system.weights.press import press, unpress

BLOCK = 1 << 16  # differences that together have codes or have none; a multiple of 4
_OTHER = 3  # the code; 0, 1, 2 are differences of -1, 0, +1
_MANY = 4  # a block of which more than a fourth are others has no codes
# The four codes of each byte, from its lowest bits up, as the four bytes of a number (256,).
_CODES = np.frombuffer(bytes(byte >> shift & 3 for byte in range(256) for shift in (0, 2, 4, 6)), "<u4")


class Difference(NamedTuple):
    """Each of the parts is pressed, or plain where that is not longer; the length says which."""

    codes: bytes | memoryview  # plain: a quarter of a byte for each of a block that has codes
    low: bytes | memoryview  # lower bytes of the others; plain: one byte each
    high: bytes | memoryview  # upper bytes of the others; plain: one byte each
    others: int
    coded: Sequence[int]  # blocks that have codes, rising
    totals: Sequence[int]  # (256,) how many old values have each exponent


def encode(old: Sequence[U16], new: Sequence[U16], how: str) -> Difference:
    """What makes `new` of `old`, arrays of bits, of equal lengths in pairs. `how`: see `press`. Raises MissingExtra."""
    pieces: list[U16] = []
    begins: list[Indices] = []
    room, stream = _ROOM.of(sum(map(len, old)))
    for k, part in chunks([len(array) for array in old]):
        before = old[k][part]
        moved = ordered(new[k][part])
        moved -= ordered(before)
        moved += 1  # the code, where it is below _OTHER
        order, begin = sort(before)
        piece, room = room[: len(order)], room[len(order) :]
        pieces.append(np.take(moved, order, out=piece, mode="clip"))  # "clip": no look for indices that are outside
        begins.append(begin)
    totals = join(pieces, begins, stream)
    codes, low, high, coded = _pack(stream)
    return Difference(press(codes, how), press(low, how), press(high, how), len(low), coded, totals.tolist())


def decode(difference: Difference, old: Sequence[U16], new: Sequence[U16], how: str) -> None:
    """Write into `new` what `encode` was given. Raises BadBlock, with anything in `new`, and MissingExtra."""
    total = sum(len(array) for array in old)
    if not 0 <= difference.others <= total:
        raise BadBlock("number of large differences", difference.others, f"0..{total}")
    coded = sum(min(BLOCK, total - k * BLOCK) for k in difference.coded)
    codes = _plain(difference.codes, how, -(-coded // 4))
    low, high = (_plain(part, how, difference.others) for part in (difference.low, difference.high))
    stream = _unpack(codes, low, high, difference.coded, total)
    totals = np.array(difference.totals, np.intp)
    places = starts(totals)
    ends = places + totals
    for k, part in chunks([len(array) for array in old]):
        before = old[k][part]
        order, begin = sort(before)
        if np.any(places + np.diff(begin) > ends):
            raise BadBlock("exponents of the base", difference.totals, "those of the base that is held")
        moved = np.empty(len(before), np.uint16)
        moved[order] = take(stream, begin, places)
        moved -= 1
        moved += ordered(before)
        new[k][part] = from_ordered(moved)


def _pack(stream: U16) -> tuple[U8, U8, U8, list[int]]:
    """Codes, four to a byte; lower and upper bytes of the others, in zigzag; and which blocks have codes."""
    packed: list[U8] = [_NONE]
    low: list[U8] = [_NONE]
    high: list[U8] = [_NONE]
    coded: list[int] = []
    for k, at in enumerate(range(0, len(stream), BLOCK)):
        part = stream[at : at + BLOCK]
        codes = np.zeros(-(-len(part) // 4) * 4, np.uint8)
        np.minimum(part, _OTHER, out=codes[: len(part)], casting="unsafe")
        large = codes[: len(part)] == _OTHER
        if _MANY * np.count_nonzero(large) <= len(part):
            coded.append(k)
            part = part[np.flatnonzero(large)]
            four = codes.view("<u4")  # each code is the lower two bits of a byte
            four |= four >> 6
            four |= four >> 12
            packed.append(four.astype(np.uint8))
        other: U16 = part - np.uint16(1)
        sign: U16 = (other.view(np.int16) >> 15).view(np.uint16)  # all ones where negative
        other <<= 1
        other ^= sign  # 0, -1, +1, -2 are 0, 1, 2, 3
        low.append(other.astype(np.uint8))
        other >>= 8
        high.append(other.astype(np.uint8))
    return np.concatenate(packed), np.concatenate(low), np.concatenate(high), coded


def _unpack(packed: U8, low: U8, high: U8, coded: Sequence[int], total: int) -> U16:
    """The inverse of `_pack`. Raises BadBlock."""
    stream, used, at_code, with_codes = np.empty(total, np.uint16), 0, 0, set(coded)
    for k, at in enumerate(range(0, total, BLOCK)):
        part, large = stream[at : at + BLOCK], None
        count = len(part)
        if k in with_codes:
            nbytes = -(-len(part) // 4)
            part[:] = _CODES[packed[at_code : at_code + nbytes]].view(np.uint8)[: len(part)]
            at_code += nbytes
            large = np.flatnonzero(part == _OTHER)
            count = len(large)
        if used + count > len(low):
            raise BadBlock("number of large differences", len(low), "as many as the codes say")
        other: U16 = high[used : used + count].astype(np.uint16)
        other <<= 8
        other |= low[used : used + count]
        sign = ~(other & np.uint16(1)) + np.uint16(1)  # all ones where negative
        other >>= 1
        other ^= sign
        other += 1
        part[slice(None) if large is None else large] = other
        used += count
    if used != len(low):
        raise BadBlock("number of large differences", len(low), f"{used}, as the codes say")
    return stream


def _plain(data: bytes | memoryview, how: str, size: int) -> U8:
    return np.frombuffer(unpress(data, how, size), np.uint8)


class _Room(threading.local):
    """Memory of a thread that codes, used again: to ask the system for it each time took an eighth of the coding."""

    def __init__(self) -> None:
        self._rooms = np.empty((2, 0), np.uint16)

    def of(self, n: int) -> tuple[U16, U16]:
        """Two arrays of n elements each, with anything in them."""
        if n > self._rooms.shape[1]:
            self._rooms = np.empty((2, n), np.uint16)
        return self._rooms[0, :n], self._rooms[1, :n]


_ROOM = _Room()
_NONE = np.empty(0, np.uint8)
