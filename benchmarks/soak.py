"""A million transitions at full speed through the processes of a run, with checkpoints and a quota: what grows meanwhile.

    python -m benchmarks.soak

Two robots that cost nothing, an agent that costs little, a buffer of a twentieth of what passes through. Memory, descriptors
and threads of each process are read from /proc four times a second; growth is the slope of a line through them after warm-up:
when four times what the buffer keeps has passed, columns and caches are as large as they become. The table is printed and kept
too when a run is stopped before its end: by SIGINT or SIGTERM, after which no other begins, or after --seconds.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe, keep
from user_gym.core import ActionChunk, Batch, Weights
from user_gym.system.atomic_file import read_json
from user_gym.system.processes import RunFolder
from user_gym.system.processes.registry import holder

EPISODE = 100  # steps
PARAMETERS = 100_000
PLAN = """
steps = {steps}
updates_per_step = 0.01
batch_size = 256
tolerance = 1000.0
max_seconds = {seconds}
checkpoint_seconds = 2.0
[buffer]
capacity = {capacity}
cache_bytes = {cache}
[agent]
make = "benchmarks.soak:agent"
[[collectors]]
name = "left"
env = "benchmarks.soak:Soak-v0"
[[collectors]]
name = "right"
env = "benchmarks.soak:Soak-v0"
"""
CACHE = 64 << 20  # bytes: small enough to be full before it is judged
NAMES = ("parent", "supervisor", "owner", "learner", "left", "right")
PERIOD = 0.25  # s between two samples
END = 60.0  # s that a run may take to stop
LATE = 2.0  # s at the end of a run that are not judged: its status is so old at most, and some processes let go already
GROWTH = 1.0  # MB per 10^5 steps: the bar


class Robot(gymnasium.Env[Any, Any]):
    """The spaces of peg insertion from the state, in no time."""

    observation_space = gymnasium.spaces.Box(-1, 1, (19,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (6,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[Any], dict[str, Any]]:
        """At once."""
        super().reset(seed=seed)
        self._taken = 0
        self._seen = self.np_random.uniform(-1, 1, (EPISODE + 1, 19)).astype(np.float32)
        return self._seen[0].copy(), {}

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """At once."""
        self._taken += 1
        return self._seen[self._taken].copy(), 0.0, False, self._taken == EPISODE, {}


gymnasium.register("Soak-v0", "benchmarks.soak:Robot", disable_env_checker=True, order_enforce=False)


class Walk:
    """An agent whose parameters move with each batch, and the policy that acts with them."""

    spec_hash = "walk"

    def __init__(self) -> None:
        self.policy = self
        self.version = -1
        self._parameters = np.zeros(PARAMETERS, np.float32)

    def reset(self, seed: int | None = None) -> None:
        """There is nothing to forget."""

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """Whatever the first parameters say."""
        return ActionChunk(np.tanh(self._parameters[None, :6]), self.version)

    def load(self, weights: Weights) -> None:
        """Act with newer ones."""
        self._parameters, self.version = weights.arrays["all"].copy(), weights.version

    def update(self, batch: Batch) -> Mapping[str, float]:
        """One move."""
        mean = float(batch.obs["obs"].mean())
        self._parameters += np.float32(1e-3 * mean)
        return {"mean": mean}

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """All of them."""
        return {"all": self._parameters}

    def save(self, path: Path) -> None:
        """The parameters."""
        path.write_bytes(self._parameters.tobytes())

    def restore(self, path: Path) -> None:
        """What `save` wrote."""
        self._parameters = np.frombuffer(path.read_bytes(), np.float32).copy()


def agent(observations: Any, actions: Any, options: Mapping[str, Any]) -> Walk:
    """For a plan."""
    return Walk()


class Look(NamedTuple):
    """One process at one moment."""

    steps: int  # stored, of the run
    memory: float  # MB, resident
    own: float  # MB of it that are no file's: what a leak would be
    descriptors: int
    threads: int


def look(pid: int, steps: int) -> Look:
    """From /proc. Raises FileNotFoundError, ProcessLookupError where it has ended."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    if "VmRSS" not in status:  # a zombie has no memory
        raise ProcessLookupError(pid)
    memory, own = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))
    return Look(steps, memory, own, len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status["Threads"]))


class Soaked(NamedTuple):
    """A run."""

    seen: dict[str, list[Look]]  # of each process
    steps: int  # stored
    updates: int
    seconds: float  # start and end included
    stopped: bool  # before its end


