"""One rank of a measured broadcast: `python -m benchmarks.cap_rank RANK RANKS STORE OUT BACKEND BYTES ROUNDS STEPS LEVEL ...`.

Rank 0 sends; the last rank runs inference meanwhile and writes its table to OUT as JSON. With gloo, everything is on the CPU.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import distributed

from benchmarks.cap_beside import Copying, Size, inference
from user_gym.system.cap import Copier
from user_gym.system.cap.broadcast import GlooCopier
from user_gym.system.cap.nccl import NcclCopier

SMALL = Size(width=64, layers=2, batch=2, tokens=16)


def prepare(backend: str, rank: int, levels: list[int]) -> tuple[torch.device, Copier[torch.Tensor], Size]:
    """Where this rank is, and what it copies with."""
    if backend == "gloo":
        torch.set_num_threads(1)
        return torch.device("cpu"), GlooCopier(levels), SMALL
    device = torch.device("cuda", rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device, NcclCopier(device, levels), Size()


def rows(rank: int, ranks: int, copier: Copier[Any], step: Any, ends: Any, rounds: int, steps: int) -> list[dict[str, float]]:
    """For each level: the receiver's steps alone, then beside `rounds` copies."""
    found: list[dict[str, float]] = []
    for level in copier.levels:
        copier.limit = level
        slowdowns, latencies = [], []
        for _ in range(rounds):
            copier.copy(*ends)  # the ranks are together
            if rank != ranks - 1:
                distributed.barrier()
                copier.copy(*ends)
                continue
            alone = median(step() for _ in range(steps))
            distributed.barrier()
            began = perf_counter()
            with Copying(copier, *ends, once=True) as copying:
                during = []
                while copying.running or not during:
                    during.append(step())
            latencies.append(perf_counter() - began)
            slowdowns.append(median(during) / alone - 1.0)
        if slowdowns:
            found.append({"level": level, "slowdown": median(slowdowns), "latency": median(latencies)})
    return found


def main(
    rank: int, ranks: int, store: str, out: str, backend: str, size: int, rounds: int, steps: int, levels: list[int]
) -> None:
    """Join, measure, write, leave."""
    wait = timedelta(seconds=300)
    device, copier, kind = prepare(backend, rank, levels)
    distributed.init_process_group("gloo", store=distributed.FileStore(store, ranks), rank=rank, world_size=ranks, timeout=wait)
    with copier:
        pattern = torch.arange(4096, device=device).to(torch.uint8)
        arena = (
            pattern.repeat(-(-size // 4096))[:size].contiguous() if rank == 0 else torch.zeros_like(pattern[:1]).repeat(size)
        )
        step = inference(device, kind)
        found = rows(rank, ranks, copier, step, (arena, None) if rank == 0 else (None, arena), rounds, steps)
        assert torch.equal(arena[-4096:], torch.roll(pattern, -(size % 4096))[-size:]), "the bytes did not arrive"
    if rank == ranks - 1:
        Path(out).write_text(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        int(given[0]),
        int(given[1]),
        given[2],
        given[3],
        given[4],
        int(given[5]),
        int(given[6]),
        int(given[7]),
        [int(level) for level in given[8:]],
    )
