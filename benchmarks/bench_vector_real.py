"""Steps per second of four arms that differ in speed and in how long a reset takes, each in a worker process of its own.

The limit is what each arm reaches alone, added up. Peers are Gymnasium's own vectorisers over the same environments, and our
own lockstep. All run in turn, so that the machine's drift hits all alike; medians over the rounds. Arms cost nothing but time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from benchmarks.machine import describe, keep
from benchmarks.paced_arm import RatedBench
from user_gym.env import RobotEnv
from user_gym.errors import RobotFault
from user_gym.robots import approval
from user_gym.vector import IndependentVectorEnv

EPISODE = 20  # steps
ARMS = ((0.010, 0.05), (0.015, 0.10), (0.020, 0.15), (0.030, 0.20))  # s: period, reset
ALIKE = ((0.020, 0.10),) * 2


def options(number: int, period: float, reset: float) -> dict[str, Any]:
    """What makes one arm of the many."""
    return {
        "task": RatedBench,
        "backend": "real",
        "rate": 1.0 / period,
        "address": f"127.{os.getpid() % 250 + 1}.{number + 1}.9",
        "driver": "benchmarks.paced_arm:PacedArm",
        "driver_options": {"reset": reset},
        "approve": True,
        "stale": 60.0,  # Gymnasium's vectorisers let an arm wait longer than a second
    }


class Make:
    """A single environment, as Gymnasium's vectorisers want it: a callable that can be pickled."""

    def __init__(self, arm: dict[str, Any]) -> None:
        self.arm = arm

    def __call__(self) -> gymnasium.Env[Any, Any]:
        return TimeLimit(RobotEnv(**self.arm), EPISODE)


def alone(arm: dict[str, Any], seconds: float) -> float:
    """Steps per second of one arm in Gymnasium's plain loop."""
    env = Make(arm)()
    action = np.zeros(6, np.float32)
    env.reset(seed=0)
    steps, start = 0, perf_counter()
    while (passed := perf_counter() - start) < seconds:
        *_, over, cut, _ = env.step(action)
        steps += 1
        if over or cut:
            env.reset()
    env.close()
    return steps / passed


def lockstep(env: gymnasium.vector.VectorEnv[Any, Any, Any], seconds: float) -> float:
    """Steps per second of all arms, those not counted in which an arm was reset."""
    n = env.num_envs
    actions, resting = np.zeros((n, 6), np.float32), np.zeros(n, bool)
    env.reset(seed=0)
    steps, start = 0, perf_counter()
    while (passed := perf_counter() - start) < seconds:
        *_, over, cut, _ = env.step(actions)
        steps += n - resting.sum()
        resting = over | cut
    env.close()
    return steps / passed


def send_recv(env: IndependentVectorEnv, seconds: float) -> float:
    """The same without lockstep."""
    env.reset(seed=0)
    resting = np.zeros(env.num_envs, bool)
    env.send(np.zeros((env.num_envs, 6), np.float32))
    steps, start = 0, perf_counter()
    while (passed := perf_counter() - start) < seconds:
        got = env.recv()
        steps += len(got.ids) - resting[got.ids].sum()
        resting[got.ids] = got.terminated | got.truncated
        env.send(np.zeros((len(got.ids), 6), np.float32), got.ids)
    env.close()
    return steps / passed


def ours(arms: list[dict[str, Any]]) -> IndependentVectorEnv:
    """The arms in one environment of ours."""
    return IndependentVectorEnv(len(arms), rows=arms, max_episode_steps=EPISODE)


def table(rounds: int = 5, seconds: float = 8.0) -> str:
    """All figures as a markdown table."""
    arms = [options(i, *arm) for i, arm in enumerate(ARMS)]
    ways: dict[str, Callable[[], float]] = {
        "ours, `send` and `recv`": lambda: send_recv(ours(arms), seconds),
        "ours, `step`": lambda: lockstep(ours(arms), seconds),
        "gymnasium SyncVectorEnv": lambda: lockstep(gymnasium.vector.SyncVectorEnv([Make(arm) for arm in arms]), seconds),
        "gymnasium AsyncVectorEnv": lambda: lockstep(
            gymnasium.vector.AsyncVectorEnv([Make(arm) for arm in arms], context="spawn"), seconds
        ),
    }
    limits: list[float] = []
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        limits.append(sum(alone(arm, seconds / 2) for arm in arms))
        for name, way in ways.items():
            rates[name].append(way() / limits[-1])
    limit = statistics.median(limits)
    rows = ["| four arms | steps/s | of the sum alone | range |", "| --- | --- | --- | --- |"]
    rows.append(f"| each alone, added up | {limit:.1f} | 1 | |")
    for name, shares in rates.items():
        share = statistics.median(shares)
        rows.append(f"| {name} | {share * limit:.1f} | {share:.3f} | {min(shares):.3f} .. {max(shares):.3f} |")
    return "\n".join([*rows, "", *pair(rounds, seconds)])


