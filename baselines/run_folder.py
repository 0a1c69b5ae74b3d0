"""A run's folder: what is kept so that a run can go on. It knows no algorithm and no experience.

config.json               what the run is; another configuration is refused
lock                      held while a process works here; the system frees it when that process ends, however it ends
buffer/                   all experience, safe from the moment it is acknowledged: see `baselines.experience`
state.json                the newest checkpoint: counters, and the file of the agent with its digest
state.previous.json       the one before, for when the newest cannot be read
checkpoint-STEPS-N.pt     the agent after N updates
metrics.jsonl             what the run is doing, a line each second: for `user-gym watch`
summary.json, curve.png, film.gif, tensorboard/

Each file appears whole or not at all, so a process that is killed leaves its newest checkpoint as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from user_gym.errors import Busy, UserGymError, WrongRun
from user_gym.system import Counters
from user_gym.system.atomic_file import explained, write_aside, write_json

_BEFORE_CONFIG = {"lock", "config.json.tmp"}  # what a folder may hold whose process died before it wrote config.json
_BEFORE_STEPS = ("buffer", "tensorboard", "wandb", "metrics.jsonl", "config.json")  # what there may be before a first step
_EARLIER = "experience"  # where the layout before this one kept experience


class Run:
    """One run's folder, held by one process. `open` it first, `close` it last.

    Args:
        folder: made if it does not exist.
        config: all that makes two runs different.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder, dict(config)
        self._newest, self._previous = folder / "state.json", folder / "state.previous.json"
        self.seconds = {"wall": 0.0, "cpu": 0.0}  # of training, earlier parts included
        self.counters = Counters()
        self.curve: list[dict[str, Any]] = []
        self._agent = ""  # name of the newest checkpoint
        self._lock: IO[str] | None = None
        self._anew = self._made = False  # whether this process began the run, and made its folder

    def open(self) -> None:
        """Make the folder, or recognise it; then it is this process's. Raises WrongRun, Busy, NoSpace, Unwritable."""
        self._began, self._before = time.perf_counter(), 0.0
        path = self.folder / "config.json"
        if self.folder.exists() and not self.folder.is_dir():
            raise WrongRun(f"{self.folder} is a file; choose another --run-dir")
        there = {file.name for file in self.folder.iterdir()} if self.folder.exists() else set()
        if there - _BEFORE_CONFIG and path.name not in there:
            raise WrongRun(f"{self.folder} is not empty and no run; choose another --run-dir")
        if _EARLIER in there:
            raise WrongRun(
                f"{self.folder} was made by an earlier version, which kept its experience in {_EARLIER}/; "
                "remove it or choose another --run-dir"
            )
        self._made = not self.folder.exists()
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._hold()
        try:
            self._anew = not path.exists()
            if self._anew:
                write_json(path, self.config)
            else:
                self._compare(path)
            for left in self.folder.glob("*.tmp"):  # by a process that was killed
                left.unlink()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another process have the folder. May be called twice."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def withdraw(self) -> None:
        """Let go of a run that this process began and that has no checkpoint, as if there had been none.

        For who knows that it has no experience either, and that its buffer is closed. Nothing else is removed.
        """
        if self._lock is None or not self._anew or self._newest.exists():
            return
        if not _is_there(self.folder / "lock", self._lock):  # somebody moved this folder, and another may have its place
            return
        for name in _BEFORE_STEPS:
            path = self.folder / name
            with contextlib.suppress(OSError):  # why it failed is what is to be heard
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):
            (self.folder / "lock").unlink()  # while it is held: who opens this file now has lost, see `_hold`
            if self._made:
                self.folder.rmdir()  # unless somebody put something there
        self.close()

    @property
    def total(self) -> float:
        """Seconds since `open`, and those of the earlier parts of this run up to their last checkpoint."""
        return self._before + time.perf_counter() - self._began

    @property
    def summary(self) -> dict[str, Any] | None:
        """The summary of a finished run, else None."""
        path = self.folder / "summary.json"
        return json.loads(path.read_text()) if path.exists() else None

    def save(self, save_agent: Callable[[Path], object], counters: Counters) -> None:
        """Checkpoint: the agent, then the file that names it. After as many steps and updates it is the same agent.

        Raises NoSpace, Unwritable, and what `save_agent` does; the checkpoints before are then as they were.
        """
        self.counters = counters
        agent = self.folder / f"checkpoint-{counters.env_steps}-{counters.updates}.pt"
        anew = agent.name != self._agent
        try:
            if anew:
                write_aside(agent, save_agent)
            state = {"agent": agent.name, "digests": {agent.name: _digest(agent)}, "counters": dataclasses.asdict(counters)}
            state |= {"seconds": self.seconds, "total": self.total, "curve": self.curve}
            write_json(self._newest, state, before=self._previous if anew else None)
            self._agent = agent.name
        finally:
            self._sweep()

    def restore(self, restore_agent: Callable[[Path], object]) -> Counters | None:
        """Go on from the newest checkpoint that is whole; None if there has been none.

        Raises:
            UserGymError: there are checkpoints, and none is whole.
        """
        damage = []
        for path in (self._newest, self._previous):
            if not path.exists():
                continue
            try:
                state = self._whole(path)
            except (OSError, ValueError, KeyError) as error:  # gone or unreadable, not JSON or altered, of another make
                damage.append(f"{path.name}: {error}")
                continue
            restore_agent(self.folder / state["agent"])
            self._adopt(path, state)
            if damage:
                print(f"{self.folder}: {damage[0]}; goes on from the checkpoint before, {self.counters.env_steps} steps")
            return self.counters
        if damage:
            raise UserGymError(
                f"no checkpoint in {self.folder} is whole ({'; '.join(damage)}); remove its state*.json to learn anew from "
                "the experience in its buffer, or the folder to start again"
            )
        return None

    def _whole(self, path: Path) -> dict[str, Any]:
        """A state of which every file is as it was written."""
        state = json.loads(path.read_text())
        for name, digest in state["digests"].items():
            if _digest(self.folder / name) != digest:
                raise ValueError(f"{name} is damaged")
        return state

    def _adopt(self, path: Path, state: dict[str, Any]) -> None:
        if path == self._previous:  # or the next checkpoint would keep the damaged one as the one before
            os.replace(self._previous, self._newest)
        self._agent = state["agent"]
        self.seconds, self.curve = state["seconds"], state["curve"]
        self._before, self.counters = state["total"], Counters(**state["counters"])

    def _sweep(self) -> None:
        """Remove agents that no checkpoint names; a full disk needs the room."""
        named = {_named(self._newest), _named(self._previous)}
        for file in self.folder.glob("checkpoint-*.pt"):
            if file.name not in named:
                file.unlink()

    def _compare(self, path: Path) -> None:
        try:
            there = json.loads(path.read_text())
        except ValueError as error:
            raise WrongRun(f"{path} is damaged: {error}; choose another --run-dir or remove {self.folder}") from error
        names = sorted(k for k in {*there, *self.config} if there.get(k) != self.config.get(k))
        if names:
            differing = ", ".join(f"{k}={there.get(k)!r} there, {self.config.get(k)!r} here" for k in names)
            raise WrongRun(
                f"{self.folder} belongs to another configuration: {differing}; choose another --run-dir or remove it"
            )

    def _hold(self) -> None:
        let_go = Busy(f"{self.folder} was let go of by another process at this moment; try again")
        try:
            file = (self.folder / "lock").open("a+")
        except FileNotFoundError:
            raise let_go from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise Busy(f"{self.folder} is in use by process {owner}; wait until it ends or choose another --run-dir") from None
        if not _is_there(self.folder / "lock", file):
            file.close()
            raise let_go
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._lock = file


def _is_there(path: Path, file: IO[str]) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _named(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["agent"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, not JSON or altered
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def newest(folder: Path) -> tuple[dict[str, Any], Path]:
    """Configuration and agent of a run's newest checkpoint; reads, holds nothing. Raises WrongRun if there is none."""
    try:
        config = json.loads((folder / "config.json").read_text())
        state = json.loads((folder / "state.json").read_text())
        agent = folder / state["agent"]
        if _digest(agent) != state["digests"][agent.name]:
            raise WrongRun(f"{agent} is damaged; train again, or choose another run folder")
        return config, agent
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, WrongRun):
            raise
        raise WrongRun(f"{folder} holds no run with a checkpoint: {error}; train one: python -m baselines.rlpd") from error
