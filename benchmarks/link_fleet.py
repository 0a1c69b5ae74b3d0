"""What an edge costs its hub: many simulated edges, mutual TLS, durable commits.

    python -m benchmarks.link_fleet --keep

The hub is `user-gym hub` in a process of its own; its processor time and memory are the kernel's figures, while all edges send.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.machine import describe, keep
from user_gym.system.buffer import Buffer
from user_gym.system.link.identity.hub_folder import HubFolder

SWARMS = 4  # processes that share the edges
_TICKS = os.sysconf("SC_CLK_TCK")


class Fleet(NamedTuple):
    """What there is."""

    edges: int
    period: float  # s from one block of an edge to its next
    nbytes: int  # of a block


# The bar's; four times as many; and as an edge sends by default, a block for each second of its robot.
FLEETS = (Fleet(64, 0.1, 20_000), Fleet(256, 0.1, 20_000), Fleet(256, 1.0, 80_000))


class Cost(NamedTuple):
    """Of one fleet."""

    fleet: Fleet
    cpu: float  # of a core, all edges together
    idle: float  # bytes of memory an edge adds by being connected
    busy: float  # bytes an edge adds, at the end
    sent: int
    stored: int
    spread: float  # (most - least) / mean of what the edges have stored
    latencies: tuple[float, float]  # s until a block is acknowledged: p50, p99
    swarm: float  # of a core, the simulated edges together


def measure(fleet: Fleet, seconds: float, folder: Path) -> Cost:
    """One fleet."""
    edges = fleet.edges
    books = HubFolder(folder / "books")
    for k in range(edges):
        books.enroll(f"e{k}", "127.0.0.1:1").save(folder / f"e{k}.bundle")
    command = [
        sys.executable,
        "-m",
        "user_gym.cli",
        "hub",
        "--folder",
        str(folder / "books"),
        "--buffer",
        str(folder / "buffer"),
    ]
    hub = subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    swarms = []
    try:
        assert hub.stdout is not None
        address = f"127.0.0.1:{hub.stdout.readline().split(':')[-1].strip()}"
        time.sleep(1.0)
        empty = _memory(hub.pid)
        for k in range(SWARMS):
            options = {
                "address": address, "bundles": [str(folder / f"e{n}.bundle") for n in range(k, edges, SWARMS)],
                "seconds": seconds, "period": fleet.period, "nbytes": fleet.nbytes, "phase": k / SWARMS,
            }  # fmt: skip
            command = [sys.executable, "-m", "benchmarks.link_swarm", json.dumps(options)]
            swarms.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for swarm in swarms:
            assert swarm.stdout.readline() == "ready\n"
        time.sleep(2.0)
        idle, began, used, others = _memory(hub.pid), time.monotonic(), _cpu(hub.pid), sum(_cpu(s.pid) for s in swarms)
        for swarm in swarms:
            swarm.stdin.write("go\n")
            swarm.stdin.flush()
        time.sleep(seconds)
        lasted = time.monotonic() - began
        cpu, swarm_cpu = (_cpu(hub.pid) - used) / lasted, (sum(_cpu(s.pid) for s in swarms) - others) / lasted
        busy = _memory(hub.pid)
        said = [json.loads(swarm.communicate(timeout=200.0)[0]) for swarm in swarms]
    finally:
        for swarm in swarms:
            swarm.kill()
            swarm.communicate()
        hub.send_signal(signal.SIGINT)
        hub.communicate(timeout=60.0)
    latencies = np.concatenate([part["latencies"] for part in said])
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        counts = Counter(buffer.chunk(number).source for number in buffer.numbers().tolist())
    spread = (max(counts.values()) - min(counts.values())) / (sum(counts.values()) / edges)
    return Cost(
        fleet, cpu, (idle - empty) / edges, (busy - empty) / edges, edges * int(seconds / fleet.period), sum(counts.values()),
        spread, (float(np.quantile(latencies, 0.5)), float(np.quantile(latencies, 0.99))), swarm_cpu,
    )  # fmt: skip


def _cpu(pid: int) -> float:
    """s of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int) -> float:
    """Bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return 1024.0 * int(line.split()[1])


def row(cost: Cost) -> str:
    """Of the table."""
    fleet = cost.fleet
    cells = (
        fleet.edges, f"{fleet.period:g} s, {fleet.nbytes / 1000:.0f} KB", f"{cost.cpu / fleet.edges:.3%}", f"{cost.cpu:.0%}",
        f"{cost.idle / 1e3:.0f}", f"{cost.busy / 1e3:.0f}", f"{cost.stored} of {cost.sent}", f"{cost.spread:.1%}",
        *(f"{1e3 * x:.1f}" for x in cost.latencies), f"{cost.swarm:.0%}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


COLUMNS = (
    "edges", "a block each", "hub: of a core, each", "all", "memory each: connected, KB", "at the end", "blocks stored",
    "spread", "acknowledged after: p50, ms", "p99", "simulated edges, of a core",
)  # fmt: skip
TEXT = """# What an edge costs its hub

{machine}

`python -m benchmarks.link_fleet --keep`. Each edge has a connection of its own with mutual TLS, and sends blocks of
noise for {seconds:.0f} s; the hub commits them durably. The hub is `user-gym hub` in a process of its own, the edges share
{swarms} processes, all on the same two cores. Spread: of the blocks stored, most less least of an edge, over the mean.

| {columns} |
|{rule}
{rows}"""


def main() -> None:
    """Run and write benchmarks/results/link_fleet.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleets", type=int, nargs="+", default=range(len(FLEETS)), help="which of the rows")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--keep", action="store_true", help="write the table")
    chosen = parser.parse_args()
    machine, rows = describe(), []
    for fleet in (FLEETS[k] for k in chosen.fleets):
        with tempfile.TemporaryDirectory(prefix="link-fleet-") as folder:
            rows.append(measure(fleet, chosen.seconds, Path(folder)))
        print(row(rows[-1]), flush=True)
    if chosen.keep:
        text = TEXT.format(
            machine=machine, seconds=chosen.seconds, swarms=SWARMS, columns=" | ".join(COLUMNS),
            rule=" --- |" * len(COLUMNS), rows="\n".join(map(row, rows)),
        )  # fmt: skip
        keep("link_fleet", text)


if __name__ == "__main__":
    main()
