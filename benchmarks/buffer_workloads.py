"""What is asked of each buffer: the parts of the comparison, each a table. benchmarks/bench_buffer.py runs them."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import disk
from benchmarks.buffer_child import TUNED, Child, Sampling
from benchmarks.buffer_content import ACTION, CHUNK, ROW_BYTES, STATE, STEPS, episodes, render
from benchmarks.turns import NotMeasured, in_turns, ratio, reasons, table

MB = 1 << 20
RESERVE = "reserve"  # our file of a fixed size that is given up when the disk is full


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    pool: int = 2000  # transitions that are rendered
    warm: int = 5200  # transitions with pictures, 0.5 GB
    cold: int = 20_000  # the same, 2 GB
    state: int = 100_000  # transitions without pictures
    durable: int = 1000  # transitions with pictures of one turn of durable adding
    batch: int = 256
    cold_batches: int = 16  # few enough to meet mostly pictures that were not read before
    turn: float = 0.3  # s of one turn of sampling
    cache: int = 128 * MB
    turns: int = 11  # rounds of sampling
    repetitions: int = 5  # rounds of what needs new files or new processes


SMALL = Sizes(60, 120, 120, 500, 60, 16, 2, 0.01, 8 * MB, 1, 1)
PERSISTENT = {"ours, sample": {}, "ours, loader": {"loader": True}}
PEERS = ("SB3", "torchrl memmap", "torchrl RAM", "cpprb", "LeRobot")
Specs = dict[str, tuple[dict[str, Any], Mapping[str, str]]]  # by name: what the child is told, and its environment


class Bench:
    """All parts of the comparison in one folder, which is removed afterwards."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self.sizes = folder, sizes
        self.renders = ""

    def draw(self) -> None:
        """Render the pictures. Raises MissingSystem where this machine cannot."""
        self.renders = str(render(Path(tempfile.gettempdir()) / "user-gym-bench", self.sizes.pool))

    def spec(self, who: str, kind: str, transitions: int, name: str = "", **options: Any) -> dict[str, Any]:
        """What a child is told."""
        given = {"options": options} if who == "ours" else {}
        return {
            "who": who, "kind": kind, "transitions": transitions, "folder": str(self.folder / (name or who).replace(" ", "-")),
            "renders": self.renders, "batch": self.sizes.batch, **given,
        }  # fmt: skip

    def pictures(self) -> str:
        """Warm sampling of pictures, everything larger than our cache."""
        size, noisy, clean = self.sizes, "noisy", "clean"
        specs: Specs = {name: (self.spec(name, noisy, size.warm), {}) for name in ("bare gather", "np.memmap", *PEERS)}
        specs["SB3, tuned malloc"] = (self.spec("SB3", noisy, size.warm, "tuned"), TUNED)
        for name, options in PERSISTENT.items():
            for kind in (noisy, clean):
                what = f"{name}, {kind}"
                specs[what] = (self.spec("ours", kind, size.warm, what, cache_bytes=size.cache, **options), {})
        specs["ours, in memory"] = (self.spec("ours", noisy, size.warm, "memory", memory=True), {})
        return self._sampling(specs, size.batch * 2 * ROW_BYTES)

    def state(self) -> str:
        """Sampling and adding without pictures."""
        size = self.sizes
        specs: Specs = {name: (self.spec(name, "state", size.state), {}) for name in ("bare gather", "np.memmap", *PEERS)}
        for name, options in PERSISTENT.items():
            specs[name] = (self.spec("ours", "state", size.state, name, together=100, **options), {})
        specs["ours, in memory"] = (self.spec("ours", "state", size.state, "memory", memory=True), {})
        return self._sampling(specs, size.batch * (2 * STATE + ACTION + 2) * 4)

    def _sampling(self, specs: Specs, batch_bytes: int) -> str:
        """Fill all, then sample in turns."""
        size = self.sizes
        absent: dict[str, str] = {}
        filled: dict[str, float] = {}
        right: dict[str, float] = {}
        with ExitStack() as stack:
            turns: dict[str, Sampling] = {}
            for name, (spec, environment) in specs.items():
                try:
                    child = stack.enter_context(Child(spec, environment))
                    answer = child.do("fill")
                    filled[name] = answer["transitions"] / answer["seconds"]
                    right[name] = child.do("check")["right"]
                    child.do("begin")
                    turns[name] = Sampling(child, size.turn)
                except NotMeasured as error:
                    absent[name] = str(error)
            rates, failed = in_turns(turns, size.turns)
            peaks: dict[str, float] = {}
            for name in rates:
                seen = turns[name].child.do("peak")
                peaks[name] = seen["peak"] - seen["imported"]
        lines = [
            "| what | batches/s | range | GB/s | x gather | x SB3 | x SB3 tuned | CPU, ms | RAM, MB | right | added, 1/s |",
            "| --- " * 11 + "|",
        ]
        for name, values in rates.items():
            ratios = [ratio(values, rates.get(base)) for base in ("bare gather", "SB3", "SB3, tuned malloc")]
            middle = statistics.median(values)
            cells = [
                name, f"{middle:.4g}", f"{min(values):.4g} .. {max(values):.4g}", f"{middle * batch_bytes / 1e9:.2f}", *ratios,
                f"{turns[name].cpu * 1e3:.3g}", f"{peaks[name] / 1e6:.0f}", f"{right[name]:.2f}", f"{filled[name]:.0f}",
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + reasons({**absent, **failed})

    def adding(self) -> str:
        """State only, transitions per second into a new store; ours is on disk, by steps in a chunk and chunks in an append."""
        size = self.sizes
        specs = {name: self.spec(name, "state", size.state) for name in ("np.memmap", *PEERS)}
        for durability in ("kill", "power"):
            for steps, together in ((CHUNK, 1), (CHUNK, 100), (STEPS, 1), (STEPS, 100)):
                name = f"ours, {durability}, {steps} x {together}"
                options = {"durability": durability, "steps": steps, "together": together}
                specs[name] = self.spec("ours", "state", size.state, name, **options)
        rates, absent = in_turns({name: self._adder(spec) for name, spec in specs.items()}, size.repetitions)
        return table("transitions/s", rates, "SB3", "{:.0f}", absent)

    def durable(self) -> str:
        """Pictures: recorded bytes per second, each piece safe on disk before the next."""
        size = self.sizes
        turns: dict[str, Callable[[], float]] = {}
        for steps, what in ((STEPS, "an episode"), (CHUNK, "a second")):
            turns[f"write + fdatasync, {what} at once"] = lambda steps=steps: self._written(steps)
            for kind in ("noisy", "clean"):
                name = f"ours, power, {what} at once, {kind}"
                spec = self.spec(
                    "ours", kind, size.durable, name, durability="power", together=STEPS // 10 * (steps // STEPS) or 1
                )
                turns[name] = self._adder(spec, ROW_BYTES / 1e6)
        rates, absent = in_turns(turns, size.repetitions)
        return table("MB/s", rates, "write + fdatasync, an episode at once", "{:.0f}", absent)

    def size(self) -> str:
        """Bytes on disk after closing, over those of T + 1 uncompressed rows, and what is reserved for a full disk."""
        head = "| pictures | bytes of a transition | times raw | reserve, MB, not counted |"
        lines, absent = [head, "| --- | --- | --- | --- |"], dict[str, str]()
        for kind in ("noisy", "clean"):
            raw = steps = 0
            for episode in episodes(kind, self.sizes.warm, self.renders):
                raw += (len(episode) + 1) * ROW_BYTES + len(episode) * (2 * ACTION * 4 + 24)
                steps += len(episode)
            try:
                with self._stored(kind, steps) as spec:
                    spare = Path(spec["folder"]) / RESERVE
                    reserved = spare.stat().st_size if spare.exists() else 0
                    there = disk.size(Path(spec["folder"])) - reserved
                lines.append(f"| {kind} | {there / steps:.0f} | {there / raw:.4f} | {reserved / 1e6:.1f} |")
            except NotMeasured as error:
                absent[f"ours, {kind}"] = str(error)
        return "\n".join(lines) + reasons(absent)

    def cold(self) -> str:
        """Nothing in the page cache, a new process every time."""
        size = self.sizes
        turns: dict[str, Callable[[], float]] = {}
        with self._stored("noisy", size.cold) as spec, self._stored("noisy", size.cold, "bare gather") as bare:
            folder = Path(spec["folder"])
            for threads in (1, 4, 16):
                turns[f"sequential read, {threads} threads"] = lambda threads=threads: self._read(folder, threads)
            turns["bare gather"] = lambda: self._first_batches(bare)
            for name, options in {**PERSISTENT, "ours, loader, 16 threads": {"loader": True, "threads": 16}}.items():
                given = {**spec, "options": {**spec["options"], "cache_bytes": size.cache, **options}}
                turns[name] = lambda given=given: self._first_batches(given)
            rates, absent = in_turns(turns, size.repetitions)
        reads = [name for name in rates if name.startswith("sequential")]
        best = max(reads, key=lambda name: statistics.median(rates[name]), default="")
        return table("GB/s", rates, best, "{:.2f}", absent)

    def reopening(self) -> str:
        """Milliseconds of a new process from nothing to the index, and from there to the first batch, imports apart."""
        size, seen = self.sizes, dict[str, list[tuple[float, float]]]()
        with self._stored("noisy", size.cold) as spec:
            for _ in range(size.repetitions):
                for what in ("cold", "warm"):
                    if what == "cold":
                        _evict(Path(spec["folder"]))
                    with Child(spec) as child:
                        answer = child.do("first")
                    seen.setdefault(what, []).append((answer["opened"] * 1e3, answer["batch"] * 1e3))
        lines = ["| page cache | index, ms | first batch after that, ms | range of the sum |", "| --- | --- | --- | --- |"]
        for what, times in seen.items():
            opened, batch = (statistics.median(column) for column in zip(*times, strict=True))
            sums = [sum(pair) for pair in times]
            lines.append(f"| {what} | {opened:.1f} | {batch:.1f} | {min(sums):.1f} .. {max(sums):.1f} |")
        return "\n".join(lines)

    def horizons(self) -> str:
        """Our n-step reads, pictures and states."""
        size, specs = self.sizes, dict[str, dict[str, Any]]()
        for kind, transitions in (("state", size.state), ("noisy", size.warm)):
            for horizon in (1, 3, 5, 10):
                name = f"{kind}, horizon {horizon}"
                specs[name] = self.spec("ours", kind, transitions, name, together=100, horizon=horizon, cache_bytes=size.cache)
        with ExitStack() as stack:
            turns: dict[str, Sampling] = {}
            absent: dict[str, str] = {}
            for name, spec in specs.items():
                try:
                    child = stack.enter_context(Child(spec))
                    child.do("fill")
                    turns[name] = Sampling(child, size.turn)
                except NotMeasured as error:
                    absent[name] = str(error)
            rates, failed = in_turns(turns, size.turns)
        return table("batches/s", rates, "state, horizon 1", "{:.4g}", {**absent, **failed})

    @contextmanager
    def _stored(self, kind: str, transitions: int, who: str = "ours") -> Iterator[dict[str, Any]]:
        """A folder with experience that nobody has open; removed afterwards."""
        spec = self.spec(who, kind, transitions, f"stored {who} {kind}", **({"together": 100} if who == "ours" else {}))
        try:
            with Child(spec) as child:
                child.do("fill")
                child.do("sample", batches=1)  # the gather writes its index then
                child.do("close")
            yield spec
        finally:
            shutil.rmtree(spec["folder"], ignore_errors=True)

    def _adder(self, spec: dict[str, Any], scale: float = 1.0) -> Callable[[], float]:
        def turn() -> float:
            shutil.rmtree(spec["folder"], ignore_errors=True)
            with Child(spec) as child:
                answer = child.do("fill")
            shutil.rmtree(spec["folder"], ignore_errors=True)
            return scale * answer["transitions"] / answer["seconds"]

        return turn

    def _written(self, steps: int) -> float:
        """MB/s of writing the same pictures without any buffer."""
        path = self.folder / "written"
        pieces = (
            b"".join(column[at : at + steps].tobytes() for column in episode.obs.values())
            for episode in episodes("noisy", self.sizes.durable, self.renders)
            for at in range(0, len(episode), steps)
        )
        try:
            return disk.write(path, pieces) / 1e6
        finally:
            path.unlink(missing_ok=True)

    def _read(self, folder: Path, threads: int) -> float:
        _evict(folder)
        return disk.read(disk.files(folder), threads) / 1e9

    def _first_batches(self, spec: dict[str, Any]) -> float:
        size = self.sizes
        _evict(Path(spec["folder"]))
        with Child(spec) as child:
            seconds = child.do("sample", batches=size.cold_batches)["seconds"]
        return size.cold_batches * size.batch * 2 * ROW_BYTES / seconds / 1e9


def _evict(folder: Path) -> None:
    stayed = disk.evict(disk.files(folder))
    if stayed > 0.01:
        raise NotMeasured(f"{stayed:.0%} of {folder.name} stayed in the page cache")