def pair(rounds: int, seconds: float) -> list[str]:
    """Rows of two equal arms in lockstep against one."""
    arms = [options(i, *arm) for i, arm in enumerate(ALIKE)]
    one = [1e3 / alone(arms[0], seconds) for _ in range(rounds)]
    two = [2e3 / lockstep(ours(arms), seconds) for _ in range(rounds)]
    ratio = statistics.median(b / a for a, b in zip(one, two, strict=True))
    return [
        "| two equal arms in lockstep, resets included | ms a step |",
        "| --- | --- |",
        f"| one arm | {statistics.median(one):.2f} |",
        f"| two arms | {statistics.median(two):.2f} ({ratio:.3f} times one) |",
    ]


def twins(rounds: int = 3, steps: int = 60) -> list[str]:
    """Rows of two FCI twins behind franky in paced time against one. Lost cycles are forgiven: no real-time machine."""
    from user_gym.sim.twin_process import TwinProcess

    places = [f"127.{os.getpid() % 250 + 1}.{i + 1}.7" for i in range(2)]
    paced = {"mode": "paced", "lost_cycles": False}
    medians: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        rows = []
        for place in places:
            twin = stack.enter_context(TwinProcess("user_gym.sim.fci.twin:FciTwin", "franka-fr3", {"address": place, **paced}))
            rows.append({"address": place, "twin": twin.side, "clock": "wall"})
        for _ in range(rounds):
            for n, figures in medians.items():
                env = IndependentVectorEnv(n, backend="real", rows=rows[:n], max_episode_steps=10**6)
                _begin(env)
                figures.append(statistics.median(_timed(env) for _ in range(steps)))
                env.close()
    one, two = (statistics.median(figures) for figures in medians.values())
    ratio = statistics.median(b / a for a, b in zip(*medians.values(), strict=True))
    return [
        "| FCI twins behind franky, paced 1 kHz | median ms a step |",
        "| --- | --- |",
        f"| one | {one * 1e3:.2f} |",
        f"| two in lockstep | {two * 1e3:.2f} ({ratio:.3f} times one) |",
    ]


def _begin(env: IndependentVectorEnv) -> None:
    """A first reset raises what ails an arm; a machine that is no real-time one may need several."""
    for attempt in range(10):
        try:
            env.reset(seed=0)
            return
        except RobotFault:
            if attempt == 9:
                raise


def _timed(env: IndependentVectorEnv) -> float:
    start = perf_counter()
    env.step(np.zeros((env.num_envs, 6), np.float32))
    return perf_counter() - start


def approved() -> str:
    """A config folder of its own, so that no real arm of this machine gets approved."""
    os.environ["XDG_CONFIG_HOME"] = folder = tempfile.mkdtemp(prefix="user_gym_bench_")
    assert approval.path().is_relative_to(folder)
    return folder


def bench_send_recv(benchmark: Any, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    env = ours([options(i, 0.002, 0.01) for i in range(2)])
    env.reset(seed=0)

    def step() -> None:
        env.send(np.zeros((2, 6), np.float32))
        env.recv(min_ready=2)

    benchmark(step)
    env.close()


def bench_table_has_every_row(benchmark: Any, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    rows = benchmark.pedantic(table, kwargs={"rounds": 1, "seconds": 0.3}, rounds=1)
    assert rows.count("\n") == 11


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    approved()
    more = "\n\n" + "\n".join(twins()) if find_spec("franky") else ""
    what = ", ".join(f"{period * 1e3:.0f}/{reset * 1e3:.0f}" for period, reset in ARMS)
    how = f"arms of {what} ms (period/reset), episodes of {EPISODE} steps; {given.rounds} rounds of {given.seconds} s"
    figures = table(given.rounds, given.seconds)
    keep("vector_real", f"# Several real arms in one environment\n\n{describe()}; {how}\n\n{figures}{more}")
