"""The main job, RLPD on peg insertion, with its robots on this host, and with the same robots at edges: success and wall time.

    python -m benchmarks.link_main_job

Both run at the same pace: a step of a simulated robot lasts a declared time of the wall. Across the link each robot is the
robot of an edge, `user-gym edge` over mutual TLS, with the policy's class named there. `across` takes where either side is to
be started, so that the same job can be run over any network.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe, keep
from user_gym.system import Buffer
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.processes import RunFolder

PLAN = """
steps = {steps}
updates_per_step = 4.0
learning_starts = 100
batch_size = 128
publish_every = 4
[agent.options]
demos = 20
"""
ROBOT = """
[[collectors]]
name = "{name}"
env = "benchmarks.paced_sim:PacedSim-v0"
robot = "franka-fr3"
task = "PegInsert"
kwargs = {{period = {period}}}
"""
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
_PATIENCE = 3600.0  # s
Place = Callable[[Callable[[], "subprocess.Popen[bytes]"]], "subprocess.Popen[bytes]"]  # starts something somewhere


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done.

    Args:
        steps: of all robots together.
        robots: how many, each in a process of its own.
        period: s of the wall that a step lasts.
        episodes: of the evaluation.
    """

    steps: int = 3500
    robots: int = 2
    period: float = 0.05
    episodes: int = 100

    def plan(self, listen: str = "", folder: Path | None = None) -> str:
        """The run, on one host; or, where it listens, with the robots at edges."""
        made = [PLAN.format(steps=self.steps)]
        if listen:
            made.append(f'[hub]\nlisten = "{listen}"\nfolder = "{folder}"\nhosts = ["{listen.rpartition(":")[0]}"]\n')
        for k in range(self.robots):
            made.append(ROBOT.format(name=f"r{k}", period=self.period))
            made.append(f'edge = "e{k}"\n' if listen else "")
        return "".join(made)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    wall: float  # s from the command to its end
    training: float  # s from the first step to the last one
    success: float  # share of the last policy's episodes, deterministic
    steps: int
    updates: int
    staleness: float  # versions that the policy of a step was behind the newest that acted before, median


def here(job: Job, folder: Path) -> Outcome:
    """All on this host."""
    return _run(job, folder, job.plan(), _at_once, [])


def across(
    job: Job, folder: Path, listen: str, dial: str, *, at_hub: Place | None = None, at_edge: Place | None = None
) -> Outcome:
    """Robots at edges.

    Args:
        job: to be done.
        folder: for all that it writes.
        listen: HOST:PORT at the hub's side.
        dial: HOST:PORT under which edges reach that.
        at_hub, at_edge: start a process on either side; None: here.
    """
    hub, place = HubFolder(folder / "hub"), at_edge or _at_once
    edges = []
    for k in range(job.robots):
        hub.enroll(f"e{k}", dial).save(folder / f"e{k}.bundle")
        (folder / f"e{k}.toml").write_text(
            f'bundle = "{folder}/e{k}.bundle"\npolicy = "baselines.plan:policy"\nspool = "{folder}/spool-{k}"\n'
            f'raw = "{folder}/raw-{k}"\n' + ROBOT.format(name=f"r{k}", period=job.period).replace("collectors", "robots")
        )
        edges.append(lambda k=k: place(lambda: _command(folder / f"e{k}.log", "edge", "--config", f"{folder}/e{k}.toml")))
    return _run(job, folder, job.plan(listen, folder / "hub"), at_hub or _at_once, edges)


def _run(job: Job, folder: Path, plan: str, place: Place, others: list[Callable[[], subprocess.Popen[bytes]]]) -> Outcome:
    (folder / "plan.toml").write_text(plan)
    began, run = time.monotonic(), RunFolder(folder / "run")
    command = ("run", f"{folder}/plan.toml", "--run-dir", str(run.path))
    processes = [place(lambda: _command(folder / "run.log", *command)), *(start() for start in others)]
    try:
        if processes[0].wait(_PATIENCE):
            sys.exit(f"the run ended with {processes[0].returncode}; see {folder}")
        wall = time.monotonic() - began
        for process in processes[1:]:
            if process.wait(_PATIENCE):
                sys.exit(f"an edge ended with {process.returncode}; see {folder}")
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    finished: Any = run.finished()
    training, staleness = _steps(run)
    return Outcome(wall, training, success(run, job.episodes), finished["steps"], finished["updates"], staleness)


