"""How long a publication stops a learner, and new weights a policy, beside a copy of the same arrays. It codes nothing."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.turns import in_turns
from user_gym.core import Weights
from user_gym.system.weights import Broadcaster, Image, Narrowed, SharedPublisher, SharedSubscriber
from user_gym.system.weights.blob import Held
from user_gym.system.weights.encoding import changes

Arrays = Mapping[str, NDArray[Any]]

GPT2 = {"words": (52304, 768), "places": (1024, 768)} | {
    f"{k}.{name}": shape
    for k in range(12)
    for name, shape in {
        "qkv": (2304, 768), "qkv.bias": (2304,), "out": (768, 768), "out.bias": (768,), "up": (3072, 768), "up.bias": (3072,),
        "down": (768, 3072), "down.bias": (768,), "norm1": (768,), "norm1.bias": (768,), "norm2": (768,), "norm2.bias": (768,),
    }.items()
}  # fmt: skip
SETS = {
    "2.6 M, one vector": {"actor": (2_600_000,)},
    "2.7 M, eight tensors": {
        f"{k}.{name}": shape
        for k, (i, o) in enumerate(((64, 1150), (1150, 1150), (1150, 1150), (1150, 14)))
        for name, shape in (("weight", (o, i)), ("bias", (o,)))
    },
    "126 M, 146 tensors": GPT2,
}
READERS = 4
ROUNDS = 3  # each with new memory: how it lies moves a copy by some per cent


class Stopped(NamedTuple):
    """A row: medians in s, of one thing and of the copies that it took turns with."""

    label: str
    what: str
    seconds: float
    copy: float
    turns: float  # median of the ratios of single turns

    @property
    def ratio(self) -> float:
        """Of medians."""
        return self.seconds / self.copy


def made(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Random float32."""
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


@contextmanager
def readers(name: str, n: int) -> Iterator[None]:
    """So many processes that take every version."""
    command = [sys.executable, "-m", "benchmarks.weight_reader", name]
    ran = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(n)]
    try:
        for process in ran:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
        yield
    finally:
        for process in ran:
            process.communicate(timeout=30)


@contextmanager
def encoding() -> Iterator[None]:
    """A thread of this process that makes differences all the time, as a link's does."""
    done, broadcaster = threading.Event(), Broadcaster()
    narrowed = Narrowed(broadcaster)
    images: list[Image] = []
    for k in range(2):
        broadcaster.publish({"w": np.random.default_rng(0).normal(k * 1e-4, 0.05, 1 << 22).astype(np.float32)}, "bench")
        weights = narrowed.newest(k - 1)
        assert weights is not None
        assert isinstance(weights.arrays, Image)
        images.append(weights.arrays)

    def run() -> None:
        while not done.is_set():
            changes(images[0], images[1], "bench", Held(b"bench-of-weights", 1), 0, "zstd")

    thread = threading.Thread(target=run, name="encoding")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(60)


def timed(work: Callable[[], object], first: Callable[[], object] | None = None) -> Callable[[], float]:
    """Seconds of the second of two, so that every contestant finds its memory in the same caches.

    Args:
        work: what is timed.
        first: comes before it, not timed; the same work where nothing is given.
    """

    def run() -> float:
        (first or work)()
        begin = perf_counter()
        work()
        return perf_counter() - begin

    return run


class Copy:
    """The floor: a copy of the same tensors one after the other into one piece of memory, into two in turns."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays, self.targets = list(arrays.values()), []
        ends = np.cumsum([0, *(array.size for array in self.arrays)]).tolist()
        for _ in range(2):
            flat = np.zeros(ends[-1], np.float32)
            self.targets.append(
                [flat[at : at + array.size].reshape(array.shape) for at, array in zip(ends[:-1], self.arrays, strict=True)]
            )

    def __call__(self) -> None:
        self.targets.reverse()
        for target, array in zip(self.targets[0], self.arrays, strict=True):
            np.copyto(target, array)


class Swap:
    """A policy that takes the newest weights and copies them over its own."""

    def __init__(self, arrays: Arrays, publish: Callable[[], object], newest: Callable[[int], Weights | None]) -> None:
        self.own = {name: np.zeros_like(array) for name, array in arrays.items()}
        self.publish, self.newest, self.version = publish, newest, -1

    def __call__(self) -> float:
        self.once()
        return self.once()

    def once(self) -> float:
        self.publish()
        begin = perf_counter()
        weights = self.newest(self.version)
        assert weights is not None
        for name, target in self.own.items():
            np.copyto(target, weights.arrays[name])
        self.version = weights.version
        del weights
        return perf_counter() - begin


Times = dict[str, tuple[list[float], list[float]]]  # what -> seconds, and those of the copies it took turns with


def blocked(label: str, repetitions: int, times: Times) -> None:
    """Publishing and swapping, with new memory."""
    arrays = made(SETS[label])
    copy = Copy(arrays)
    name = f"bench-{os.getpid()}"

    def turns(contestants: Mapping[str, Callable[[], float]], first: Callable[[], object] | None = None) -> None:
        values, _ = in_turns({"copy": timed(copy, first), **contestants}, repetitions)
        for what in contestants:
            mine, base = times.setdefault(what, ([], []))
            mine += values[what]
            base += values["copy"]

    broadcaster = Broadcaster()
    publish = lambda: broadcaster.publish(arrays, "bench")  # noqa: E731
    turns({"publish, one process": timed(publish), "swap, one process": Swap(arrays, publish, broadcaster.newest)})
    with encoding():
        turns({"publish, one process, and a thread encodes": timed(publish)})
    broadcaster = Broadcaster()
    gc.collect()
    with ExitStack() as stack:
        for n in (0, READERS):
            publisher = stack.enter_context(SharedPublisher(f"{name}-{n}"))
            publish = lambda publisher=publisher: publisher.publish(arrays, "bench")  # noqa: E731
            publish()
            with readers(f"{name}-{n}", n):
                for _ in range(2 * n):  # readers hold versions now and then: until all memory that takes is there
                    publish()
                contestants: dict[str, Callable[[], float]] = {f"publish, shared, {n} readers": timed(publish)}
                if not n:
                    subscriber = stack.enter_context(SharedSubscriber(f"{name}-{n}"))
                    contestants["swap, shared"] = Swap(arrays, publish, subscriber.newest)
                turns(contestants, publish if n else None)  # the copy as well while readers read
            publisher.close()
            gc.collect()


def stopped(label: str, repetitions: int) -> list[Stopped]:
    """Rows of a set of weights."""
    times: Times = {}
    for _ in range(ROUNDS):
        blocked(label, repetitions, times)
    return [
        Stopped(
            label,
            what,
            statistics.median(mine),
            statistics.median(base),
            statistics.median(a / b for a, b in zip(mine, base, strict=True)),
        )
        for what, (mine, base) in times.items()
    ]
