"""A hub, an edge that serves, and processes of either, on loopback: what the tests of this folder share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from remote_toys import CLOSED, GATE, HELD, ID

from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub import Hub
from user_gym.system.link.remote.env import RemoteEnv
from user_gym.system.link.remote.host import Host
from user_gym.system.link.remote.served import Served

HERE = Path(__file__).parent
TIMEOUT = 30.0  # s
_GLANCE = 0.005  # s
TOY = [Served(ID, choices=("obs", "render_mode"))]


def wait(ready: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Until something is so."""
    deadline = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < deadline, f"not so after {timeout} s"
        time.sleep(_GLANCE)


class Fleet(NamedTuple):
    """What runs."""

    hub: Hub
    edge: Edge
    host: Host
    stack: ExitStack

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.hub.port}"

    def env(self, **options: Any) -> RemoteEnv:
        """A client's, closed with the fleet."""
        env = RemoteEnv(**{"hub": self.address, "edge": "e1", "env_id": ID, **options})
        self.stack.callback(env.close)
        return env


@contextmanager
def fleet(path: Path, serves: dict[str, Sequence[Served]] | None = None, watchdog: float = 20.0, **hub: Any) -> Iterator[Fleet]:
    """One edge, e1, in this process."""
    for event in (GATE, HELD, CLOSED):
        event.clear()
    with ExitStack() as opened:
        running = opened.enter_context(Hub(**hub))
        spool = opened.enter_context(Spool.open(path / "spool", durability="kill"))
        host = opened.enter_context(Host(serves or {"arm": TOY}, watchdog))
        edge = Edge(f"127.0.0.1:{running.port}", spool, name="e1", robots=(), host=host)
        opened.enter_context(edge)
        edge.wait(TIMEOUT)
        clients = opened.enter_context(ExitStack())
        opened.callback(GATE.set)
        yield Fleet(running, edge, host, clients)
        GATE.set()


class Process:
    """A Python program that runs; its output is in a file."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self.log = path / f"process-{time.monotonic_ns()}.log"
        folders = (HERE, HERE.parents[3])
        environment = {**os.environ, "PYTHONPATH": ":".join(map(str, folders)), "PYTHONUNBUFFERED": "1"}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", *arguments], stdout=log, stderr=subprocess.STDOUT, cwd=path, env=environment
            )
        self.pid = self._process.pid

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str) -> re.Match[str]:
        """Until it has said something."""
        wait(lambda: re.search(words, self.said) or self._process.poll() is not None)
        found = re.search(words, self.said)
        assert found, self.said
        return found

    def end(self, how: int) -> int:
        """With a signal; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        return self._process.wait(TIMEOUT)
