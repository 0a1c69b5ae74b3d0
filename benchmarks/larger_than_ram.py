"""Sampling pictures that do not fit into memory: a process under a true limit of 1 GB, four times as much data on disk.

    python -m benchmarks.larger_than_ram        # 4.4 GB in the temporary folder

The limit is a memory control group, which bounds page cache and process together (an address-space limit would not). The
process joins it before it allocates anything. The measure is what the same files give to a plain sequential read under the
same limit, from 1, 4 and 16 threads, in turn with ours; the page cache is emptied before every turn.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import disk
from benchmarks.buffer_child import ROOT, Child
from benchmarks.buffer_content import ROW_BYTES, render
from benchmarks.machine import describe, keep
from benchmarks.turns import NotMeasured, in_turns, table

MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    limit: int = 1 << 30  # bytes of memory, page cache included
    transitions: int = 43_500  # 4.4 GB with the rows that end episodes
    pool: int = 2000
    cache: int = 256 * MB
    batch: int = 256
    batches: int = 60  # a turn delivers 3 GB
    repetitions: int = 5


class Group:
    """A memory control group of this kernel, version 2 or 1. Made by `limited`."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._second = folder, (folder / "cgroup.controllers").exists()
        (folder / ("memory.max" if self._second else "memory.limit_in_bytes")).write_text(str(limit))

    @property
    def prefix(self) -> Sequence[str]:
        """Words before a command that make it join before it begins."""
        return ("sh", "-c", f'echo $$ > {self._folder}/cgroup.procs && exec "$0" "$@"')

    def state(self) -> dict[str, int]:
        """Highest bytes so far, and processes killed for want of memory."""
        peak = self._folder / ("memory.peak" if self._second else "memory.max_usage_in_bytes")
        kills = (self._folder / ("memory.events" if self._second else "memory.oom_control")).read_text().split()
        return {"peak": int(peak.read_text()), "killed": int(kills[kills.index("oom_kill") + 1])}


@contextmanager
def limited(limit: int) -> Iterator[Group]:
    """A control group with a limit in bytes, removed afterwards. Raises NotMeasured where none may be made."""
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    root = Path("/sys/fs/cgroup")
    first = root / "memory" / own["memory"].lstrip("/") if "memory" in own else None
    parents = [parent for parent in (first, root / "memory" if first else None, root / own.get("", "").lstrip("/")) if parent]
    reasons: list[str] = []
    for parent in parents:
        folder = parent / f"user-gym-bench-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError as error:
            reasons.append(str(error))
            continue
        try:
            try:
                group = Group(folder, limit)
            except OSError as error:  # the parent hands no memory control down
                reasons.append(str(error))
                continue
            yield group
            return
        finally:
            folder.rmdir()
    raise NotMeasured(f"no memory control group may be made here ({'; '.join(reasons)})")


class Bench:
    """Ours and the plain read in turn."""

    def __init__(self, folder: Path, group: Group, sizes: Sizes) -> None:
        self.folder, self.group, self.sizes = folder, group, sizes
        self.peaks: dict[str, list[float]] = {}

    def fill(self) -> None:
        """Store the experience, outside the limit."""
        with Child(self._spec(together=100)) as child:
            child.do("fill")
            child.do("close")

    def read(self, threads: int) -> float:
        """GB/s of a sequential read in a process under the limit."""
        self._evict()
        code = (
            "import sys; from pathlib import Path; from benchmarks import disk; "
            "print(disk.read(disk.files(Path(sys.argv[1])), int(sys.argv[2])))"
        )
        command = [*self.group.prefix, sys.executable, "-c", code, str(self.folder), str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
        if done.returncode:
            raise NotMeasured(f"it ended with {done.returncode}: {done.stderr.strip()[-200:]}")
        return float(done.stdout) / 1e9

    def ours(self, name: str, **options: Any) -> float:
        """GB/s of batches delivered."""
        self._evict()
        size = self.sizes
        with Child(self._spec(cache_bytes=size.cache, **options), prefix=self.group.prefix) as child:
            seconds = child.do("sample", batches=size.batches)["seconds"]
            seen = child.do("peak")
        self.peaks.setdefault(name, []).append(seen["peak"] - seen["imported"])
        return size.batches * size.batch * 2 * ROW_BYTES / seconds / 1e9

    def _evict(self) -> None:
        stayed = disk.evict(disk.files(self.folder))
        if stayed > 0.01:
            raise NotMeasured(f"{stayed:.0%} of the data stayed in the page cache")

    def _spec(self, **options: Any) -> dict[str, Any]:
        size = self.sizes
        renders = str(render(Path(tempfile.gettempdir()) / "user-gym-bench", size.pool))
        return {
            "who": "ours", "kind": "noisy", "transitions": size.transitions, "folder": str(self.folder), "renders": renders,
            "batch": size.batch, "options": options,
        }  # fmt: skip


def measure(sizes: Sizes) -> str:
    """The table. Raises NotMeasured."""
    folder = Path(tempfile.mkdtemp(prefix="user-gym-ram-"))
    try:
        with limited(sizes.limit) as group:
            bench = Bench(folder, group, sizes)
            bench.fill()
            data = disk.size(folder)
            turns: dict[str, Callable[[], float]] = {
                f"sequential read, {threads} threads": lambda threads=threads: bench.read(threads) for threads in (1, 4, 16)
            }
            turns["ours, sample"] = lambda: bench.ours("ours, sample")
            for threads in (4, 16):
                name = f"ours, loader, {threads} threads"
                turns[name] = lambda name=name, threads=threads: bench.ours(name, loader=True, threads=threads)
            rates, absent = in_turns(turns, sizes.repetitions)
            state = group.state()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    reads = [name for name in rates if name.startswith("sequential")]
    best = max(reads, key=lambda name: statistics.median(rates[name]), default="")
    peaks = "; ".join(f"{name} {max(values) / 1e6:.0f} MB" for name, values in bench.peaks.items())
    return (
        f"Data {data / 1e9:.2f} GB, limit {sizes.limit / 1e9:.2f} GB, cache {sizes.cache / 1e6:.0f} MB, "
        f"two batches {4 * sizes.batch * ROW_BYTES / 1e6:.0f} MB; {sizes.batches} batches of {sizes.batch} a turn.\n\n"
        f"{table('GB/s', rates, best, '{:.2f}', absent)}\n\n"
        f"Peak resident above the interpreter: {peaks or 'not measured'}. "
        f"Highest use of the group, page cache included: {state['peak'] / 1e9:.2f} GB; "
        f"killed for want of memory: {state['killed']}."
    )


def main() -> None:
    """Measure and keep the table, or say why not."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    began = describe()
    try:
        text = measure(Sizes())
    except NotMeasured as error:
        text = f"Not measured: {error}."
    keep("larger_than_ram", f"# Larger than memory\n\n{began}; {Sizes().repetitions} rounds\n\n{text}")


if __name__ == "__main__":
    main()
