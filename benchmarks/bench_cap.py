"""What copying weights costs those who work on the same GPU, for each path and each cap, and whether the caps hold.

`python -m benchmarks.bench_cap` needs one NVIDIA GPU, torch with CUDA and triton; NCCL from 2.30 on for two ranks on one GPU.
It builds, checks and keeps the whole table. Without a GPU it says so and ends well. Rows that this machine cannot give are
absent with their reason. As a test on a CPU it is the same code, small: the kernel in Triton's interpreter, gloo for NCCL.

In every row a thread of its own copies again and again, beside steps of inference (a stack of transformer layers on a stream
of high priority), then of learning. Alone and beside take turns; figures are medians over rounds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.cap_beside import Beside, Copying, Size, Step, beside, inference, learning
from benchmarks.machine import describe, keep
from benchmarks.turns import NotMeasured, reasons
from user_gym.errors import UserGymError
from user_gym.system.cap import Copier, Governor, MemoryCopier, Watch
from user_gym.system.cap.engine import EngineCopier
from user_gym.system.cap.persistent import PIECE, PersistentCopier

NO_GPU = f"not measured: torch {torch.__version__} finds no CUDA device (torch.cuda.is_available() is False)"
LEVELS = (1, 2, 4, 8, 16, 32, 132)
BUDGET = 0.05
UNPACED = (1 << 50,)  # bytes/s: no cap, to see what a path itself costs


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    device: torch.device
    arenas: dict[str, int]  # bytes by name
    network: Size
    levels: tuple[int, ...] = LEVELS
    rounds: int = 7
    steps: int = 40
    governed: float = 30.0  # s under the governor


FULL = Scale(
    torch.device("cuda"),
    {"126 M parameters, bf16": 252_000_000, "3 B parameters, bf16": 6_000_000_000},
    Size(),
)
SMALL = Scale(torch.device("cpu"), {"100 kB": 100_003}, Size(32, 1, 1, 8), LEVELS, rounds=1, steps=3, governed=1.0)


def paths(scale: Scale, size: int) -> Iterator[tuple[str, Callable[[], tuple[Copier[Any], Any, Any]]]]:
    """Name of each row, and what makes its copier and its ends."""
    device = scale.device

    def here() -> torch.Tensor:
        return torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)

    def pinned() -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def kernel(k: int) -> tuple[Copier[Any], Any, Any]:
        piece = PIECE if device.type == "cuda" else 4096
        return PersistentCopier(device, scale.levels, k, piece=piece), here(), torch.zeros_like(here())

    for k in scale.levels:
        yield f"own kernel, k = {k}", partial(kernel, k)
    if device.type == "cpu":
        yield "memory", lambda: (MemoryCopier(UNPACED), here().numpy(), np.zeros(size, np.uint8))
        return
    yield "copy engine within the GPU", lambda: (EngineCopier(device, UNPACED), here(), torch.zeros_like(here()))
    yield "copy engine to pinned host", lambda: (EngineCopier(device, UNPACED), here(), pinned())
    yield "copy engine from pinned host", lambda: (EngineCopier(device, UNPACED), pinned().random_(), torch.zeros_like(here()))


def row(scale: Scale, make: Callable[[], tuple[Copier[Any], Any, Any]], steps: tuple[Step, Step]) -> tuple[Beside, Beside]:
    """One path beside inference and beside learning; its bytes are checked, and its cap."""
    try:
        copier, source, target = make()
        with copier:
            found = tuple(beside(step, copier, source, target, scale.rounds, scale.steps) for step in steps)
    except torch.OutOfMemoryError as error:
        raise NotMeasured(f"the GPU's memory does not hold both arenas ({error})") from None
    except UserGymError as error:
        raise NotMeasured(str(error)) from None
    same = torch.equal(source.to(target.device), target) if isinstance(source, torch.Tensor) else np.array_equal(source, target)
    assert same, "the bytes did not arrive"
    for one in found:
        assert one.multiprocessors is None or one.multiprocessors <= copier.multiprocessors, "the cap does not hold"
    return found[0], found[1]


def copies(scale: Scale) -> str:
    """Distinct multiprocessors by %smid, most of any piece. Stall: what a learner's step takes longer."""
    steps = inference(scale.device, scale.network), learning(scale.device, scale.network)
    texts = []
    for name, size in scale.arenas.items():
        lines = [
            f"{name}: {size / 1e6:.1f} MB\n",
            "| path | multiprocessors | inference slower | copy beside it, ms | copy alone, ms | learner slower | stall, ms |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        absent: dict[str, str] = {}
        for path, make in paths(scale, size):
            try:
                one, two = row(scale, make, steps)
            except NotMeasured as error:
                absent[f"{path} ({name})"] = str(error)
                continue
            seen = "not countable" if one.multiprocessors is None else max(one.multiprocessors, two.multiprocessors or 0)
            lines.append(
                f"| {path} | {seen} | {one.slowdown:+.1%} | {one.latency * 1e3:.2f} | {one.idle * 1e3:.2f} "
                f"| {two.slowdown:+.1%} | {two.extra * 1e3:.3f} |"
            )
        texts.append("\n".join(lines) + reasons(absent))
    return "\n\n".join(texts)


def ranks(scale: Scale) -> str:
    """Two ranks, on one GPU where there is only one (NCCL_MULTI_RANK_GPU_ENABLE=1); the receiver's inference is timed."""
    backend = "nccl" if scale.device.type == "cuda" else "gloo"
    levels = [k for k in scale.levels if k <= 32] if backend == "nccl" else [50_000_000, 1_000_000_000]
    unit = "k" if backend == "nccl" else "bytes/s"
    texts = []
    for name, size in scale.arenas.items():
        try:
            found = play(backend, size, scale, levels)
        except NotMeasured as error:
            texts.append(f"{name}:{reasons({backend: str(error)})}")
            continue
        lines = [f"{name}\n", f"| {backend}, {unit} | inference slower | copy, ms |", "| --- | --- | --- |"]
        lines += [f"| {one['level']} | {one['slowdown']:+.1%} | {one['latency'] * 1e3:.2f} |" for one in found]
        texts.append("\n".join(lines))
    return "\n\n".join(texts)


def play(backend: str, size: int, scale: Scale, levels: list[int]) -> list[dict[str, float]]:
    """The receiver's table. Raises NotMeasured with what a rank said if one failed."""
    environ = {**os.environ, "NCCL_MULTI_RANK_GPU_ENABLE": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json")
        numbers = [str(n) for n in (size, scale.rounds, scale.steps, *levels)]
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.cap_rank", str(rank), "2", f"{folder}/store", str(out), backend, *numbers],
                env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for rank in range(2)
        ]  # fmt: skip
        try:
            said = [process.communicate(timeout=600)[0] for process in processes]
        except subprocess.TimeoutExpired:
            raise NotMeasured("the ranks were not done after 600 s") from None
        finally:
            for process in processes:
                process.kill()
                process.wait()
        if any(process.returncode for process in processes):
            last = [text.strip().splitlines()[-1] for text in said if text.strip()]
            raise NotMeasured("a rank failed: " + "; ".join(last))
        return json.loads(out.read_text())


@contextmanager
def governed(scale: Scale, size: int) -> Iterator[tuple[Copier[Any], Any, Any]]:
    """What the governor rules: our kernel on a GPU, memory at a rate on a CPU."""
    if scale.device.type == "cuda":
        source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=scale.device)
        with PersistentCopier(scale.device) as copier:
            yield copier, source, torch.zeros_like(source)
    else:
        with MemoryCopier(tuple(10_000_000 << k for k in range(8))) as copier:
            yield copier, np.ones(size, np.uint8), np.zeros(size, np.uint8)


