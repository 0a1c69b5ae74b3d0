"""Two Franka and one ARX twin collect into one run of RLPD; a collector, an arm and a driver's program are killed meanwhile.

    python -m benchmarks.three_arms

Gated twins behind franky-control, panda-python and our CAN driver, each step 0.1 s of the wall's time. Rates count what is
stored, by the wall time of each step: before a kill, and from then to the first step of the robot that came back.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe, keep
from benchmarks.paced_twin import PERIOD
from user_gym.robots.motors import MOST_TIMEOUT
from user_gym.sim.twin_process import TwinProcess
from user_gym.system import Buffer
from user_gym.system.atomic_file import read_json
from user_gym.system.processes import RunFolder
from user_gym.system.processes.registry import holder

ARMS = {"left": "franka-fr3", "right": "franka-fer", "third": "arx-x5"}
PLAN = """
steps = {steps}
updates_per_step = 4.0
learning_starts = 200
batch_size = 128
publish_every = 4
checkpoint_seconds = 5.0
[agent.options]
demos = 20
"""
ARM = """
[[collectors]]
name = "{name}"
env = "benchmarks.paced_twin:PacedTwin-v0"
robot = "{robot}"
task = "PegInsert"
kwargs = {{address = "{address}", twin = "{twin}"}}
"""
CALM = 15.0  # s before each kill
DOWN = 5.0  # s until a person comes
PATIENCE = 600.0  # s for anything: the machine may be busy


@dataclass(frozen=True, slots=True)
class Event:
    """Something died."""

    what: str
    who: str  # collector
    at: float  # s since the epoch
    mended: float | None  # when a person had done something; None: nobody had to
    said: str  # by the status meanwhile


class Fleet:
    """Three twins, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._twins = {name: self._made(k, robot) for k, (name, robot) in enumerate(ARMS.items(), 1)}

    def _made(self, number: int, robot: str) -> tuple[str, TwinProcess]:
        if robot.startswith("franka"):
            address = f"127.{os.getpid() >> 8 & 127 | 1}.{os.getpid() & 255}.{number}"
            kind, options = "user_gym.sim.fci.twin:FciTwin", {"address": address}
        else:
            address = f"seqpacket:{self._folder}/can"
            side = f"unix:{self._folder}/side"
            kind, options = "user_gym.sim.can.twin:CanTwin", {"bus": address, "side": side, "timeout": MOST_TIMEOUT}
        return address, TwinProcess(kind, robot, {**options, "mode": "paced"})

    def __enter__(self) -> Fleet:
        with ExitStack() as stack:
            for _, process in self._twins.values():
                stack.enter_context(process)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def plan(self, steps: int) -> str:
        """The run."""
        arms = (ARM.format(name=n, robot=ARMS[n], address=a, twin=p.side) for n, (a, p) in self._twins.items())
        return "".join([PLAN.format(steps=steps), *arms])

    def kill(self, name: str) -> None:
        """The arm and its control box lose power."""
        process = self._twins[name][1]
        os.kill(process.pid, signal.SIGKILL)
        process.close()

    def start(self, name: str) -> None:
        """They have it again."""
        self._twins[name][1].open()


class Trial:
    """One run, from its start to its end.

    Args:
        folder: of the run.
        fleet: its robots.
    """

    def __init__(self, folder: RunFolder, fleet: Fleet) -> None:
        self._folder, self._fleet = folder, fleet
        self.events: list[Event] = []

    def state(self, name: str) -> str:
        """What a process says of itself."""
        return str(self._facts(name).get("state", ""))

    def _facts(self, name: str) -> dict[str, Any]:
        return (read_json(self._folder.status_file) or {}).get("processes", {}).get(name, {})

    def _steps(self, name: str) -> int:
        return self._facts("owner").get("robots", {}).get(name, {}).get("steps", 0)

    def _until(self, what: Any, words: str) -> None:
        end = time.monotonic() + PATIENCE
        while not what():
            if time.monotonic() > end:
                sys.exit(f"{words}: not within {PATIENCE:.0f} s; see {self._folder.logs}")
            time.sleep(0.05)

    def all_work(self) -> None:
        """Each has been stored a chunk since now."""
        before = {name: self._steps(name) for name in ARMS}
        self._until(lambda: all(self._steps(name) > before[name] for name in ARMS), "all three arms at work")
        time.sleep(CALM)

    def collector_dies(self, name: str) -> None:
        """kill -9; nobody does anything about it. An arm without brakes is held until the next collector takes it over."""
        there = holder(self._folder.processes, name)
        assert there is not None
        there.send(signal.SIGKILL)
        self._wait(f"collector of {name}, {ARMS[name]}: kill -9", name, None)

    def arm_dies(self, name: str) -> None:
        """The twin's process dies, and is there again after a while."""
        self._fleet.kill(name)
        self._wait(f"twin of {name}, {ARMS[name]}: kill -9, started again", name, lambda: self._fleet.start(name))

    def _wait(self, what: str, name: str, mend: Any) -> None:
        at, steps, mended, said = time.time(), self._steps(name) + 2 * int(1 / PERIOD), None, ""
        end = time.monotonic() + PATIENCE
        while self._steps(name) < steps or self.state(name) != "collects":  # what was under way may still be counted
            now = self.state(name)
            said = now if now.startswith(("quarantined", "waits to be")) else said
            if mend is not None and mended is None and time.time() > at + DOWN and "quarantined" in now:
                mend()
                mended = time.time()
            if time.monotonic() > end:
                sys.exit(f"{name} did not come back within {PATIENCE:.0f} s; see {self._folder.logs}")
            time.sleep(0.05)
        self.events.append(Event(what, name, at, mended, said))


