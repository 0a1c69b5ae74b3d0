"""Images to blobs and back: the whole of one, or what makes it of another. It keeps nothing and chooses nothing.

A difference carries only tensors that changed. Of bfloat16 ones it has `difference.encode`, of all others their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import U8
from user_gym.errors import BadBlock, WrongWeights
from user_gym.system.weights import difference
from user_gym.system.weights.bf16 import BF16, U16
from user_gym.system.weights.blob import Blob, Held, Kind
from user_gym.system.weights.image import Image
from user_gym.system.weights.layout import Layout, Tensor
from user_gym.system.weights.press import PRESSES

SEGMENT = 1 << 22  # parameters coded together: what that takes stays in the cache and is used again
_LOOK = 4096  # bytes compared first: what changed at all mostly changed there


def full(image: Image, spec_hash: str, held: Held) -> Blob:
    """All of an image."""
    meta = {"spec_hash": spec_hash, **image.layout.words}
    return Blob(Kind.FULL, held, -1, image.layout.digest(spec_hash), meta, image.flat.data)


def changes(old: Image, new: Image, spec_hash: str, held: Held, base: int, how: str) -> Blob:
    """What makes `new` of `old`, two images of one layout. Raises MissingExtra."""
    changed = [k for k, tensor in enumerate(new.layout.tensors) if _differ(old.part(tensor), new.part(tensor))]
    tensors = [new.layout.tensors[k] for k in changed]
    narrow = [tensor for tensor in tensors if tensor.dtype == BF16]
    segments: list[list[Any]] = []
    payload: list[bytes | memoryview] = []
    for old_segment, new_segment in zip(_segments(old.flat, narrow), _segments(new.flat, narrow), strict=True):
        made = difference.encode(old_segment, new_segment, how)
        exponents = [[exponent, n] for exponent, n in enumerate(made.totals) if n]
        sizes = [len(made.codes), len(made.low), len(made.high)]
        segments.append([*sizes, made.others, _ranges(made.coded), exponents])
        payload += made.codes, made.low, made.high
    payload += (new.part(tensor).data for tensor in tensors if tensor.dtype != BF16)
    meta = {"changed": _ranges(changed), "press": how, "segments": segments}
    return Blob(Kind.DIFFERENCE, held, base, new.layout.digest(spec_hash), meta, b"".join(payload))


def read_full(blob: Blob, spec_hash: str | None) -> tuple[Layout, str]:
    """Layout and spec hash of a FULL blob; its payload is such an image.

    Raises:
        BadBlock: it says something else than it has.
        WrongWeights: it is of another policy than `spec_hash`.
    """
    found = blob.meta.get("spec_hash")
    layout = Layout.parse(blob.meta)
    if not isinstance(found, str) or layout.digest(found) != blob.digest:
        raise BadBlock("layout of weights", found, "the one that the digest is of")
    if spec_hash is not None and found != spec_hash:
        raise WrongWeights(found, spec_hash)
    if layout.nbytes != len(blob.payload):
        raise BadBlock("number of bytes of weights", len(blob.payload), f"{layout.nbytes}, as their layout says")
    return layout, found


def apply_changes(blob: Blob, old: Image, out: U8) -> None:
    """Write into `out` what a DIFFERENCE makes of `old`, its base. Raises BadBlock, with anything in `out`, MissingExtra."""
    layout, meta = old.layout, blob.meta
    tensors = [layout.tensors[k] for k in _numbers(meta.get("changed"), len(layout.tensors))]
    narrow = [tensor for tensor in tensors if tensor.dtype == BF16]
    how, segments = meta.get("press"), meta.get("segments")
    if how not in PRESSES:
        raise BadBlock("press of weights", how, ", ".join(PRESSES))
    olds, news = _segments(old.flat, narrow), _segments(out, narrow)
    if not isinstance(segments, list) or len(segments) != len(olds):
        raise BadBlock("segments of weights", segments, f"{len(olds)}, as their layout says")
    np.copyto(out, old.flat)
    payload, at = memoryview(blob.payload), 0
    for words, old_segment, new_segment in zip(segments, olds, news, strict=True):
        made, at = _difference(words, sum(map(len, old_segment)), payload, at)
        difference.decode(made, old_segment, new_segment, how)
    rest = [tensor for tensor in tensors if tensor.dtype != BF16]
    if len(payload) - at != sum(tensor.nbytes for tensor in rest):
        raise BadBlock("number of bytes of weights", len(payload), "those of what changed")
    for tensor in rest:
        out[tensor.offset : tensor.offset + tensor.nbytes] = np.frombuffer(payload[at : at + tensor.nbytes], np.uint8)
        at += tensor.nbytes


def _difference(words: Any, parameters: int, payload: memoryview, at: int) -> tuple[difference.Difference, int]:
    """A segment of the payload, and where the next one begins. Raises BadBlock."""
    if not isinstance(words, list) or len(words) != 6 or not all(type(n) is int and n >= 0 for n in words[:4]):
        raise BadBlock("segment of weights", words, "sizes of codes, low, high; others; coded; exponents")
    ends = [*accumulate((at, *words[:3]))]
    if ends[-1] > len(payload):
        raise BadBlock("segment of weights", words, f"at most {len(payload) - at} bytes")
    codes, low, high = (payload[a:b] for a, b in pairwise(ends))
    coded = _numbers(words[4], -(-parameters // difference.BLOCK))
    return difference.Difference(codes, low, high, words[3], coded, _totals(words[5], parameters)), ends[-1]


def _differ(old: U8, new: U8) -> bool:
    """Bit for bit."""
    return not (np.array_equal(old[:_LOOK], new[:_LOOK]) and np.array_equal(_words(old), _words(new)))


def _words(part: U8) -> NDArray[Any]:
    """The same bytes in few elements."""
    return part.view(np.uint16) if len(part) % 2 == 0 else part


def _segments(flat: U8, tensors: list[Tensor]) -> list[list[U16]]:
    """The bits of bfloat16 tensors, in their order: SEGMENT of them, SEGMENT, and the rest; neighbours as one array."""
    segments: list[list[U16]] = []
    room = 0
    for begin, end in _spans(tensors):
        at = begin
        while at < end:
            if not room:
                segments.append([])
                room = SEGMENT
            n = min(room, (end - at) // 2)
            segments[-1].append(flat[at : at + 2 * n].view(np.uint16))
            at, room = at + 2 * n, room - n
    return segments


def _spans(tensors: list[Tensor]) -> list[tuple[int, int]]:
    """(first byte, end) of tensors, neighbours as one."""
    spans: list[tuple[int, int]] = []
    for tensor in tensors:
        end = tensor.offset + tensor.nbytes
        if spans and spans[-1][1] == tensor.offset:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((tensor.offset, end))
    return spans


def _ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Rising whole numbers as [first, count]."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and sum(ranges[-1]) == number:
            ranges[-1][1] += 1
        else:
            ranges.append([number, 1])
    return ranges


def _numbers(ranges: Any, limit: int) -> list[int]:
    """The inverse of `_ranges`, all below `limit`. Raises BadBlock."""
    numbers: list[int] = []
    end = 0
    for first, count in _pairs(ranges):
        if first < end or count < 1 or first + count > limit:
            raise BadBlock("ranges of weights", ranges, f"rising [first, count] below {limit}")
        end = first + count
        numbers += range(first, end)
    return numbers


def _totals(exponents: Any, parameters: int) -> list[int]:
    """(256,) from [exponent, count] of those that occur. Raises BadBlock."""
    totals = [0] * 256
    for exponent, count in _pairs(exponents):
        if not 0 <= exponent < 256 or count < 0:
            raise BadBlock("exponents of weights", exponents, "[0..255, count]")
        totals[exponent] = count
    if sum(totals) != parameters:
        raise BadBlock("exponents of weights", exponents, f"{parameters} in all")
    return totals


def _pairs(words: Any) -> list[list[int]]:
    """Pairs of whole numbers. Raises BadBlock."""
    if not (isinstance(words, list) and all(isinstance(p, list) and len(p) == 2 and {*map(type, p)} == {int} for p in words)):
        raise BadBlock("list of weights", words, "pairs of whole numbers")
    return words
