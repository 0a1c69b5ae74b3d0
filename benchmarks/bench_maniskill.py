"""Do experts and policies succeed in ManiSkill's engine as in MuJoCo, and how fast does it step?

    python -m benchmarks.bench_maniskill
    python -m benchmarks.bench_maniskill --gpu

The table goes to benchmarks/results/maniskill.md, that of a batch on a GPU to maniskill_gpu.md. Runs of baselines.rlpd are kept
in --folder: one that is there is not trained again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import user_gym  # noqa: F401  (registers the ids)
from baselines.episodes import EVALUATION_SEED, EXPERTS, hand
from baselines.play import Play, play
from benchmarks.machine import describe, keep
from user_gym.core import F64, Command, Robot, RobotState
from user_gym.errors import BadOption, MissingExtra, MissingSystem
from user_gym.robots import registry, specs
from user_gym.robots.plugins import load_object
from user_gym.tasks.peg_insert import PegInsert

TASKS = ("PegInsert", "PickPlace", "Charger", "CapTighten", "TableCleanup")
ARMS = ("franka-fr3", "franka-fer", "arx-x5", "arx-l5")
ROBOTS = ("franka-fr3", "arx-x5")  # whose policies are moved, and whose pace is measured
BACKENDS = ("sim", "maniskill")
NAMES = {"sim": "MuJoCo", "maniskill": "PhysX"}
ROUNDS, STEPS, MANY, GPU_ARMS = 5, 100, 4, 1024
FOLDER = Path(tempfile.gettempdir()) / "user-gym-maniskill"


def expert(task: str, backend: str, robot: str, episodes: int) -> tuple[float, float]:
    """Share of successes of the scripted expert over the fixed seeds, and the mean steps of those; 0 where there are none."""
    lengths = []
    with closing(gymnasium.make(f"User/{task}-{backend}-v0", robot=robot)) as env:
        own = hand(env)
        for episode in range(episodes):
            env.reset(seed=EVALUATION_SEED + episode)
            own.reset()
            over, info, steps = False, {}, 0
            while not over:
                *_, terminated, truncated, info = env.step(own.action(env.unwrapped.state))  # pyright: ignore[reportAttributeAccessIssue]
                over, steps = terminated or truncated, steps + 1
            if info["is_success"]:
                lengths.append(steps)
    return len(lengths) / episodes, sum(lengths) / max(1, len(lengths))


def experts(tasks: Sequence[str], robots: Sequence[str], episodes: int) -> Iterator[str]:
    """Rows of the table of experts."""
    for task, robot in product(tasks, robots):
        cells = [f"{share:.2f} ({steps:.0f})" for share, steps in (expert(task, b, robot, episodes) for b in BACKENDS)]
        yield f"| {task} | {robot} | " + " | ".join(cells) + " |"


def trained(backend: str, robot: str, seed: int, folder: Path) -> Path:
    """The folder of a run of RLPD on peg insertion; trained now if it is not there."""
    run = folder / f"{backend}-{robot}-{seed}"
    if not (run / "summary.json").exists():
        command = [sys.executable, "-m", "baselines.rlpd", "--env-id", f"User/PegInsert-{backend}-v0", "--robot", robot]
        more = ["--seed", str(seed), "--run-dir", str(run), "--no-film", "--eval-episodes", "10", "--eval-every", "3500"]
        subprocess.run([*command, *more], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=3600)
    return run


def transfers(robots: Sequence[str], seed: int, episodes: int, folder: Path) -> Iterator[str]:
    """Rows of the table of policies: learned in one engine, evaluated in both."""
    for robot, learned in product(robots, BACKENDS):
        run = trained(learned, robot, seed, folder)
        played = [play(Play(run, env_id=f"User/PegInsert-{b}-v0", episodes=episodes)) for b in BACKENDS]
        own, other = (played[BACKENDS.index(b)].success for b in (learned, *(b for b in BACKENDS if b != learned)))
        cells = " | ".join(f"{p.success:.2f} ({p.length:.0f})" for p in played)
        yield f"| {robot} | {NAMES[learned]} | {cells} | {other - own:+.2f} |"


def peg(backend: str, robot: str, tcp: Sequence[float], seed: int) -> tuple[Robot, F64]:
    """An arm that holds a peg, with its TCP (6,) so far from peg insertion's goal; and its start."""
    spec = specs.spec(robot)
    task = PegInsert(spec)
    start = replace(task.start(np.random.default_rng(seed)), tcp=task.goal + np.asarray(tcp), seed=seed)
    arm: Robot = registry.load(robot, backend)(spec, task, "tcp").robot
    arm.connect()
    return arm, arm.reset(start).tcp


