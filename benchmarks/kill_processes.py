"""Random kill -9 during one run of several processes: RLPD on peg insertion, two robots, and what is left of it.

    python -m benchmarks.kill_processes --kills 100

Kills are spread over the run's steps: each comes when so many steps are stored, whatever is being started again at that moment.
An acknowledged chunk is one of which a collector said, in the status file, that the owner has it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, keep
from user_gym.system import Buffer
from user_gym.system.atomic_file import read_json
from user_gym.system.processes import RunFolder
from user_gym.system.processes.registry import Identity, holder

PLAN = """
steps = {steps}
updates_per_step = 4.0
learning_starts = 100
batch_size = 128
publish_every = 4
checkpoint_seconds = 1.0
[agent.options]
demos = 20
[[collectors]]
name = "left"
env = "User/PegInsert-sim-v0"
robot = "franka-fr3"
task = "PegInsert"
[[collectors]]
name = "right"
env = "User/PegInsert-sim-v0"
robot = "franka-fr3"
task = "PegInsert"
"""
NAMES = ("left", "right", "learner", "owner", "supervisor")
PATIENCE = 3600.0  # s for a run


class Watch:
    """What a run says of itself, kept over restarts of whoever said it."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.acknowledged: dict[str, dict[int, int]] = {}  # source -> episode -> newest sequence
        self.curve: list[tuple[int, int, int]] = []  # steps, updates, episodes with success
        self.kills: list[tuple[str, float, int]] = []  # who, when, how many steps were stored
        self.back: dict[str, list[float]] = {name: [] for name in NAMES}  # s from each death to work again
        self._missing: dict[str, tuple[float, Identity]] = {}

    def look(self) -> int:
        """Read the status; the steps that are stored."""
        words = read_json(self._folder.status_file) or {"processes": {}}
        for name, facts in words["processes"].items():
            if facts.get("acknowledged"):
                episode, sequence = facts["acknowledged"]
                known = self.acknowledged.setdefault(name, {})
                known[episode] = max(known.get(episode, -1), sequence)
        for name, (when, killed) in list(self._missing.items()):
            facts = words["processes"].get(name, {})
            there = holder(self._folder.processes, name)
            works = name == "supervisor" or (facts.get("state") in ("collects", "learns", "stores") and there is not None
                                             and facts.get("pid") == there.pid)  # fmt: skip
            if there not in (None, killed) and works:
                self.back[name].append(time.monotonic() - when)
                del self._missing[name]
        owner = words["processes"].get("owner", {})
        if "steps" in owner:
            success = sum(robot["success"] for robot in owner["robots"].values())
            self.curve.append((owner["steps"], owner["updates"], success))
        return owner.get("steps", 0)

    def kill(self, name: str, steps: int) -> bool:
        """kill -9; whether it was there."""
        there = holder(self._folder.processes, name)
        if there is None or not there.send(signal.SIGKILL):
            return False
        self.kills.append((name, time.monotonic(), steps))
        self._missing[name] = (time.monotonic(), there)
        return True

    def lost(self) -> tuple[int, int]:
        """How many chunks were acknowledged, at least, and how many of those are not in the buffer."""
        stored: set[tuple[str, int, int]] = set()
        with Buffer.open(self._folder.buffer, read_only=True) as buffer:
            at, total = 0, int(buffer.stats()["transitions_ever"])
            while at < total:
                chunk = buffer.chunk(at)
                key = (chunk.source, chunk.episode, chunk.sequence)
                assert key not in stored, f"{key} is stored twice"
                stored.add(key)
                at += len(chunk)
        said = {
            (name, episode, sequence)
            for name, episodes in self.acknowledged.items()
            for episode, newest in episodes.items()
            for sequence in range(newest + 1)
        }
        return len(said), len(said - stored)


