"""The persistent buffer beside the buffers that people would take instead, and beside what the machine can do at most.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install stable-baselines3 torchrl cpprb    # the extra `peers`
    USER_GYM_BENCH_PEERS=/tmp/peers/bin/python python -m benchmarks.bench_buffer               # 6 GB in the temporary folder

Everyone stores the same experience in a process of its own and draws the same batches, 256 transitions with next observations.
They take turns; ratios are medians over rounds of two figures of one round. Rates count the bytes of a batch as they were
recorded, also for those that deliver it in a wider type. Peers are not measured that no interpreter of USER_GYM_BENCH_PEERS has
(several are separated as in PATH). `--only` measures a part and keeps nothing. Run as a test it is small, unless the
variable USER_GYM_BENCH says `full`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.buffer_workloads import SMALL, Bench, Sizes
from benchmarks.machine import describe, keep
from user_gym.errors import MissingSystem

PARTS: Mapping[str, tuple[str, Callable[[Bench], str]]] = {
    "pictures": ("Pictures, warm: two 128 x 128 x 3 and their next ones", Bench.pictures),
    "state": ("State only: sampling", Bench.state),
    "adding": ("State only: adding", Bench.adding),
    "durable": ("Pictures: durable adding", Bench.durable),
    "size": ("Bytes on disk", Bench.size),
    "cold": ("Pictures, cold", Bench.cold),
    "reopening": ("Reopening", Bench.reopening),
    "horizons": ("Steps of one draw", Bench.horizons),
}


def measure(parts: Sequence[str], sizes: Sizes) -> str:
    """The tables of these parts."""
    texts: list[str] = []
    for part in parts:
        title, run = PARTS[part]
        with tempfile.TemporaryDirectory(prefix="user-gym-bench-") as folder:
            bench = Bench(Path(folder), sizes)
            if part not in ("state", "adding"):
                bench.draw()
            texts.append(f"## {title}\n\n{(run.__doc__ or '').strip()}\n\n{run(bench)}")
    return "\n\n".join(texts)


@pytest.mark.parametrize("part", PARTS)
def bench_part(benchmark: Any, part: str) -> None:
    sizes = Sizes() if os.environ.get("USER_GYM_BENCH") == "full" else SMALL
    try:
        text = benchmark.pedantic(measure, args=([part], sizes), rounds=1)
    except MissingSystem as error:
        pytest.skip(str(error))
    if "memory only" in text:
        pytest.skip("this version keeps experience in memory only")
    assert "Not measured: ours" not in text, text


def main() -> None:
    """Measure, and keep what is whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[])
    only = parser.parse_args().only
    began = describe()
    text = measure(only or list(PARTS), Sizes())
    if only:
        print(text)
        return
    keep("buffer", f"# Buffer\n\n{began}; {Sizes().repetitions} rounds\n\n{text}")


if __name__ == "__main__":
    main()
