"""What an ARX arm's driver costs: policy steps through a gated CAN twin, and the control loop in the wall's time.

The twin is in a process of its own. `python -m benchmarks.bench_arx` writes the table.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np
import pytest

from benchmarks.machine import describe, keep
from user_gym.core import Command
from user_gym.real.arx.driver import ArxDriver
from user_gym.real.arx.law import Measured, cartesian
from user_gym.real.clock import WallClock
from user_gym.robots import dynamics, kinematics, registry, specs
from user_gym.robots.gate import GateClock
from user_gym.sim.twin_process import TwinProcess

ROBOTS = ("arx-x5", "arx-l5")
PERIOD = 0.1  # s, of a policy


@contextmanager
def driver(robot: str, mode: str) -> Iterator[ArxDriver]:
    """Connected, on a twin in another process."""
    with tempfile.TemporaryDirectory() as folder:
        bus = f"seqpacket:{folder}/bus"
        with TwinProcess("user_gym.sim.can.twin:CanTwin", robot, {"bus": bus, "mode": mode}) as twin:
            clock: Any = GateClock(twin.side) if mode == "gated" else WallClock()
            clock.connect()
            spec = specs.spec(robot)
            found = ArxDriver(
                spec, "tcp", bus, clock, payload=dynamics.held(registry.make_task("PegInsert", spec)), leave="hold"
            )
            try:
                found.connect()
                yield found
            finally:
                found.close()
                clock.close()


def steps(found: ArxDriver, count: int) -> None:
    """Follow orders around the place where the arm stands."""
    tcp = found.begin().tcp
    for i in range(count):
        found.exchange(Command(0.0, tcp + 0.005 * np.sin(0.3 * i) * np.eye(6)[0]), PERIOD)


@pytest.mark.parametrize("robot", ROBOTS)
def bench_policy_step_through_the_gated_twin(benchmark: Any, robot: str) -> None:
    with driver(robot, "gated") as found:
        benchmark.pedantic(lambda: steps(found, 10), rounds=3, warmup_rounds=1)


def bench_law_and_gravity(benchmark: Any) -> None:
    spec = specs.spec("arx-x5")
    benchmark(lambda: _think(spec))


def _think(spec: Any) -> None:
    law = cartesian(spec, spec.compliance, np.array([0.3, 0, 0.1, 0, 0, 0]))
    tool, gravity = kinematics.linearise(spec, spec.home), dynamics.gravity(spec, spec.home)
    none = np.zeros(6)
    law.orders(Measured(0.0, 0, spec.home, none, none, gravity, tool, 0.0, 0.0, 0.0, none), 0.005)


def _gated(robot: str) -> str:
    with driver(robot, "gated") as found:
        steps(found, 20)
        walls, cpus = [], []
        for _ in range(9):
            wall, cpu = perf_counter(), process_time()
            steps(found, 50)
            walls.append((perf_counter() - wall) / 50)
            cpus.append((process_time() - cpu) / 50)
    wall = statistics.median(walls)
    best = min(walls)
    return (
        f"| {robot} | {1 / wall:.0f} | {1 / best:.0f} | {1e3 * statistics.median(cpus):.1f} ms "
        f"| {PERIOD / wall:.1f} | {PERIOD / best:.1f} |"
    )


def _paced(robot: str, seconds: float = 20.0) -> str:
    with driver(robot, "paced") as found:
        loop = found._loop
        assert loop is not None
        first, late, began = loop.newest.cycles, loop.late, perf_counter()
        q = []
        while perf_counter() - began < seconds:
            sleep(0.1)
            q.append(found.measure().q)
        cycles, wall = loop.newest.cycles - first, perf_counter() - began
        drift = float(np.abs(np.ptp(np.array(q), axis=0)).max())
        return f"| {robot} | {cycles / wall:.1f} Hz | {loop.late - late} of {cycles} | {1e3 * drift:.2f} mrad |"


def main() -> None:
    """Write the table."""
    lines = [
        "# ARX driver",
        "",
        f"{describe()}; the twin in a process of its own on a seqpacket bus, PegInsert's peg held, payload known.",
        "A policy step is 20 control cycles: law, 7 orders, 7 reports, 5 ms of the robot's time each.",
        "",
        "| robot | gated policy steps/s, median of 9 x 50 | best | CPU of the driver | times real time, median | best |",
        "| --- | --- | --- | --- | --- | --- |",
        *map(_gated, ROBOTS),
        "",
        "| robot | paced, holding for 20 s: rate | late cycles | greatest motion of a joint |",
        "| --- | --- | --- | --- |",
        *map(_paced, ROBOTS),
        "",
        "A late cycle began after its deadline; the series then starts anew. SocketCAN and hardware are not measured.",
    ]
    keep("arx", "\n".join(lines))


if __name__ == "__main__":
    main()