def slip(backend: str, robot: str) -> float:
    """mm/s of a peg that is pressed on the board with 20 N and pulled aside with 6 N, in the third second of the pull."""
    arm, tcp = peg(backend, robot, (0.03, -0.04, 0.03, 0, 0, 0), 3)
    along = []
    for period in range(45):
        tcp = arm.exchange(Command(0.0, tcp=tcp + np.array([-0.02 * (period >= 15), 0, -0.02, 0, 0, 0]))).tcp
        along.append(tcp[0])
    arm.close()
    return 1e3 * float(along[34] - along[44])


def left(backend: str, robot: str) -> list[float]:
    """mm from an order 2 cm aside, 0.9, 1.3 and 2 s after it: medians of 12 starts with joint friction of their own."""
    rows = []
    for seed in range(12):
        aside = np.array([*np.random.default_rng(seed).uniform(-0.02, 0.02, 2), -0.02, 0, 0, 0.1])
        arm, tcp = peg(backend, robot, (0, 0, 0.10, 0, 0, 0), seed)
        rows.append(
            [np.linalg.norm(arm.exchange(Command(0.0, tcp=tcp + aside)).tcp[:3] - (tcp + aside)[:3]) for _ in range(20)]
        )
        arm.close()
    return [1e3 * float(np.median([row[period] for row in rows])) for period in (8, 12, 19)]


def fidelity(robots: Sequence[str]) -> Iterator[str]:
    """Rows of the table of contact and friction."""
    for robot, backend in product(robots, BACKENDS):
        cells = [f"{x:.2f}" for x in (slip(backend, robot), *left(backend, robot))]
        yield f"| {robot} | {NAMES[backend]} | " + " | ".join(cells) + " |"


def pace(env: gymnasium.vector.VectorEnv) -> float:
    """Arm steps a second over STEPS small random steps of all arms."""
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    began = time.perf_counter()
    for _ in range(STEPS):
        env.step(rng.uniform(-0.2, 0.2, env.action_space.shape).astype(np.float32))  # pyright: ignore[reportArgumentType]
    return STEPS * env.num_envs / (time.perf_counter() - began)


def speeds(robots: Sequence[str], rounds: int) -> Iterator[str]:
    """Rows of the table of steps a second; rounds are interleaved."""
    kinds = list(product(TASKS[:2], robots, BACKENDS, (1, MANY)))
    seen: dict[tuple[str, str, str, int], list[float]] = {kind: [] for kind in kinds}
    for _, kind in product(range(rounds), kinds):
        task, robot, backend, count = kind
        with closing(gymnasium.make_vec(f"User/{task}-{backend}-v0", count, robot=robot)) as env:
            seen[kind].append(pace(env))
    for task, robot in product(TASKS[:2], robots):
        middle = [statistics.median(seen[task, robot, backend, count]) for backend, count in product(BACKENDS, (1, MANY))]
        yield f"| {task} | {robot} | " + " | ".join(f"{x:.0f}" for x in middle) + " |"


def bench(
    tasks: Sequence[str], arms: Sequence[str], robots: Sequence[str], episodes: int, seed: int | None, rounds: int, folder: Path
) -> str:
    """All tables, and what they were measured on. `seed`: of the runs that learn; None: none."""
    began = describe()
    one, many = "1 arm", f"{MANY} arms"
    parts = [
        f"""# ManiSkill's engine

{began}. PhysX through SAPIEN, state observations.

## Scripted experts

Share of {episodes} episodes with fixed seeds that succeed by the strict rule, and in brackets the mean steps of those.

| task | robot | MuJoCo | PhysX |
| --- | --- | --- | --- |
"""
        + "\n".join(experts(tasks, arms, episodes)),
    ]
    if seed is not None:
        parts.append(
            f"""## Policies

PegInsert, RLPD with its defaults (3500 steps, 20 demonstrations in the same engine, seed {seed}), then {episodes} deterministic
episodes in each engine: share of successes, in brackets the mean steps of all. Gap: in the other engine less in its own.

| robot | learned in | evaluated in MuJoCo | evaluated in PhysX | gap |
| --- | --- | --- | --- | --- |
"""
            + "\n".join(transfers(robots, seed, episodes, folder))
        )
    parts += [
        """## Contact and friction

Slip: of a peg pressed on the board with 20 N and pulled aside with 6 N; friction 0.4 holds 8 N. Left: from an order 2 cm
aside, so long after it, medians of 12 starts; the ARX's joints have dry friction.

| robot | engine | slip, mm/s | left after 0.9 s, mm | 1.3 s | 2 s |
| --- | --- | --- | --- | --- | --- |
"""
        + "\n".join(fidelity(robots)),
        f"""## Steps a second

Arm steps of 0.1 s, 25 substeps each, by small random orders; medians of {rounds} interleaved rounds of {STEPS} steps. All arms
of one environment are stepped by one thread.

| task | robot | MuJoCo, {one} | MuJoCo, {many} | PhysX, {one} | PhysX, {many} |
| --- | --- | --- | --- | --- | --- |
"""
        + "\n".join(speeds(robots, rounds)),
    ]
    return "\n\n".join(parts)