def trained(path: Path, steps: int, kills: int, seed: int) -> tuple[Watch, RunFolder, float]:
    """One run with so many kills; its wall time is the last."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    plan = path / "plan.toml"
    plan.write_text(PLAN.format(steps=steps))
    folder = RunFolder(path / "run")
    watch, draw = Watch(folder), random.Random(seed)
    due = sorted(draw.randint(1, int(0.97 * steps)) for _ in range(kills))
    began = time.monotonic()
    command = [sys.executable, "-m", "user_gym.cli", "run", str(plan), "--run-dir", str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as parent:
        while parent.poll() is None and time.monotonic() - began < PATIENCE:
            steps_now = watch.look()
            while due and steps_now >= due[0] and watch.kill(draw.choice(NAMES), steps_now):
                due.pop(0)
                time.sleep(draw.uniform(0.0, 1.0))
            time.sleep(0.02)
        said = parent.communicate()[0]
        if parent.returncode:
            sys.exit(f"the run ended with {parent.returncode}: {said}")
    watch.look()
    return watch, folder, time.monotonic() - began


def success_of(folder: RunFolder, episodes: int) -> float:
    """Of the last policy, deterministic, on the seeds of all baselines."""
    from baselines.episodes import evaluate, make
    from baselines.online import frozen
    from baselines.plan import agent, config

    options = folder.plan().options
    with closing(make(config(options))) as env:
        learned = agent(env.observation_space, env.action_space, options)  # pyright: ignore[reportArgumentType]
        learned.restore(folder.learner / json.loads((folder.learner / "newest.json").read_text())["agent"])
        return evaluate(env, frozen(learned), episodes)[0]


def table(watch: Watch, folder: RunFolder, wall: float, calm: tuple[RunFolder, float] | None, episodes: int) -> str:
    """The result."""
    finished: Any = folder.finished()
    said, lost = watch.lost()
    lines = [
        f"# {len(watch.kills)} kills during one run", "", describe(), "",
        f"RLPD on peg insertion, two simulated robots, {finished['steps']} steps; `python -m benchmarks.kill_processes`.", "",
        "| | with kills | without |", "| --- | --- | --- |",
    ]  # fmt: skip
    other = calm[0].finished() if calm else None
    rows = [
        ("run finished", "yes", "yes" if other else "not run"),
        ("steps, counted in the buffer", finished["steps"], other["steps"] if other else ""),
        ("updates", finished["updates"], other["updates"] if other else ""),
        (f"success of the last policy, {episodes} episodes", success_of(folder, episodes),
         success_of(calm[0], episodes) if calm else ""),
        ("wall time, s", f"{wall:.0f}", f"{calm[1]:.0f}" if calm else ""),
        ("chunks known to be acknowledged", said, ""),
        ("of them lost", lost, ""),
    ]  # fmt: skip
    lines += [f"| {name} | {one} | {two} |" for name, one, two in rows]
    lines += ["", "| process | kills | s from death to work again, median | worst |", "| --- | --- | --- | --- |"]
    for name in NAMES:
        back = watch.back[name]
        times = f"{statistics.median(back):.1f} | {max(back):.1f}" if back else " | "
        lines.append(f"| {name} | {sum(who == name for who, _, _ in watch.kills)} | {times} |")
    lines += ["", "The learning curve, at the kills of the learner: steps, updates, successful episodes so far.", ""]
    at = [steps for who, _, steps in watch.kills if who == "learner"]
    points = [next(point for point in watch.curve if point[0] >= steps) for steps in at]
    lines.append("; ".join(", ".join(map(str, point)) for point in [*points, watch.curve[-1]]))
    return "\n".join(lines)


def main() -> None:
    """Run and write benchmarks/results/kill_processes.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--episodes", type=int, default=100, help="of the evaluation")
    parser.add_argument("--calm", action="store_true", help="the same run without kills beside it")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "user-gym-kills")
    chosen = parser.parse_args()
    calm = trained(chosen.folder / "calm", chosen.steps, 0, chosen.seed)[1:] if chosen.calm else None
    watch, folder, wall = trained(chosen.folder / "killed", chosen.steps, chosen.kills, chosen.seed)
    keep("kill_processes", table(watch, folder, wall, calm, chosen.episodes))


if __name__ == "__main__":
    main()
