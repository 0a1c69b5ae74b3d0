"""Policies and actions through real drivers and vendor clients, on protocol twins in gated time. Writes results/real.md.

    python -m benchmarks.real_twins --runs runs/       # folders of `make train`, one per robot
    python -m benchmarks.real_twins --part fidelity    # or transfer, friction, gated

transfer: the policy that learned in the simulated twin, in 50 episodes of both ids: deterministic, where its mean acts, and
exploring, where actions are drawn as in training. friction: the same with 0.3 N m of Coulomb friction in every joint of the
protocol twin, which training did not see. fidelity: the same 200 actions on both ids, and how far apart the tools are.
gated: 500 policy steps, five times, once with a pause of 3 s; a digest of all joint states of each.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import tyro

import user_gym  # noqa: F401 - registers the ids
from baselines.play import Play, play
from benchmarks.machine import describe, keep
from user_gym.sim.twin_process import TwinProcess

ROBOTS = ("franka-fr3", "franka-fer", "arx-x5", "arx-l5")
REAL, SIM = "User/PegInsert-real-v0", "User/PegInsert-sim-v0"
_places = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured."""

    part: tuple[str, ...] = ("transfer", "friction", "fidelity", "gated")
    """which tables"""
    robots: tuple[str, ...] = ROBOTS
    """on which arms"""
    runs: Path = Path("runs")
    """where `make train` left its folders; those whose config names the robot are used"""
    episodes: int = 50
    """of transfer and friction"""
    acting: tuple[Literal["deterministic", "exploring"], ...] = ("deterministic", "exploring")
    """how the policy acts in transfer and friction"""
    steps: int = 500
    """of each gated run"""


@contextmanager
def twin(robot: str, **options: Any) -> Iterator[dict[str, str]]:
    """A gated protocol twin in a process of its own; what `gymnasium.make` needs to drive it."""
    number = next(_places)
    if robot.startswith("franka"):
        address = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.{number}"
        with TwinProcess("user_gym.sim.fci.twin:FciTwin", robot, {"address": address, "mode": "gated", **options}) as process:
            yield {"robot": robot, "address": address, "twin": process.side}
    else:
        with tempfile.TemporaryDirectory() as folder:
            bus = f"seqpacket:{folder}/can"
            with TwinProcess("user_gym.sim.can.twin:CanTwin", robot, {"bus": bus, "mode": "gated", **options}) as process:
                yield {"robot": robot, "address": bus, "twin": process.side}


def run_of(robot: str, runs: Path) -> Path | None:
    """The folder of a simulated run of this robot."""
    found = [p.parent for p in sorted(runs.glob("*/config.json")) if f'"robot": "{robot}"' in p.read_text()]
    return next((p for p in found if f'"env_id": "{SIM}"' in (p / "config.json").read_text()), None)


def transfer(options: Options, **of_twin: Any) -> list[str]:
    """Success of one policy on both ids."""
    rows = ["| robot | policy | sim | through the driver | steps | steps/s |", "| --- | --- | --- | --- | --- | --- |"]
    for robot, acting in itertools.product(options.robots, options.acting):
        folder = run_of(robot, options.runs)
        if folder is None:
            rows.append(f"| {robot} | {acting} | no run in {options.runs} | | | |")
            continue
        simulated = Play(folder, episodes=options.episodes, exploring=acting == "exploring")
        sim = play(simulated)
        with twin(robot, **of_twin) as place:
            real = play(replace(simulated, env_id=REAL, address=place["address"], twin=place["twin"]))
        rows.append(
            f"| {robot} | {acting} | {sim.success:.2f} ({sim.length:.1f} steps) | {real.success:.2f} | {real.length:.1f} | "
            f"{real.steps_per_second:.0f} |"
        )
        print(rows[-1], flush=True)
    return rows


def fidelity(options: Options) -> list[str]:
    """The same actions in both; distance of the tools after each step."""
    rows = [
        "| robot | free, mm: median / 95 % / largest | pressing, mm | rotation, mrad | force, N |",
        "| --- | --- | --- | --- | --- |",
    ]
    for robot in options.robots:
        free, touching, turned, force = [], [], [], []
        with twin(robot) as place:
            sim, real = gymnasium.make(SIM, robot=robot), gymnasium.make(REAL, **place)
            for seed in range(4):  # 4 episodes of 50: two move about, two press down
                actions = np.random.default_rng(seed).uniform(-1, 1, (50, 6)).astype(np.float32)
                if seed >= 2:
                    actions[:, 2] = -1.0
                sim.reset(seed=seed)
                real.reset(seed=seed)
                for action in actions:
                    sim.step(action)
                    real.step(action)
                    a, b = sim.unwrapped.state, real.unwrapped.state  # pyright: ignore[reportAttributeAccessIssue]
                    (touching if seed >= 2 else free).append(1e3 * np.linalg.norm(a.tcp[:3] - b.tcp[:3]))
                    turned.append(1e3 * np.linalg.norm(a.tcp[3:] - b.tcp[3:]))
                    force.append(np.linalg.norm(a.wrench[:3] - b.wrench[:3]))
            sim.close()
            real.close()
        rows.append(f"| {robot} | {_three(free)} | {_three(touching)} | {_three(turned)} | {_three(force)} |")
        print(rows[-1], flush=True)
    return rows


def gated(options: Options) -> list[str]:
    """Digests and speed of equal runs; the last one stands still for 3 s in the middle."""
    rows = ["| robot | digests of 5 runs | policy steps/s | times real time |", "| --- | --- | --- | --- |"]
    for robot in options.robots:
        digests, rates = [], []
        for repetition in range(5):
            with twin(robot) as place:
                env = gymnasium.make(REAL, **place)
                actions = np.random.default_rng(0).uniform(-1, 1, (options.steps, 6)).astype(np.float32)
                digest, spent = hashlib.sha256(), 0.0
                env.reset(seed=0)
                for i, action in enumerate(actions):
                    if repetition == 4 and i == options.steps // 2:
                        time.sleep(3.0)  # a learner that stalls
                    began = time.perf_counter()
                    _, _, terminated, truncated, _ = env.step(action)
                    spent += time.perf_counter() - began
                    state = env.unwrapped.state  # pyright: ignore[reportAttributeAccessIssue]
                    digest.update(state.q.tobytes() + state.dq.tobytes())
                    if terminated or truncated:
                        env.reset()
                env.close()
            digests.append(digest.hexdigest()[:12])
            rates.append(options.steps / spent)
        rate = float(np.median(rates))
        same = f"{digests[0]}, all equal" if len(set(digests)) == 1 else "**differ**: " + " ".join(digests)
        rows.append(f"| {robot} | {same} | {rate:.0f} ({min(rates):.0f} .. {max(rates):.0f}) | {rate / 10:.1f} |")
        print(rows[-1], flush=True)
    return rows


def _three(values: list[float]) -> str:
    return f"{np.median(values):.2f} / {np.percentile(values, 95):.2f} / {np.max(values):.2f}"


def main(options: Options) -> None:
    """Measure and keep."""
    parts = {
        "transfer": lambda: transfer(options),
        "friction": lambda: transfer(options, friction=0.3),
        "fidelity": lambda: fidelity(options),
        "gated": lambda: gated(options),
    }
    began = describe()
    for name in options.part:
        keep(f"real_{name}", "\n".join([f"# {name}, real ids on protocol twins in gated time", "", began, "", *parts[name]()]))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