def why_no_gpu() -> str | None:
    """Why a batch on a GPU cannot be measured here; None: it can."""
    try:
        load_object("user_gym.sim.maniskill.gpu.device:find")("cuda")
    except (BadOption, MissingExtra, MissingSystem) as error:
        return str(error)
    return None


def expert_together(task: str, robot: str, count: int, **options: str) -> tuple[float, float]:
    """As `expert`, over the first episodes of `count` arms of one batch."""
    with closing(gymnasium.make_vec(f"User/{task}-maniskill-v0", count, robot=robot, **options)) as env:
        core: Any = env.unwrapped
        hands = [EXPERTS[task](core.task, 0.0, i) for i in range(count)]
        env.reset(seed=EVALUATION_SEED)
        lengths, over, steps = np.zeros(count), np.zeros(count, bool), 0
        while not over.all():
            state, scene, steps = core.state, core.scene, steps + 1
            actions = []
            for i, own in enumerate(hands):
                own.watch(lambda i=i, scene=scene: replace(scene, poses=scene.poses[i]))
                actions.append(own.action(RobotState(**{f.name: getattr(state, f.name)[i] for f in fields(state)})))
            _, _, terminated, truncated, info = env.step(np.stack(actions))
            ended = (terminated | truncated) & ~over
            lengths[ended & info["is_success"]] = steps
            over |= ended
    return float((lengths > 0).mean()), float(lengths.sum() / max(1, (lengths > 0).sum()))


def gpu_rows(tasks: Sequence[str], robots: Sequence[str], count: int, rounds: int) -> Iterator[str]:
    """Rows of the table of a batch on a GPU."""
    for task, robot in product(tasks, robots):
        cells = ["{:.3f} ({:.0f})".format(*expert_together(task, robot, count, device="cuda"))]
        for obs in ("state", "pixels"):
            options = {"robot": robot, "device": "cuda", "obs": obs}
            with closing(gymnasium.make_vec(f"User/{task}-maniskill-v0", count, **options)) as env:
                seen = [pace(env) for _ in range(rounds)]
            cells.append(f"{statistics.median(seen):.0f}")
        yield f"| {task} | {robot} | " + " | ".join(cells) + " |"


def gpu_table(tasks: Sequence[str], robots: Sequence[str], count: int, rounds: int) -> str:
    """The table of a batch on a GPU, and what it was measured on."""
    return f"""# ManiSkill's engine on a GPU

{describe()}, {load_object("torch:cuda").get_device_name()}. {count} arms in one PhysX, arm steps of 0.1 s, 25 substeps each.

Share of the first {count} episodes in which the scripted expert succeeds by the strict rule, in brackets the mean steps of
those; arm steps a second by small random orders, medians of {rounds} rounds of {STEPS} steps, without and with pictures.

| task | robot | expert | steps/s, state | steps/s, pixels |
| --- | --- | --- | --- | --- |
""" + "\n".join(gpu_rows(tasks, robots, count, rounds))


def test_the_tables_have_a_row_for_each_task_and_robot():
    pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)
    text = bench(("PegInsert",), ("arx-x5",), ("arx-x5",), 1, None, 1, FOLDER)
    assert text.count("| PegInsert | arx-x5 |") == 2


def test_many_arms_on_a_gpu():
    if (why := why_no_gpu()) is not None:
        pytest.skip(why)
    table = "from benchmarks.bench_maniskill import gpu_table; print(gpu_table(('PegInsert',), ('arx-x5',), 4, 1))"
    done = subprocess.run(  # a process that has arms on a GPU has none on the CPU
        [sys.executable, "-c", table], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| PegInsert | arx-x5 |") == 1


def test_the_expert_of_a_batch_is_that_of_each_arm():
    pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)
    assert expert_together("PegInsert", "franka-fr3", 2) == expert("PegInsert", "maniskill", "franka-fr3", 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=50, help="of each cell")
    parser.add_argument("--seed", type=int, default=0, help="of the runs that learn")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the runs are kept")
    parser.add_argument("--part", choices=("train",), help="train the runs and stop")
    parser.add_argument("--gpu", action="store_true", help="measure a batch on a GPU instead")
    given = parser.parse_args()
    if given.gpu:
        if (why := why_no_gpu()) is not None:
            sys.exit(why)
        keep("maniskill_gpu", gpu_table(TASKS[:2], ROBOTS, GPU_ARMS, ROUNDS))
    elif given.part == "train":
        for robot, backend in product(ROBOTS, BACKENDS):
            trained(backend, robot, given.seed, given.folder)
    else:
        keep("maniskill", bench(TASKS, ARMS, ROBOTS, given.episodes, given.seed, ROUNDS, given.folder))
