"""What one control cycle on a CAN twin costs: seven orders, seven reports, 5 ms of physics, on each kind of bus.

The twin is in a process of its own, except on the virtual bus, which ends with its process. `python -m benchmarks.bench_can`
writes the table.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, process_time, sleep
from typing import Any

import mujoco
import pytest

from benchmarks.machine import describe, keep
from user_gym.robots import motors, specs
from user_gym.robots.gate import GateClock
from user_gym.robots.wire import buses, damiao, encos
from user_gym.robots.wire.mit import Mit
from user_gym.sim.can.arm import CanArm
from user_gym.sim.can.twin import CanTwin
from user_gym.sim.twin_process import TwinProcess
from user_gym.tasks.peg_insert import PegInsert

ROBOT = "arx-x5"
PERIOD = 0.005  # s
BUSES = ("seqpacket", "socketcand", "virtual")


class Client:
    """Holds the arm through the bus."""

    def __init__(self, bus: str, side: str, twin: int | None) -> None:
        import can

        self.twin = twin  # its process, if it has one of its own

        self._message = can.Message
        self.spec, self.motors = specs.spec(ROBOT), motors.arm(ROBOT).motors
        self.bus, self.clock = buses.connect(bus), GateClock(side)
        self._codec = [encos if m.kind.protocol is motors.Protocol.ENCOS else damiao for m in self.motors]
        for motor, codec in zip(self.motors, self._codec, strict=True):
            if codec is damiao:
                for special in (damiao.Special.CLEAR_ERROR, damiao.Special.ENABLE):
                    self.send(motor.id, special.value)
                    self.read()

    def send(self, number: int, data: bytes) -> None:
        self.bus.send(self._message(arbitration_id=number, data=data, is_extended_id=False))

    def read(self) -> Any:
        message = self.bus.recv(5.0)
        assert message is not None
        return message

    def order(self) -> None:
        for i, (motor, codec) in enumerate(zip(self.motors, self._codec, strict=True)):
            q = self.spec.home[i] if i < self.spec.dof else 0.0
            self.send(motor.id, codec.encode_order(Mit(q, 0.0, 200.0, 3.0, 0.0), motor.kind.ranges))

    def report(self) -> None:
        for motor, codec in zip(self.motors, self._codec, strict=True):
            codec.decode_feedback(bytes(self.read().data), motor.kind.ranges)

    def cycle(self) -> None:
        """Orders, 5 ms of a gated twin, and reports, in the order of the driver."""
        self.order()
        self.clock.tick(PERIOD)
        self.report()

    def close(self) -> None:
        self.clock.close()
        self.bus.shutdown()


@contextmanager
def client(kind: str, mode: str = "gated") -> Iterator[Client]:
    """A client of a fresh twin on this kind of bus."""
    with tempfile.TemporaryDirectory(prefix="can") as folder:
        side = f"unix:{folder}/s"
        if kind == "virtual":
            spec = specs.spec(ROBOT)
            twin: Any = CanTwin(spec, PegInsert(spec), f"virtual:{folder}", mode, side)
        else:
            place = str(Path(folder) / "b") if kind == "seqpacket" else "127.0.0.1:0"
            options = {"bus": f"{kind}:{place}", "mode": mode, "side": side}
            twin = TwinProcess("user_gym.sim.can.twin:CanTwin", ROBOT, options)
        with twin:
            one = Client(_bus(side), side, twin.pid if isinstance(twin, TwinProcess) else None)
            if mode == "gated":
                one.clock.connect()
            try:
                yield one
            finally:
                one.close()


def _bus(side: str) -> str:
    from user_gym.robots.side import Side

    door = Side(side)
    door.connect()
    name = str(door.ask("hello").header["bus"])
    door.close()
    return name


def gated(kind: str, cycles: int, rounds: int) -> tuple[float, float, float]:
    """Seconds per cycle: of the wall, median and least of rounds; and of both processes' CPU."""
    with client(kind) as one:
        seconds, worked = [], _cpu(one.twin)
        for _ in range(rounds):
            start = perf_counter()
            for _ in range(cycles):
                one.cycle()
            seconds.append((perf_counter() - start) / cycles)
        worked = (_cpu(one.twin) - worked) / (rounds * cycles)
    return statistics.median(seconds), min(seconds), worked