def governor(scale: Scale) -> str:
    """Copies follow each other without a pause, and a governor sets their limit. The second half of the time is shown, beside
    steps alone that are timed before and after."""
    step = inference(scale.device, scale.network)
    lines = [
        "| arena | budget | inference slower | most often | changes in this half | held |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, size in scale.arenas.items():
        with governed(scale, size) as (copier, source, target):
            ruler = Governor(copier.levels, BUDGET)
            watch = Watch(copier, ruler)
            alone = [step() for _ in range(scale.steps)]
            slow, limits, changes = [], [], 0
            with Copying(copier, source, target) as copying:
                begin = perf_counter()
                while (elapsed := perf_counter() - begin) < scale.governed:
                    limit = copier.limit
                    with watch.step():
                        seconds = step()
                    if elapsed < scale.governed / 2:
                        changes = ruler.state().changes
                        continue
                    limits.append(limit)
                    if limit:
                        slow.append(seconds)
                copier.limit = copier.levels[-1]  # lets the last copy end
            alone += [step() for _ in range(scale.steps)]
            assert copying.copies, "no copy came to its end"
        slowed = median(slow) / median(alone) - 1 if slow else 0.0
        told = f"{slowed:+.1%}{' MISSED' if slowed > BUDGET else ''}" if slow else "held all the time"
        lines.append(
            f"| {name} | {BUDGET:.0%} | {told} | {max(set(limits), key=limits.count)} {copier.unit.value} "
            f"| {ruler.state().changes - changes} | {limits.count(0) / len(limits):.0%} of the steps |"
        )
    return "\n".join(lines)


PARTS = {"Copies within a machine": copies, "Broadcasts": ranks, "Under the governor": governor}


def measure(scale: Scale, part: str) -> str:
    """One part of the table."""
    return f"## {part}\n\n{(PARTS[part].__doc__ or '').strip()}\n\n{PARTS[part](scale)}"


@pytest.mark.parametrize("part", PARTS)
def bench_part(benchmark: Any, part: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip(NO_GPU)
    print(benchmark.pedantic(measure, args=(FULL, part), rounds=1))


@pytest.mark.parametrize("part", PARTS)
def bench_part_on_a_cpu(benchmark: Any, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code, small: it says nothing about speed."""
    if torch.cuda.is_available():
        pytest.skip("the table itself is measured here")
    pytest.importorskip("triton", reason="triton comes with the extra 'gpu'")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    text = benchmark.pedantic(measure, args=(SMALL, part), rounds=1)
    assert "Not measured" not in text, text
    assert threading.active_count() < 20


def main() -> None:
    """Measure and keep; without a GPU, say so."""
    if not torch.cuda.is_available():
        print(NO_GPU)
        return
    gpu = torch.cuda.get_device_properties(0)
    machine = f"{describe()}; {gpu.name}, {gpu.multi_processor_count} multiprocessors; torch {torch.__version__}"
    keep("cap", "\n\n".join(["# The cap", machine, *(measure(FULL, part) for part in PARTS)]))


if __name__ == "__main__":
    main()
