"""In how many bytes weights travel, and what it costs to code them. It stops nobody and knows no network."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from itertools import islice
from time import perf_counter, thread_time
from typing import Any, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from user_gym.core import Weights
from user_gym.system.weights import Broadcaster, Encoder, Image, Narrowed, Receiver
from user_gym.system.weights.bf16 import BF16, ordered
from user_gym.system.weights.blob import Held
from user_gym.system.weights.encoding import changes, full

Arrays = Mapping[str, NDArray[Any]]

RECEIVERS = 4
# Step -> versions before it that a difference is made to, and which are kept then.
PAIRS = {1: [0], 2: [1], 11: [10], 20: [10]}
KEPT = {0: (0,), 1: (1,), 2: (), 10: (10,), 11: (10,), 20: ()}


class Coded(NamedTuple):
    """A row: one difference; bytes and s for each parameter."""

    name: str
    parameters: int
    learning_rate: float
    before: int
    step: int
    nbytes: float  # head and all
    entropy: float  # of the differences, the old exponents known: nothing that looks at no more can be shorter
    int8: float  # the same differences as int8 + zstd-1
    coo: float  # RLinf's patch
    encode: tuple[float, float]  # of the thread, and by the clock
    decode: tuple[float, float]


def coo(old: Image, new: Image) -> int:
    """Bytes of a patch as RLinf makes it (patch_syncer.py): steps of rows and columns, one byte or four each; values."""
    rows, columns, changed = [0], [0], 0
    for tensor in new.layout.tensors:
        before, after = (image[tensor.name].view(np.uint16) for image in (old, new))
        at = np.argwhere((before != after).reshape(after.shape[0] if after.ndim > 1 else 1, -1))
        if len(at):
            steps = np.diff(at, axis=0, prepend=[[0, 0]])
            rows.append(int(steps[:, 0].max()))
            columns.append(int(np.where(steps[:, 0] == 0, steps[:, 1], at[:, 1]).max()))
            changed += len(at)
    return changed * (sum(1 if max(steps) < 256 else 4 for steps in (rows, columns)) + 2)


def entropy(old: Image, new: Image) -> float:
    """Of the differences in the order of values, each given its old value's exponent; bytes in all."""
    before, after, counts = old.narrow(), new.narrow(), np.zeros((256, 1 << 16), np.int64)
    for at in range(0, len(before), 1 << 22):
        some = before[at : at + (1 << 22)]
        difference = ordered(after[at : at + (1 << 22)]) - ordered(some)
        counts += np.bincount((some >> 7 & 255).astype(np.int64) << 16 | difference, minlength=1 << 24).reshape(256, -1)
    each, together = (n[n > 0].astype(np.float64) for n in (counts, counts.sum(axis=1)))
    return float((together * np.log2(together)).sum() - (each * np.log2(each)).sum()) / 8


def int8(old: Image, new: Image) -> int:
    """Bytes of the plain way: differences in the order of values as int8, 127 for larger ones, which follow; zstd-1."""
    difference = (ordered(new.narrow()) - ordered(old.narrow())).view(np.int16)
    large = (difference < -127) | (difference > 126)
    low = np.where(large, 127, difference).astype(np.int8)
    press = zstandard.ZstdCompressor(level=1).compress
    return len(press(low.data)) + len(press(difference[large].tobytes()))


