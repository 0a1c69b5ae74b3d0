"""Hub and edge of a benchmark, each a process that is told what to do, and may be killed and begun again."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from user_gym.system.link.identity.hub_folder import HubFolder

Start = Callable[..., "subprocess.Popen[str]"]  # as `Popen`, or `Namespace.start`
Facts = dict[str, Any]


class End:
    """One process.

    Args:
        role: "hub" or "edge".
        options: of `benchmarks.link_end`.
        start: makes the process.
    """

    def __init__(self, role: str, options: Facts, start: Start = subprocess.Popen) -> None:
        self._role, self._options, self._start = role, options, start
        self._process: subprocess.Popen[str] | None = None

    def begin(self) -> Facts:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "benchmarks.link_end", self._role, json.dumps(self._options)]
        self._process = self._start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self.answer(60.0)

    def tell(self, do: str, **arguments: Any) -> None:
        """An order; its answer has to be taken."""
        assert self._process is not None
        assert self._process.stdin is not None
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)

    def answer(self, timeout: float = 600.0) -> Facts:
        """Of the last order."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError(f"{self._role} did not answer in {timeout} s; exit {self._process.poll()}")
        return json.loads(line)

    def ask(self, do: str, **arguments: Any) -> Facts:
        """An order, and its answer."""
        self.tell(do, **arguments)
        return self.answer()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """With -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def close(self) -> None:
        """Let it end by itself; what takes too long is killed."""
        if self._process is None or self._process.poll() is not None:
            return
        with suppress(subprocess.TimeoutExpired, BrokenPipeError):
            self._process.communicate(timeout=20.0)
        self._process.kill()
        self._process.communicate()


class Pair:
    """A hub and an edge, mutual TLS between them; everything below one folder.

    Args:
        folder: empty.
        host: that the hub listens at.
        port: of the hub.
        dialled: HOST:PORT that the edge dials; None: the hub's own.
        hub, edge: make the processes, such as in a namespace.
        options: of the edge, besides.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        *,
        dialled: str | None = None,
        hub: Start = subprocess.Popen,
        edge: Start = subprocess.Popen,
        **options: Any,
    ) -> None:
        books = HubFolder(folder / "books")
        books.enroll("arm", f"{host}:{port}").save(folder / "arm.bundle")
        hub_options = {"address": f"{host}:{port}", "folder": str(folder / "books"), "buffer": str(folder / "buffer")}
        edge_options = {"bundle": str(folder / "arm.bundle"), "spool": str(folder / "spool"), "address": dialled, **options}
        self.hub, self.edge = End("hub", hub_options, hub), End("edge", edge_options, edge)

    def __enter__(self) -> Pair:
        self.hub.begin()
        self.edge.begin()
        self.edge.ask("wait")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.edge.close()
        self.hub.close()