def _cpu(twin: int | None) -> float:
    """Seconds of CPU that this process and the twin's have had."""
    if twin is None:
        return process_time()
    fields = Path(f"/proc/{twin}/stat").read_text().rpartition(")")[2].split()
    return process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def paced(kind: str, seconds: float) -> tuple[float, int, float, float]:
    """A loop at 200 Hz in the wall's time: its rate (Hz), cycles a period late, median and greatest round trip (s)."""
    with client(kind, "paced") as one:
        trips, late = [], 0
        begin = monotonic()
        count = round(seconds / PERIOD)
        for k in range(count):
            due = begin + k * PERIOD
            wait = due - monotonic()
            if wait > 0:
                sleep(wait)
            late += monotonic() > due + PERIOD
            one.order()
            one.report()
        rate = count / (monotonic() - begin)
        for _ in range(500):
            start = perf_counter()
            one.send(6, bytes.fromhex("7FFF7FF0000007FF"))
            one.read()
            trips.append(perf_counter() - start)
    return rate, late, statistics.median(trips), max(trips)


def physics() -> float:
    """Seconds that 5 ms of the same physics take with nothing around them: the limit."""
    spec = specs.spec(ROBOT)
    arm = CanArm(spec, PegInsert(spec), motors.arm(ROBOT), 0.001, None, None)
    for i in range(spec.dof):
        arm.follow(i, Mit(spec.home[i], 0.0, 200.0, 3.0, 0.0))
    seconds = []
    for _ in range(2000):
        start = perf_counter()
        mujoco.mj_step(arm.model, arm.data, 5)
        seconds.append(perf_counter() - start)
    return statistics.median(seconds)


@pytest.mark.parametrize("kind", BUSES)
def bench_gated_cycle(benchmark: Any, kind: str) -> None:
    pytest.importorskip("can", reason="python-can is not installed")
    with client(kind) as one:
        benchmark.pedantic(one.cycle, rounds=50, iterations=1, warmup_rounds=5)


def bench_physics(benchmark: Any) -> None:
    benchmark.pedantic(physics, rounds=1, iterations=1)


def main() -> None:
    """Write the table."""
    bare = physics()
    lines = [
        "# CAN twin",
        "",
        f"{describe()}; MuJoCo {mujoco.__version__}, {ROBOT}, ticks of 1 ms.",
        "The client encodes and decodes with our codecs through python-can; it computes no gravity and no inverse kinematics.",
        "A cycle is 7 orders, 7 reports, and 5 ms of the robot's time.",
        "",
        f"5 ms of the same physics with nothing around it: {bare * 1e3:.3f} ms.",
        "",
        "| bus | gated cycle, median of 9 x 400 | least | CPU of client and twin | times real time, median | best |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in BUSES:
        cycle, least, worked = gated(kind, 400, 9)
        times = f"{PERIOD / cycle:.1f} | {PERIOD / least:.1f}"
        lines.append(f"| {kind} | {cycle * 1e3:.3f} ms | {least * 1e3:.3f} ms | {worked * 1e3:.3f} ms | {times} |")
    lines += [
        "",
        "| bus | paced, 200 Hz for 20 s: rate | cycles a period late | round trip of one frame, median | greatest of 500 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in BUSES:
        rate, late, trip, worst = paced(kind, 20.0)
        lines.append(f"| {kind} | {rate:.1f} Hz | {late} of 4000 | {trip * 1e6:.0f} us | {worst * 1e6:.0f} us |")
    lines += [
        "",
        "The virtual bus lives in one process, so client and twin share an interpreter there.",
        "SocketCAN is not measured: this kernel has none.",
    ]
    keep("can", "\n".join(lines))


if __name__ == "__main__":
    main()