def coded(name: str, learning_rate: float, old: Weights, new: Weights, repetitions: int) -> Coded:
    """A difference that was made, undone and compared so many times."""
    before, after = old.arrays, new.arrays
    assert isinstance(before, Image)
    assert isinstance(after, Image)
    lineage, encode, decode, data = b"bench-of-weights", [], [], b""
    whole = full(before, "bench", Held(lineage, old.version)).pack()
    for _ in range(repetitions):
        begin = thread_time(), perf_counter()
        data = changes(before, after, "bench", Held(lineage, new.version), old.version, "zstd").pack()
        encode.append((thread_time() - begin[0], perf_counter() - begin[1]))
        receiver = Receiver("bench")
        receiver.apply(whole)
        receiver._arena._slots.append(receiver._arena.free())  # pyright: ignore - both slots there, as in a run
        begin = thread_time(), perf_counter()
        receiver.apply(data)
        decode.append((thread_time() - begin[0], perf_counter() - begin[1]))
        newest = receiver.newest()
        assert newest is not None
        assert np.array_equal(newest.arrays.flat, after.flat)  # pyright: ignore[reportAttributeAccessIssue]
    n = after.layout.narrow
    ours, least, plain, patch = (f / n for f in (len(data), entropy(before, after), int8(before, after), coo(before, after)))
    took = _medians(encode, n), _medians(decode, n)
    return Coded(name, n, learning_rate, old.version, new.version, ours, least, plain, patch, *took)


def _medians(times: list[tuple[float, float]], n: int) -> tuple[float, float]:
    thread, clock = (statistics.median(column) / n for column in zip(*times, strict=True))
    return thread, clock


def coding(name: str, learning_rate: float, steps: Iterator[Arrays], repetitions: int) -> Iterator[Coded]:
    """Differences between versions of one training."""
    broadcaster, kept = Broadcaster(), {}
    narrowed = Narrowed(broadcaster)
    for step, arrays in enumerate(islice(steps, 21)):
        if step not in KEPT:
            continue
        broadcaster.publish(arrays, "bench", version=step)
        weights = narrowed.newest(-1)
        assert weights is not None
        kept[step] = weights
        for before in PAIRS.get(step, []):
            yield coded(name, learning_rate, kept[before], kept[step], repetitions)
        kept = {k: v for k, v in kept.items() if k in KEPT[step]}


def rounding(n: int, repetitions: int) -> float:
    """s of the thread for each parameter, from float32 to bfloat16."""
    broadcaster, taken = Broadcaster(), []
    arrays = {"w": np.random.default_rng(0).standard_normal(n, np.float32)}
    narrowed = Narrowed(broadcaster)
    for _ in range(repetitions + 2):
        broadcaster.publish(arrays, "bench")
        begin = thread_time()
        narrowed.newest(-1)
        taken.append(thread_time() - begin)
    return statistics.median(taken[2:]) / n


def for_several(steps: Iterator[Arrays]) -> tuple[float, int, int]:
    """Time of the thread for four receivers over that for one, and how many blobs were made for one and for four."""
    broadcaster, ratios = Broadcaster(), []
    encoders = [Encoder(Narrowed(broadcaster)) for _ in range(2)]
    receivers = [[Receiver() for _ in range(n)] for n in (1, RECEIVERS)]
    for k, arrays in enumerate(islice(steps, 13)):
        broadcaster.publish(arrays, "bench")
        taken = [0.0, 0.0]
        for which in (0, 1) if k % 2 else (1, 0):
            begin = thread_time()
            blobs = [encoders[which].blob(receiver.held) for receiver in receivers[which]]
            taken[which] = thread_time() - begin
            for receiver, blob in zip(receivers[which], blobs, strict=True):
                assert blob is not None
                receiver.apply(blob)
        ratios.append(taken[1] / taken[0])
    return statistics.median(ratios[1:]), encoders[0].encoded, encoders[1].encoded


def of_noise(n: int) -> tuple[int, int]:
    """Bytes of a blob from random patterns to others, and of the whole ones with their head."""
    broadcaster, receiver, rng = Broadcaster(), Receiver(), np.random.default_rng(0)
    encoder, sizes = Encoder(broadcaster), (0, 0)
    for _ in range(2):
        broadcaster.publish({"w": rng.integers(0, 1 << 16, n, np.uint16).view(BF16)}, "bench")
        blob, whole = encoder.blob(receiver.held), encoder.blob()
        assert blob is not None
        assert whole is not None
        receiver.apply(blob)
        sizes = len(blob), len(whole)
    return sizes
