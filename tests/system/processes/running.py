"""A run of several processes, real ones, to look at and to kill."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from user_gym.system import Buffer
from user_gym.system.processes import RunFolder, from_words
from user_gym.system.processes.registry import Identity, holder

HERE = Path(__file__).parent
PATIENCE = 60.0  # s, for a loaded machine


def plan_words(**changes: Any) -> dict[str, Any]:
    """A sound plan of two toy robots; `changes` replace top-level tables."""
    collectors = [{"name": name, "env": "toy_robots:ToyRobot-v0", "kwargs": {"step": 0.005}} for name in ("left", "right")]
    agent = {"make": "toy_robots:agent", "options": {"update": 0.001}}
    words = {
        "steps": 600,
        "batch_size": 16,
        "tolerance": 50,
        "checkpoint_seconds": 0.3,
        "agent": agent,
        "collectors": collectors,
    }
    return {**words, "max_seconds": 0.5, **changes}


def toml(words: dict[str, Any]) -> str:
    """The same as TOML."""

    def value(v: Any) -> str:
        if isinstance(v, dict):
            return "{" + ", ".join(f"{json.dumps(k)} = {value(x)}" for k, x in v.items()) + "}"
        return "[" + ", ".join(map(value, v)) + "]" if isinstance(v, list) else json.dumps(v)

    return "\n".join(f"{name} = {value(v)}" for name, v in words.items())


def press(url: str, what: str) -> dict[str, Any]:
    """A verdict, as a browser sends it; what was answered."""
    connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=10)
    try:
        connection.request("POST", what)
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else {}
    finally:
        connection.close()


class Run:
    """One run in a folder of its own."""

    def __init__(self, path: Path, **changes: Any) -> None:
        self.folder, self.words = RunFolder(path / "run"), plan_words(**changes)
        self.plan = from_words(self.words)
        self.file = path / "plan.toml"
        self.file.write_text(toml(self.words))
        self.parent: subprocess.Popen[str] | None = None

    def start(self) -> Run:
        """`user-gym run`, in the background."""
        paths = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "user_gym.cli", "run", str(self.file), "--run-dir", str(self.folder.path)],
            env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return self

    def end(self) -> tuple[int, str]:
        """Wait for the command; its exit code and what it said."""
        assert self.parent is not None
        said, _ = self.parent.communicate(timeout=PATIENCE)
        return self.parent.returncode, said

    def pid(self, name: str) -> Identity | None:
        return holder(self.folder.processes, name)

    @property
    def names(self) -> list[str]:
        hub = ["hub"] if self.plan.hub is not None else []
        return ["owner", "learner", "supervisor", *hub, *(collector.name for collector in self.plan.here)]

    def kill(self, name: str) -> Identity:
        """kill -9, and wait until it is gone."""
        there = self.until(lambda: self.pid(name), f"{name} to be there")
        there.send(signal.SIGKILL)
        self.until(lambda: not there.alive, f"{name} to be gone")
        return there

    def until(self, what: Callable[[], Any], words: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := what()):
            assert time.monotonic() < deadline, f"waited {PATIENCE} s for {words}; {self.logs()}"
            time.sleep(0.01)
        return found

    def facts(self, name: str) -> dict[str, Any]:
        """What a process told its supervisor."""
        try:
            return json.loads(self.folder.status_file.read_text())["processes"][name]
        except (FileNotFoundError, KeyError):
            return {}

    def steps(self) -> int:
        return self.facts("owner").get("steps", 0)

    def logs(self) -> str:
        return "\n".join(f"== {file.name}\n{file.read_text()}" for file in sorted(self.folder.logs.glob("*.log")))

    def experience(self) -> dict[str, dict[int, list[int]]]:
        """Source -> episode -> sequences of its chunks, each stored once."""
        found: dict[str, dict[int, list[int]]] = {}
        with Buffer.open(self.folder.buffer, read_only=True) as buffer:
            at, total = 0, int(buffer.stats()["transitions_ever"])
            while at < total:
                chunk = buffer.chunk(at)
                found.setdefault(chunk.source, {}).setdefault(chunk.episode, []).append(chunk.sequence)
                at += len(chunk)
            assert at >= total  # more than at first, where the run goes on
        return found

    def check(self) -> dict[str, Any]:
        """The run is finished, its counters are those of its buffer, and no chunk is missing or there twice."""
        finished = self.folder.finished()
        assert finished is not None, self.logs()
        with Buffer.open(self.folder.buffer, read_only=True) as buffer:
            own = {name: len(buffer.view(f"source = '{name}'")) for name in finished["robots"]}
            assert {name: robot["steps"] for name, robot in finished["robots"].items()} == own
            assert finished["steps"] == sum(own.values()) == len(buffer)
        assert self.plan.steps <= finished["steps"]
        owed = self.plan.updates_per_step * max(0, finished["steps"] - self.plan.learning_starts) - finished["updates"]
        assert -self.plan.tolerance <= owed < 1
        for episodes in self.experience().values():
            for sequences in episodes.values():
                assert sequences == list(range(len(sequences)))
        newest = json.loads((self.folder.learner / "newest.json").read_text())
        kept = json.loads((self.folder.learner / newest["agent"]).read_text())
        assert newest["updates"] == kept["updates"] == finished["updates"]
        return finished

    def close(self) -> None:
        """Let nothing run on."""
        if self.parent is not None and self.parent.poll() is None:
            self.parent.kill()
            self.parent.communicate()
        for name in ("supervisor", *self.names):
            there = self.pid(name)
            if there is not None:
                there.send(signal.SIGKILL)