def times(folder: RunFolder) -> dict[str, np.ndarray]:
    """When each stored step ended, s since the epoch, for each robot."""
    found: dict[str, list[float]] = {name: [] for name in ARMS}
    with Buffer.open(folder.buffer, read_only=True) as buffer:
        at, ever = 0, int(buffer.stats()["transitions_ever"])
        while at < ever:
            chunk = buffer.chunk(at)
            at += len(chunk)
            if chunk.source in found:  # no demonstration
                found[chunk.source] += (chunk.wall_time + PERIOD * (1 + np.arange(len(chunk)))).tolist()
    return {name: np.sort(when) for name, when in found.items()}


def rate(when: np.ndarray, begin: float, end: float) -> float:
    """Steps a second."""
    return float(((when >= begin) & (when < end)).sum() / (end - begin))


def rows(events: list[Event], when: dict[str, np.ndarray]) -> list[str]:
    """What each kill cost."""
    made = []
    for event in events:
        others = [name for name in ARMS if name != event.who]
        # A second's chunk that was under way when it died may have been stored after it.
        back = float(when[event.who][when[event.who] > event.at + 1.5][0]) - PERIOD
        before = [rate(when[name], event.at - CALM, event.at) for name in others]
        during = [rate(when[name], event.at, back) for name in others]
        ratio = sum(during) / sum(before)
        since = f"{back - event.at:.1f}" + (f", {back - event.mended:.1f} after" if event.mended is not None else "")
        said = re.sub(r"127(\.\d+){3}|seqpacket:\S*/can", "ADDRESS", event.said).splitlines()[0][:160] if event.said else ""
        figures = f"{sum(before):.1f} | {sum(during):.1f} | {ratio:.2f} | {since}"
        made.append(f"| {event.what} | {figures} | {said} |")
    return made


def success(folder: RunFolder, robot: str, episodes: int) -> float:
    """Of the last policy on a simulated arm, deterministic, on the seeds of all baselines."""
    from baselines.play import Play, play

    return play(Play(folder.path, env_id="User/PegInsert-sim-v0", robot=robot, episodes=episodes)).success


def table(folder: RunFolder, events: list[Event], episodes: int) -> str:
    """The result."""
    finished: Any = folder.finished()
    when = times(folder)
    first = events[0].at
    lines = ["# Two Franka and one ARX in one run", "", describe(), ""]
    lines += [
        f"RLPD on peg insertion, demonstrations of a simulated FR3 alone, three gated twins behind their drivers at 10 Hz; "
        f"{finished['steps']} steps, {finished['updates']} updates in one run. `python -m benchmarks.three_arms`.", "",
        "| robot | steps/s before the first kill | steps | episodes | of them successful | last policy, simulated, "
        f"{episodes} episodes |", "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, robot in ARMS.items():
        own, before = finished["robots"][name], rate(when[name], first - CALM, first)
        score = success(folder, robot, episodes)
        lines.append(
            f"| {name}, {robot} | {before:.1f} | {own['steps']} | {own['episodes']} | {own['success']} | {score:.2f} |"
        )
    lines += [
        "", "| what died | the other two together, steps/s before | meanwhile | ratio | s until it collects again | "
        "`user-gym run --status` meanwhile |", "| --- | --- | --- | --- | --- | --- |", *rows(events, when),
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Run and write benchmarks/results/three_arms.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--episodes", type=int, default=50, help="of the evaluation, for each arm")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "user-gym-three")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.folder, ignore_errors=True)
    chosen.folder.mkdir(parents=True)
    os.environ |= {"USER_GYM_LEASES": str(chosen.folder / "leases"), "USER_GYM_STOPS": str(chosen.folder / "stops")}
    folder, plan = RunFolder(chosen.folder / "run"), chosen.folder / "plan.toml"
    with Fleet(chosen.folder) as fleet:
        plan.write_text(fleet.plan(chosen.steps))
        command = [sys.executable, "-m", "user_gym.cli", "run", str(plan), "--run-dir", str(folder.path)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as parent:
            try:
                trial = Trial(folder, fleet)
                for kill, name in ((trial.collector_dies, "left"), (trial.arm_dies, "right"), (trial.collector_dies, "third")):
                    trial.all_work()
                    kill(name)
                if parent.wait(3600):
                    sys.exit(f"the run ended with {parent.returncode}; see {folder.logs}")
            finally:
                parent.terminate()
    keep("three_arms", table(folder, trial.events, chosen.episodes))


if __name__ == "__main__":
    main()