def _command(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "user_gym.cli", *arguments], stdout=out, stderr=subprocess.STDOUT,
            env={**os.environ, **_ONE_THREAD, "PYTHONUNBUFFERED": "1", "USER_GYM_STOPS": f"{log}.stops"},
        )  # fmt: skip


def _at_once(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    return start()


def _steps(run: RunFolder) -> tuple[float, float]:
    """s from the first step to the last, by the clocks of those that took them; and median staleness in order of storing."""
    walls, behind, newest = list[float](), list[int](), -1
    with Buffer.open(run.buffer, read_only=True) as buffer:
        at, ever = 0, int(buffer.stats()["transitions_ever"])
        while at < ever:
            chunk = buffer.chunk(at)
            at += len(chunk)
            if chunk.kind == "policy":
                walls.append(chunk.wall_time)
                behind += (newest - chunk.policy_version[chunk.policy_version <= newest]).tolist()
                newest = max(newest, int(chunk.policy_version.max()))
    return max(walls) - min(walls), float(np.median(behind))


def success(run: RunFolder, episodes: int) -> float:
    """Of the last policy, deterministic, on the seeds of all baselines."""
    from baselines.episodes import evaluate, make
    from baselines.online import frozen
    from baselines.plan import agent, config

    options = {**run.plan().options, "demos": 0}
    with closing(make(config(options))) as env:
        learned = agent(env.observation_space, env.action_space, options)  # pyright: ignore[reportArgumentType]
        learned.restore(run.learner / json.loads((run.learner / "newest.json").read_text())["agent"])
        return evaluate(env, frozen(learned), episodes)[0]


def table(job: Job, outcomes: dict[str, list[Outcome]]) -> str:
    """The result: medians over repetitions."""
    lines = [
        "# The main job, robots here and at edges", "", describe(), "",
        f"RLPD on peg insertion, {job.robots} simulated FR3, each step {1000 * job.period:.0f} ms of the wall, "
        f"{job.steps} steps; medians of {len(next(iter(outcomes.values())))}. `python -m benchmarks.link_main_job`", "",
        "| robots | success of the last policy | wall, s | first step to last, s | steps | updates | versions behind |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, found in outcomes.items():
        middle = {field: statistics.median(getattr(one, field) for one in found) for field in Outcome.__slots__}
        rates = ", ".join(f"{one.success:.2f}" for one in found)
        lines.append(
            f"| {name} | {rates} | {middle['wall']:.1f} | {middle['training']:.1f} | {middle['steps']:.0f} | "
            f"{middle['updates']:.0f} | {middle['staleness']:.1f} |"
        )
    base, *rest = outcomes
    for name in rest:
        pairs = list(zip(outcomes[name], outcomes[base], strict=True))
        walls = statistics.median(one.wall / other.wall for one, other in pairs)
        trainings = statistics.median(one.training / other.training for one, other in pairs)
        lines += ["", f"{name}, times {base}: wall {walls:.2f}, first step to last {trainings:.2f}."]
    return "\n".join(lines)


def main() -> None:
    """Run both in turns, and write benchmarks/results/link_main_job.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--robots", type=int, default=2)
    parser.add_argument("--period", type=float, default=0.05, help="s of the wall that a step lasts")
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--listen", default=f"127.{os.getpid() >> 8 & 127 | 1}.{os.getpid() & 255}.1:5870")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "user-gym-link-job")
    chosen = parser.parse_args()
    job = Job(chosen.steps, chosen.robots, chosen.period)
    outcomes: dict[str, list[Outcome]] = {"on this host": [], "at edges, over loopback": []}
    for _ in range(chosen.repetitions):
        for name, found in outcomes.items():
            shutil.rmtree(chosen.folder, ignore_errors=True)
            chosen.folder.mkdir(parents=True)
            made = (
                here(job, chosen.folder) if name == "on this host" else across(job, chosen.folder, chosen.listen, chosen.listen)
            )
            print(f"{name}: {made}", flush=True)
            found.append(made)
    keep("link_main_job", table(job, outcomes))


if __name__ == "__main__":
    main()
