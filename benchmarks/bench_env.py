"""What the Gym stack costs over bare physics: env steps per second, state and pixels, one arm and many.

Peer and limit are measured in the same run: `mujoco.mj_step` on the same model, states and controls as each env step, step by
step in turn, so drift of the machine hits both alike. Ratios are medians over repetitions; absolutes are the best repetition.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from time import perf_counter
from typing import Any

import gymnasium
import mujoco
import mujoco.batch
import numpy as np
import pytest

import user_gym
from benchmarks.machine import describe, keep
from user_gym.errors import MissingSystem

ID = "User/PegInsert-sim-v0"
INTEGRATION = mujoco.mjtState.mjSTATE_INTEGRATION
EPISODE, CONTACT_FROM = 40, 18  # steps; a pressing episode touches the board from about step 18 on


class Bare:
    """The env's own model stepped without anything around it."""

    def __init__(self, env: Any) -> None:
        twins = env.unwrapped._cell.robot._twins
        self._batch, self._substeps = twins._batch, twins.plant.substeps
        self._model = self._batch.get_model(0)
        self._data = mujoco.MjData(self._model)

    def before(self) -> np.ndarray:
        """The state before the env's step."""
        return self._batch.state[0].copy()

    def step(self, before: np.ndarray) -> float:
        """Seconds that mj_step needs from that state with the controls the env has chosen."""
        d = self._data
        mujoco.mj_setState(self._model, d, before, INTEGRATION)
        d.ctrl[:], d.mocap_pos[:], d.mocap_quat[:] = self._batch.ctrl[0], self._batch.mocap_pos[0], self._batch.mocap_quat[0]
        start = perf_counter()
        mujoco.mj_step(self._model, d, self._substeps)
        return perf_counter() - start


def pressing(env: Any, k: int, rng: np.random.Generator) -> np.ndarray:
    """Above the hole, then down, groping sideways: contact from step CONTACT_FROM on."""
    u = env.unwrapped
    action = (u.task.goal - u.state.tcp) / u.task.action_scale
    action[:2] += rng.uniform(-0.1, 0.1, 2)
    action[2] = 0.0 if k < 12 else -0.5
    return np.clip(action, -1, 1).astype(np.float32)


def compare(dt: float, contact: bool, steps: int, robot: str = "franka-fr3") -> tuple[float, float]:
    """Seconds per env step through gymnasium.make, and of bare mj_step."""
    env = gymnasium.make(ID, dt=dt, robot=robot, hole_offset=0.003 if contact else 0.001)
    env.reset(seed=0)
    bare, rng = Bare(env), np.random.default_rng(0)
    env_s = bare_s = 0.0
    counted = 0
    while counted < steps:
        env.reset()
        for k in range(EPISODE):
            action = pressing(env, k, rng) if contact else rng.uniform(-1, 1, 6).astype(np.float32)
            before = bare.before()
            start = perf_counter()
            over = env.step(action)[2]
            step_s = perf_counter() - start
            physics_s = bare.step(before)
            if not contact or k >= CONTACT_FROM:
                env_s, bare_s, counted = env_s + step_s, bare_s + physics_s, counted + 1
            if over:
                break
    env.close()
    return env_s / counted, bare_s / counted


def pixels(steps: int) -> float:
    """Seconds per env step with two 128 x 128 cameras."""
    env = gymnasium.make(ID, obs="pixels")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    total = 0.0
    for k in range(steps):
        if k % EPISODE == 0:
            env.reset()
        action = rng.uniform(-1, 1, 6).astype(np.float32)
        start = perf_counter()
        env.step(action)
        total += perf_counter() - start
    env.close()
    return total / steps


def vector(threads: int, arms: int, steps: int) -> float:
    """Seconds per step of one arm in the vector env."""
    env = gymnasium.make_vec(ID, num_envs=arms, threads=threads, max_episode_steps=10**9)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, arms, 6)).astype(np.float32)
    start = perf_counter()
    for action in actions:
        env.step(action)
    total = perf_counter() - start
    env.close()
    return total / (steps * arms)


def mujoco_batch(threads: int, arms: int, steps: int) -> float:
    """The same for MuJoCo's own batch call alone."""
    env = gymnasium.make(ID)
    env.reset(seed=0)
    single = env.unwrapped._cell.robot._twins
    batch = mujoco.batch.Batch(single._batch.get_model(0), arms, threads)
    batch.state[:] = single._batch.state[0]
    start = perf_counter()
    for _ in range(steps):
        batch.step(nstep=single.plant.substeps)
    return (perf_counter() - start) / (steps * arms)


def import_seconds(module: str) -> float:
    """Wall seconds to import a module in a new interpreter, without the interpreter's own start."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def table(repetitions: int = 7, steps: int = 300) -> str:
    """All figures as a markdown table."""
    rows = ["| what | env steps/s | bare mj_step/s | env / bare |", "| --- | --- | --- | --- |"]
    for robot in ("franka-fr3", "arx-x5"):
        for dt in (0.002, 0.004, 0.005):
            for contact in (False, True):
                pairs = [compare(dt, contact, steps, robot) for _ in range(repetitions)]
                ratio = statistics.median(b / e for e, b in pairs)
                what = f"{robot}, state, dt {dt * 1e3:g} ms, {'in contact' if contact else 'random actions'}"
                rows.append(
                    f"| {what} | {1 / min(e for e, _ in pairs):.0f} | {1 / min(b for _, b in pairs):.0f} | {ratio:.2f} |"
                )
    rows += ["", "| what | figure |", "| --- | --- |"]
    best = min(pixels(steps) for _ in range(repetitions))
    rows.append(f"| two 128 x 128 cameras, franka-fr3, dt 4 ms | {1 / best:.0f} env steps/s |")
    ours, theirs = [], []
    for _ in range(repetitions):
        ours.append(vector(1, 16, steps // 8) / vector(2, 16, steps // 8))
        theirs.append(mujoco_batch(1, 16, steps // 8) / mujoco_batch(2, 16, steps // 8))
    rows.append(f"| vector env of 16, two threads over one | {statistics.median(ours):.2f}x |")
    rows.append(f"| MuJoCo's own batch call of 16, two threads over one | {statistics.median(theirs):.2f}x |")
    extra = statistics.median(import_seconds("gymnasium, user_gym") - import_seconds("gymnasium") for _ in range(repetitions))
    rows.append(f"| import user_gym, above gymnasium's own import | {extra * 1e3:.0f} ms |")
    return "\n".join(rows)


@pytest.mark.parametrize("dt", [0.002, 0.005])
def bench_step_state(benchmark: Any, dt: float) -> None:
    env = gymnasium.make(ID, dt=dt, max_episode_steps=10**9)
    env.reset(seed=0)
    action = np.zeros(6, np.float32)
    benchmark(env.step, action)
    env.close()


def bench_step_pixels(benchmark: Any) -> None:
    env = gymnasium.make(ID, obs="pixels", max_episode_steps=10**9)
    try:
        env.reset(seed=0)
    except MissingSystem as e:
        pytest.skip(str(e))
    benchmark(env.step, np.zeros(6, np.float32))
    env.close()


def bench_table_has_every_row(benchmark: Any) -> None:
    pytest.importorskip("mujoco.egl")
    rows = benchmark.pedantic(table, kwargs={"repetitions": 1, "steps": 25}, rounds=1)
    assert rows.count("\n") >= 18


if __name__ == "__main__":
    keep("env", f"# Step path\n\n{describe()}; user_gym {user_gym.__version__}, MuJoCo {mujoco.__version__}\n\n{table()}")
