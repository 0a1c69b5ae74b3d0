"""One contestant in a process of its own: it stores the common experience, and draws batches when it is told to.

    python -m benchmarks.buffer_contestants '{"who": "SB3", "kind": "noisy", "transitions": 5200, ...}'

Orders come as JSON lines on stdin, answers go as JSON lines to stdout (benchmarks/buffer_child.py has the other end). Separate
processes, because each contestant has its own interpreter, allocator settings and memory to account for.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.buffer_content import CAMERAS, CHUNK, PICTURE, STATE, Episode, episodes
from benchmarks.peers_buffer import PEERS, Contestant, Drawn, Memmap

COLUMNS = ("reward", "terminated", "truncated")


class Gather:
    """The physical limit: rows copied out of a memory-mapped file into arrays that exist already, and nothing else.

    All cameras of an observation lie in one row; states lie in RAM. It finds the ends of episodes by a list of rows to draw.
    """

    packages: tuple[str, ...] = ()

    def __init__(self, folder: Path, transitions: int, names: list[str]) -> None:
        self._pixels, self._rest = folder / "pixels", folder / "rest.npz"
        self._pictured, self._row, self._rng = "wrist" in names, 0, np.random.default_rng(0)
        self._state: list[NDArray[Any]] = []
        self._starts: list[NDArray[Any]] = []
        self._ready = False
        self._file = self._pixels.open("ab")

    def add(self, episode: Episode) -> None:
        rows = len(episode) + 1
        if self._pictured:
            for t in range(rows):
                for name in CAMERAS:
                    self._file.write(episode.obs[name][t].data)
        self._state.append(episode.obs["state"])
        self._starts.append(np.arange(self._row, self._row + rows - 1))
        self._row += rows

    def sample(self, n: int) -> Drawn:
        if not self._ready:
            self._open(n)
        rows = self._all[self._rng.integers(0, len(self._all), n)]
        for source, (here, after) in self._pairs:
            np.take(source, rows, 0, here, "clip")
            np.take(source, rows + 1, 0, after, "clip")
        return self._drawn

    def _open(self, n: int) -> None:
        self._file.close()
        if self._state:
            state, self._all = np.concatenate(self._state), np.concatenate(self._starts)
            np.savez(self._rest, state=state, starts=self._all)
        else:
            with np.load(self._rest) as kept:
                state, self._all = kept["state"], kept["starts"]
        outs = np.empty((2, n, STATE), np.float32)
        self._pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [(state, outs)]
        drawn: dict[str, Any] = {"state": outs[0], "next_state": outs[1]}
        if self._pictured:
            row = (len(CAMERAS), *PICTURE)
            pixels = np.memmap(self._pixels, np.uint8, "r").reshape(-1, int(np.prod(row)))
            both = np.empty((2, n, pixels.shape[1]), np.uint8)
            self._pairs.append((pixels, both))
            for i, name in enumerate(CAMERAS):
                drawn[name], drawn[f"next_{name}"] = both.reshape(2, n, *row)[:, :, i]
        self._drawn, self._ready = drawn, True


class Ours:
    """`user_gym.system.Buffer`, on a path or in memory.

    Options: `memory` (no files), `cache_bytes`, `durability`, `steps` in a chunk, `together` (chunks in one append),
    `loader` (batches come from `Buffer.loader`), `threads`, `ahead`, `horizon`.
    """

    packages: tuple[str, ...] = ("user_gym.system",)

    def __init__(self, folder: Path, transitions: int, names: list[str], options: Mapping[str, Any] | None = None) -> None:
        from user_gym.system import Buffer

        self._options = dict(options or {})
        known = {name: self._options[name] for name in ("cache_bytes", "durability", "threads") if name in self._options}
        self._buffer: Any = Buffer.open(":memory:" if self._options.get("memory") else str(folder), **known)
        self._rng, self._loader, self._out = np.random.default_rng(0), None, None
        self._horizon = {"horizon": self._options["horizon"]} if "horizon" in self._options else {}
        self._waiting: list[Any] = []

    def add(self, episode: Episode) -> None:
        together = self._options.get("together", 1)
        for chunk in self.chunks(episode, self._options.get("steps", CHUNK)):
            if together == 1:
                self._buffer.append(chunk)
                continue
            self._waiting.append(chunk)
            if len(self._waiting) == together:
                self.flush()

    def flush(self) -> None:
        """Append what waits to be appended together."""
        if self._waiting:
            self._buffer.extend(self._waiting)
            self._waiting = []

    @staticmethod
    def chunks(episode: Episode, steps: int) -> Iterator[Any]:
        """As a collector makes them: the last observation of one is the first of the next."""
        from user_gym.core import Chunk

        for sequence, at in enumerate(range(0, len(episode), steps)):
            part, rows = slice(at, at + steps), slice(at, at + steps + 1)
            action, n = episode.action[part], len(episode.reward[part])
            yield Chunk(
                source="bench", episode=episode.number, sequence=sequence, robot="franka-fr3", task="PegInsert",
                kind="policy", obs={name: column[rows] for name, column in episode.obs.items()}, action=action,
                ordered=action, **{name: getattr(episode, name)[part] for name in COLUMNS},
                success=episode.terminated[part], policy_version=np.zeros(n, np.int64), is_intervention=np.zeros(n, np.bool_),
                reward_source=("rule",) * n, time=np.arange(at + 1, at + n + 1, dtype=np.float64) / 10,
                wall_time=1.7e9 + at / 10,
            )  # fmt: skip

    def sample(self, n: int) -> Drawn:
        if self._options.get("loader"):
            if self._loader is None:
                given = {name: self._options[name] for name in ("ahead",) if name in self._options}
                self._loader = iter(self._buffer.loader(n, seed=0, **given, **self._horizon))
            batch = next(self._loader)
        else:
            batch = self._out = self._buffer.sample(n, self._rng, out=self._out, **self._horizon)
        return {**batch.obs, **{f"next_{name}": column for name, column in batch.next_obs.items()}}

    def close(self) -> None:
        self._buffer.close()


CONTESTANTS: Mapping[str, Any] = {**PEERS, "bare gather": Gather, "np.memmap": Memmap, "ours": Ours}


class Process:
    """What the orders do. A method per order; its answer is a dict of numbers."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec, self._folder = spec, Path(spec["folder"])
        self._folder.mkdir(parents=True, exist_ok=True)
        self._names = ["state"] if spec["kind"] == "state" else [*CAMERAS, "state"]
        self._batch = spec.get("batch", 256)
        self._sums: dict[int, tuple[int, ...]] = {}
        kind, options = CONTESTANTS[spec["who"]], {"options": spec["options"]} if "options" in spec else {}
        for package in kind.packages:
            importlib.import_module(package)
        self._imported = memory()["rss"]  # the interpreter with its packages, before any data
        started = perf_counter()
        self._one: Contestant = kind(self._folder, spec["transitions"], self._names, **options)
        self._opened = perf_counter() - started

    def fill(self) -> dict[str, float]:
        """Store the common experience; seconds are of storing alone."""
        spec, seconds, steps = self._spec, 0.0, 0
        for episode in episodes(spec["kind"], spec["transitions"], spec.get("renders", "")):
            if steps + len(episode) > spec["transitions"]:
                break  # others have no room for more
            self._remember(episode)
            start = perf_counter()
            self._one.add(episode)
            seconds, steps = seconds + perf_counter() - start, steps + len(episode)
        start = perf_counter()
        getattr(self._one, "flush", lambda: None)()
        seconds += perf_counter() - start
        return {"seconds": seconds, "transitions": steps}

    def sample(self, batches: int) -> dict[str, float]:
        """Seconds for so many batches, and seconds of CPU in all threads."""
        start, busy = perf_counter(), process_time()
        for _ in range(batches):
            self._one.sample(self._batch)
        return {"seconds": perf_counter() - start, "cpu": process_time() - busy}

    def first(self) -> dict[str, float]:
        """Seconds from nothing to the index, and to the first batch, without imports."""
        start = perf_counter()
        self._one.sample(self._batch)
        return {"opened": self._opened, "batch": perf_counter() - start}

    def check(self) -> dict[str, float]:
        """Share of drawn transitions whose pictures, before and after, belong to the states they came with."""
        drawn = {name: np.asarray(column) for name, column in self._one.sample(self._batch).items()}
        right = 0
        for i in range(self._batch):
            row, after = int(drawn["state"][i, 0]), int(drawn["next_state"][i, 0])
            seen = tuple(int(drawn[name][i].sum(dtype=np.int64)) for name in CAMERAS if name in drawn)
            then = tuple(int(drawn[f"next_{name}"][i].sum(dtype=np.int64)) for name in CAMERAS if name in drawn)
            right += after == row + 1 and self._sums.get(row) == seen and self._sums.get(after) == then
        return {"right": right / self._batch}

    def begin(self) -> dict[str, float]:
        """Forget the peak of memory so far."""
        Path("/proc/self/clear_refs").write_text("5")
        return {}

    def peak(self) -> dict[str, float]:
        """Bytes: peak since `begin`, resident now, and what the interpreter had before it stored anything."""
        return {**memory(), "imported": self._imported}

    def close(self) -> dict[str, float]:
        """Close what wants to be closed."""
        getattr(self._one, "close", lambda: None)()
        return {}

    def _remember(self, episode: Episode) -> None:
        pictures = [episode.obs[name] for name in CAMERAS if name in episode.obs]
        for t, row in enumerate(episode.obs["state"][:, 0].tolist()):
            self._sums[int(row)] = tuple(int(column[t].sum(dtype=np.int64)) for column in pictures)


def memory() -> dict[str, float]:
    """Bytes of this process: peak and present, mapped file pages included."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Vm"))
    return {"peak": int(lines["VmHWM"].split()[0]) * 1024, "rss": int(lines["VmRSS"].split()[0]) * 1024}


def main() -> None:
    """Obey until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints goes to stderr
    try:
        process = Process(json.loads(sys.argv[1]))
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            print(json.dumps(getattr(process, order.pop("do"))(**order)), file=answers, flush=True)
    except Exception:
        text = traceback.format_exc()
        print(json.dumps({"error": text.strip().splitlines()[-1]}), file=answers, flush=True)
        sys.exit(text)


if __name__ == "__main__":
    main()
