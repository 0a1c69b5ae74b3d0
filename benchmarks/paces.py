"""Four robots of 50 ms steps and 0.5 s resets: steps a second, as processes of a run and in stock vectorisers.

    python -m benchmarks.paces --seconds 30

Each alone takes 10 steps in 1 s: 40 steps/s are ideal. The robots' first episodes have different lengths, so that their resets
do not fall together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np

from benchmarks.machine import describe, keep
from benchmarks.paced_robots import STEPS, PacedRobot
from user_gym.system import Buffer
from user_gym.system.processes import RunFolder

ROBOTS, STEP, RESET = 4, 0.05, 0.5  # s
FIRST = (10, 8, 5, 3)  # steps of each robot's first episode
WARM_UP = 3.0  # s
IDEAL = ROBOTS * STEPS / (STEPS * STEP + RESET)


def processes(folder: Path, seconds: float) -> tuple[float, float]:
    """Steps a second of a run, by the times of its chunks; and the least of a robot's."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = [f"steps = {int(IDEAL * (seconds + WARM_UP))}", "batch_size = 8", "tolerance = 100000.0", "[agent]"]
    lines += ['make = "benchmarks.paced_robots:agent"']
    for k, first in enumerate(FIRST):
        kwargs = f"{{step = {STEP}, reset = {RESET}, first = {first}}}"
        lines += [
            "[[collectors]]",
            f'name = "robot-{k}"',
            'env = "benchmarks.paced_robots:PacedRobot-v0"',
            f"kwargs = {kwargs}",
        ]
    (folder / "plan.toml").write_text("\n".join(lines))
    command = [sys.executable, "-m", "user_gym.cli", "run", str(folder / "plan.toml"), "--run-dir", str(folder / "run")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rates = []
    with Buffer.open(RunFolder(folder / "run").buffer, read_only=True) as buffer:
        for k in range(ROBOTS):
            numbers = buffer.view(f"source = 'robot-{k}'").numbers().tolist()
            starts: dict[int, tuple[float, int]] = {}  # episode -> when it began, steps before it
            for count, number in enumerate(numbers):
                chunk = buffer.chunk(number)
                starts.setdefault(chunk.episode, (chunk.wall_time, count))
            first = next(one for one in starts.values() if one[0] > starts[0][0] + WARM_UP)
            last = starts[max(starts)]
            rates.append((last[1] - first[1]) / (last[0] - first[0]))
    return sum(rates), min(rates)


def vectoriser(kind: str, seconds: float) -> float:
    """Steps a second of stock vectorisers, each robot's own resets included."""
    makers = [partial(PacedRobot, STEP, RESET, first) for first in FIRST]
    made = {"SyncVectorEnv": gymnasium.vector.SyncVectorEnv, "AsyncVectorEnv": gymnasium.vector.AsyncVectorEnv}[kind]
    env = made(makers, **({"context": "spawn"} if kind == "AsyncVectorEnv" else {}))
    try:
        env.reset(seed=0)
        actions, steps, over, began = np.zeros((ROBOTS, 1), np.float32), 0, np.zeros(ROBOTS, bool), time.monotonic()
        while time.monotonic() - began < seconds:
            fresh = ~over  # a row whose episode ended is reset in the next call, and takes no step in it
            _, _, terminated, truncated, _ = env.step(actions)
            steps += int(fresh.sum())
            over = terminated | truncated
        return steps / (time.monotonic() - began)
    finally:
        env.close()


def main() -> None:
    """Run and write benchmarks/results/paces.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "user-gym-paces")
    chosen = parser.parse_args()
    total, least = processes(chosen.folder, chosen.seconds)
    finished = json.loads((chosen.folder / "run" / "finished.json").read_text())
    rows = [(f"processes of a run (slowest robot {least:.2f} of 10)", total)]
    rows += [(f"Gymnasium's {kind}", vectoriser(kind, chosen.seconds)) for kind in ("AsyncVectorEnv", "SyncVectorEnv")]
    lines = ["# Four robots of 50 ms steps and 0.5 s resets", "", describe(), ""]
    lines += [f"`python -m benchmarks.paces`, {finished['steps']} steps in the run.", "", "| | steps/s | of the ideal 40 |"]
    lines += ["| --- | --- | --- |", *(f"| {name} | {rate:.1f} | {rate / IDEAL:.1%} |" for name, rate in rows)]
    keep("paces", "\n".join(lines))


if __name__ == "__main__":
    main()