def soaked(path: Path, steps: int, capacity: int, chunk: int, most: float, signals: Sequence[int]) -> Soaked:
    """Run for at most so many seconds, or until a signal came."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / "plan.toml").write_text(PLAN.format(steps=steps, capacity=capacity, cache=CACHE, seconds=0.1 * chunk))
    folder, seen = RunFolder(path / "run"), {name: list[Look]() for name in NAMES}
    began = due = time.monotonic()
    command = [sys.executable, "-m", "user_gym.cli", "run", str(path / "plan.toml"), "--run-dir", str(folder.path)]
    facts = dict[str, Any]()
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while parent.poll() is None and not signals and time.monotonic() - began < most:
        facts = (read_json(folder.status_file) or {}).get("processes", facts)
        stored = facts.get("owner", {}).get("steps", 0)
        for name in NAMES:
            there = holder(folder.processes, name)
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended this moment
                if there is not None and 0 < stored < steps:
                    seen[name].append(look(there.pid, stored))
        due += PERIOD
        time.sleep(max(0.0, due - time.monotonic()))
    stopped = parent.poll() is None
    if stopped:
        parent.terminate()
        try:
            parent.wait(END)
        except subprocess.TimeoutExpired:
            sys.exit(f"the run does not end within {END:.0f} s of being told to; see {folder.logs}")
    elif parent.returncode:
        sys.exit(f"the run ended with {parent.returncode}; see {folder.logs}")
    else:
        seen = {name: looks[: -round(LATE / PERIOD)] for name, looks in seen.items()}
    last = folder.finished() or {
        "steps": facts.get("owner", {}).get("steps", 0), "updates": facts.get("learner", {}).get("updates", 0),
    }  # fmt: skip
    return Soaked(seen, last["steps"], last["updates"], time.monotonic() - began, stopped)


def slope(looks: list[Look], of: str) -> float:
    """MB for each 100 000 steps: of the line of least squares."""
    steps = np.array([each.steps for each in looks], float)
    return float(np.polyfit(steps / 1e5, [getattr(each, of) for each in looks], 1)[0])


def row(name: str, looks: list[Look]) -> str:
    """A process, in the table."""
    if len(looks) < 4:
        return f"| {name} | not seen often enough after warm-up | | | | |"
    first, second = looks[: len(looks) // 2], looks[len(looks) // 2 :]
    cells = [f"{looks[0].memory:.1f}, {looks[-1].memory:.1f}"]
    growth = slope(looks, "memory")
    cells += [f"{growth:+.2f}{'' if growth < GROWTH else ' MISSED'}", f"{slope(looks, 'own'):+.2f}"]
    for of in ("descriptors", "threads"):
        before, after = (sorted(getattr(each, of) for each in half) for half in (first, second))
        ranges = [f"{values[0]} .. {values[len(values) // 2]} .. {values[-1]}" for values in (before, after)]
        flat = after[len(after) // 2] <= before[len(before) // 2]
        cells.append(f"{', '.join(ranges)}{'' if flat else ' MISSED'}")
    return f"| {name} | {' | '.join(cells)} |"


def section(run: Soaked, chosen: argparse.Namespace, chunk: int, machine: str) -> list[str]:
    """A run, in lines."""
    folder, since = RunFolder(chosen.folder / "run"), chosen.warm_up * chosen.capacity
    disk = sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file()) / 1e6
    kept = sorted(file.name for file in folder.learner.glob("agent-*"))
    return [
        "", f"## Chunks of {chunk} steps", "", machine, "",
        f"{run.steps} steps of two robots, {run.updates} updates, "
        f"{run.seconds:.0f} s ({run.steps / run.seconds:.0f} steps/s, start and end included)"
        f"{f', stopped before its {chosen.steps} steps' if run.stopped else ''}. {len(kept)} checkpoints are kept; in the end "
        f"the folder has {disk:.0f} MB.", "",
        "| process | RSS, MB, then and in the end | growth, MB per 10^5 steps | of its own memory | descriptors, by half "
        "| threads, by half |",
        "| --- | --- | --- | --- | --- | --- |",
        *(row(name, [each for each in every if each.steps >= since]) for name, every in run.seen.items()),
    ]  # fmt: skip


def main() -> None:
    """Run and write benchmarks/results/soak.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--capacity", type=int, default=50_000, help="transitions that the buffer keeps")
    parser.add_argument("--chunk", type=int, nargs="+", default=[10, 100], help="steps of a chunk: a run each")
    parser.add_argument("--warm-up", type=float, default=4.0, help="times the capacity that pass before it is judged")
    parser.add_argument("--seconds", type=float, default=3600.0, help="after which a run is stopped")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "user-gym-soak")
    chosen = parser.parse_args()
    signals = list[int]()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.append(number))
    lines = [
        "# A million transitions through the processes of a run", "",
        f"`python -m benchmarks.soak`: two robots that cost nothing, a buffer of {chosen.capacity} transitions, "
        f"{CACHE >> 20} MB of cache, a checkpoint every 2 s. Judged from step {chosen.warm_up * chosen.capacity:.0f} on. Bars: "
        f"RSS grows by less than {GROWTH} MB per 10^5 steps; of descriptors and threads (fewest, median, most of each half: a "
        "file that is written is open for a moment) the median does not rise.",
    ]  # fmt: skip
    for chunk in chosen.chunk:
        if not signals:
            machine = describe()
            run = soaked(chosen.folder, chosen.steps, chosen.capacity, chunk, chosen.seconds, signals)
            lines += section(run, chosen, chunk, machine)
    keep("soak", "\n".join(lines))


if __name__ == "__main__":
    main()
