"""The parent's end of a contestant's process. It knows no workload.

Peers run in the interpreters that the environment variable USER_GYM_BENCH_PEERS lists (separated as in PATH); each contestant
takes the first that can import its package, else it is not measured, and the tables say so.
"""

from __future__ import annotations

import functools
import json
import os
import select
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.turns import NotMeasured

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "SB3": "stable_baselines3",
    "torchrl RAM": "torchrl",
    "torchrl memmap": "torchrl",
    "cpprb": "cpprb",
    "LeRobot": "lerobot",
}
# Keep freed memory instead of returning it after each batch: the allocator then has no pages to clear.
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(256 << 20)}


def interpreter(who: str) -> str:
    """The Python that has this contestant's package. Raises NotMeasured."""
    package = PACKAGES.get(who)
    if package is None:
        return sys.executable
    for python in [*filter(None, os.environ.get("USER_GYM_BENCH_PEERS", "").split(os.pathsep)), sys.executable]:
        if _has(python, package):
            return python
    raise NotMeasured(f"{package} is in no interpreter of USER_GYM_BENCH_PEERS")


@functools.cache
def _has(python: str, package: str) -> bool:
    found = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return not subprocess.run([python, "-c", found], capture_output=True, timeout=120, check=False).returncode


class Child:
    """A contestant's process.

    Args:
        spec: what it is: see benchmarks/buffer_contestants.py.
        environment: further variables, such as TUNED.
        prefix: words before the interpreter, such as a shell that joins a control group.
    """

    def __init__(
        self, spec: Mapping[str, Any], environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [*prefix, interpreter(spec["who"]), "-W", "ignore", "-m", "benchmarks.buffer_contestants", json.dumps(spec)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
            env={**os.environ, **one, **(environment or {})},
        )  # fmt: skip
        self._answer("start")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def do(self, order: str, **arguments: Any) -> dict[str, float]:
        """Give an order, wait for its answer. Raises NotMeasured when the process fails."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps({"do": order, **arguments}) + "\n").encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words follow
        return self._answer(order)

    def _answer(self, order: str, seconds: float = 900.0) -> dict[str, float]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self.end()
            raise NotMeasured(f"{order}: no answer in {seconds:.0f} s")
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": f"{order}: it ended with {self._process.wait(60)}"}
        if "error" in answer:
            self.end()
            raise NotMeasured(answer["error"])
        return answer

    def end(self) -> None:
        """End the process, however it is."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()


class Sampling:
    """Turns of one child, each of about so many seconds: batches per second."""

    def __init__(self, child: Child, seconds: float) -> None:
        child.do("sample", batches=2)  # what is made once
        self._batches = max(2, round(seconds / max(child.do("sample", batches=2)["seconds"] / 2, 1e-6)))
        self.child, self._cpu = child, list[float]()

    def __call__(self) -> float:
        answer = self.child.do("sample", batches=self._batches)
        self._cpu.append(answer["cpu"] / self._batches)
        return self._batches / answer["seconds"]

    @property
    def cpu(self) -> float:
        """Median seconds of CPU a batch, all threads together."""
        return statistics.median(self._cpu)
