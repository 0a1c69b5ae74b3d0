"""A run of several processes whose robot and learner take declared times, and what both noted down.

Owner of the buffer, learner, collector and supervisor are those of `user-gym run`. Times are s of CLOCK_MONOTONIC, which is the
same in all processes of a machine.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from benchmarks.async_parts import STEPS, Episodes, Journal, Large, spinning
from user_gym.system import Buffer
from user_gym.system.clock import WALL
from user_gym.system.processes import RunFolder
from user_gym.system.virtual import Costed

_ROBOT, _LEARNER = "robot.f64", "learner.f64"  # what each appends to its file
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


class Noting(Journal):
    """Appends a row for each episode when the next one begins: when it began to reset, s moved by then, lateness of its steps.

    Args:
        period, reset_time: s.
        notes: folder.
    """

    def __init__(self, period: float, reset_time: float, notes: str) -> None:
        super().__init__(Episodes(), WALL, period=period, reset_time=reset_time)
        self._file = Path(notes) / _ROBOT

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if self.resets:
            _append(self._file, [*self.resets[-1], *list(self.lateness)[-STEPS:]])
        return super().reset(seed=seed, options=options)


gymnasium.register("DeclaredRobot-v0", "benchmarks.async_run:Noting", order_enforce=False, disable_env_checker=True)


class Learning(Costed):
    """Appends when its updates ended, whenever it is asked for weights."""

    def __init__(self, update_time: float, spins: bool, notes: str) -> None:
        super().__init__(Large(), WALL, update_time=update_time, spend=spinning(WALL) if spins else None)
        self._file = Path(notes) / _LEARNER

    def weights(self) -> Mapping[str, NDArray[Any]]:
        _append(self._file, self.updated)
        self.updated.clear()
        return super().weights()


def agent(observations: Any, actions: Any, options: Mapping[str, Any]) -> Learning:
    """For a plan."""
    return Learning(options["update_time"], options["spins"], options["notes"])


class Noted(NamedTuple):
    """What a run noted."""

    resets: list[tuple[float, float]]  # of each episode: when it began to reset, s; s moved by then
    lateness: NDArray[np.float64]  # s, (episodes, 100)
    updated: list[float]  # when each update ended, s
    stored: int  # steps of those episodes in the buffer
    versions: int  # of weights that acted in them


def measured(
    *,
    period: float,
    reset_time: float,
    update_time: float,
    spins: bool,
    episodes: int,
    updates_per_step: float = 1.0,
    synchronous: bool = False,
    publish_every: int = 1,
) -> Noted:
    """Run it to its end: one robot, 2.6 million parameters, experience in a buffer on disk.

    Args:
        period, reset_time: s, of the robot.
        update_time: s, of the learner.
        spins: an update keeps one core busy; else it sleeps.
        episodes: to note.
        updates_per_step: where synchronous.
        synchronous: turns of one episode; else neither side ever waits.
        publish_every: updates.
    """
    with tempfile.TemporaryDirectory(prefix="user-gym-async-") as name:
        folder = Path(name)
        plan = f"""
steps = {STEPS * (episodes + 1)}
updates_per_step = {updates_per_step}
tolerance = {0.0 if synchronous else math.inf}
publish_every = {publish_every}
max_seconds = {2 * STEPS * period if synchronous else 1.0}
[agent]
make = "benchmarks.async_run:agent"
options = {{update_time = {update_time}, spins = {str(spins).lower()}, notes = "{folder}"}}
[[collectors]]
name = "robot"
env = "benchmarks.async_run:DeclaredRobot-v0"
period = {period}
kwargs = {{period = {period}, reset_time = {reset_time}, notes = "{folder}"}}
"""
        (folder / "plan.toml").write_text(plan)
        command = [sys.executable, "-m", "user_gym.cli", "run", str(folder / "plan.toml"), "--run-dir", str(folder / "run")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **_ONE_THREAD})
        if done.returncode:
            raise RuntimeError(f"the run ended with code {done.returncode}: {done.stdout.decode()[-2000:]}")
        rows = np.fromfile(folder / _ROBOT).reshape(-1, 2 + STEPS)
        with Buffer.open(RunFolder(folder / "run").buffer, read_only=True) as buffer:
            numbers = buffer.view(f"episode < {len(rows)}").numbers()
            versions = np.unique(buffer.steps(numbers, ["policy_version"])["policy_version"])
        updated = np.fromfile(folder / _LEARNER).tolist()
    return Noted([(row[0], row[1]) for row in rows.tolist()], rows[:, 2:], updated, len(numbers), len(versions))


def _append(file: Path, numbers: list[float]) -> None:
    with file.open("ab") as out:
        np.array(numbers, np.float64).tofile(out)
