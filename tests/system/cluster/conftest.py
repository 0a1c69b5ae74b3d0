"""Clusters and runs on them that end with the tests. It imports no Ray: programs that it starts do."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE.parent / "processes")]

from running import PATIENCE, Run, toml  # noqa: E402

from user_gym.system.processes import from_words  # noqa: E402


class Nodes(NamedTuple):
    """A cluster."""

    address: str
    environment: dict[str, str]  # of programs that use it


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Nobody else finds, or is let into, what programs with it start."""
    paths = [HERE, HERE.parent / "processes", HERE.parent, os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory(prefix="ug", ignore_cleanup_errors=True) as folder:  # short: it has sockets
        yield {
            **os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_DEDUP_LOGS": "0",
        }  # fmt: skip


@pytest.fixture(scope="module")
def nodes(environment: dict[str, str]) -> Iterator[Nodes]:
    """Two nodes; the second has the robots left and right."""
    Path(environment["RAY_TMPDIR"], "ray").mkdir()
    command = [sys.executable, str(HERE / "two_nodes.py"), "left", "right"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout is not None
        lines: list[str] = []
        for line in cluster.stdout:
            lines.append(line)
            if line.startswith("address "):
                yield Nodes(line.split()[1], environment)
                break
        else:
            raise AssertionError(f"no cluster: {lines}")
        cluster.communicate("", timeout=PATIENCE)


class ClusterRun(Run):
    """A run on a cluster."""

    def __init__(self, path: Path, nodes: Nodes, **changes: Any) -> None:
        super().__init__(path, **changes)
        self.nodes = nodes

    def start(self) -> ClusterRun:
        """`user-gym run --ray`, in the background; what it says goes into its folder's logs."""
        self.said = self.file.with_suffix(f".{time.monotonic_ns()}.log")
        command = [sys.executable, "-m", "user_gym.cli", "run", str(self.file), "--run-dir", str(self.folder.path)]
        with self.said.open("w") as said:
            self.parent = subprocess.Popen(
                [*command, "--ray", self.nodes.address], env=self.nodes.environment, stdout=said, stderr=subprocess.STDOUT,
                text=True,
            )  # fmt: skip
        return self

    def end(self) -> tuple[int, str]:
        assert self.parent is not None
        code = self.parent.wait(PATIENCE)
        return code, self.said.read_text()

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.file.parent.glob("*.log")))

    def change(self, **changes: Any) -> None:
        """Another plan from the next start on."""
        self.words |= changes
        self.plan = from_words(self.words)
        self.file.write_text(toml(self.words))


@pytest.fixture
def runs(tmp_path: Path, nodes: Nodes) -> Iterator[Callable[..., ClusterRun]]:
    """Make a run; all of them end with the test."""
    made: list[ClusterRun] = []

    def make(**changes: Any) -> ClusterRun:
        path = tmp_path / str(len(made))
        path.mkdir()
        made.append(ClusterRun(path, nodes, **changes))
        return made[-1]

    yield make
    for run in made:
        run.close()
