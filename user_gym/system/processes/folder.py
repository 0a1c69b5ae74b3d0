"""What lies where in the folder of a run.

plan.json           what the run is
processes/NAME      who has that name: see `registry`
sockets/NAME.sock   where the owner and the supervisor listen; elsewhere where the path would be too long
logs/NAME.log       what a process wrote
buffer/             all experience
learner/            checkpoints
raw/                raw episodes that somebody fetched from edges
owner.json          counters that the buffer alone does not tell
status.json         what is going on, twice a second
finished.json       how the run ended
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from user_gym.errors import Unwritable, WrongRun
from user_gym.system.atomic_file import explained, read_json, write_json
from user_gym.system.buffer import Buffer
from user_gym.system.checkpoints import Checkpoints
from user_gym.system.processes.plan import Plan, from_words
from user_gym.system.weights import forget

STATUS = "status.json"
_LONGEST = 107  # bytes of a socket's path: sun_path of unix(7) has 108, the last of them 0
_BEGUN = {"plan.json.tmp", "processes"}  # what a folder may hold whose process died before it had written the plan


class RunFolder:
    """Paths of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.plan_file, self.owner_file = self.path / "plan.json", self.path / "owner.json"
        self.status_file, self.finished_file = self.path / STATUS, self.path / "finished.json"
        self.processes, self.logs, self.learner = self.path / "processes", self.path / "logs", self.path / "learner"
        self.buffer, self.raw = self.path / "buffer", self.path / "raw"

    def compare(self, plan: Plan) -> Plan | None:
        """The plan that is here already, None where there is none. Raises WrongRun unless `plan` may go on here.

        Where nothing was made of the one that is here, any other may take its place.
        """
        there = self.plan() if self.plan_file.exists() else None
        if there is None and self.path.exists() and (not self.path.is_dir() or {f.name for f in self.path.iterdir()} - _BEGUN):
            raise WrongRun(f"{self.path} is there and holds no run of several processes; choose another --run-dir")
        if there is not None and (unlike := plan.differences(there)) and self._is_filled():
            raise WrongRun(f"{self.path} belongs to another plan: {'; '.join(unlike)}; choose another --run-dir or remove it")
        return there

    def _is_filled(self) -> bool:
        """Whether there is experience, or has been, or an agent that has learned."""
        kept = Checkpoints(self.learner).reached()
        if self.finished_file.exists() or (kept is not None and kept.updates > 0):
            return True
        if not self.buffer.exists() or not any(self.buffer.iterdir()):  # an owner may have died just after it made the folder
            return False
        with Buffer.open(self.buffer, read_only=True) as buffer:
            return buffer.stats()["transitions_ever"] > 0

    def make(self, plan: Plan) -> None:
        """Make the folder, and that of names, unless they are there. Raises WrongRun, NoSpace, Unwritable."""
        self.compare(plan)
        with explained(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _require_ours(self.path)
            self.processes.mkdir(mode=0o700, exist_ok=True)

    def begin(self, plan: Plan) -> None:
        """Begin a run in the folder, or go on with the one in it. Raises WrongRun, NoSpace, Unwritable.

        For who has the name of the parent, as two at once would each write a plan.
        """
        self.make(plan)
        there = self.compare(plan)
        if there is None or plan.differences(there):
            self._begin_anew()
        if there != plan:
            write_json(self.plan_file, plan.words)
        with explained(self.path):
            for folder in (self.logs, self.learner, self.path / "sockets"):
                folder.mkdir(mode=0o700, exist_ok=True)
        finished = self.finished()
        if finished is not None and finished["steps"] < plan.steps:
            self.finished_file.unlink()

    def _begin_anew(self) -> None:
        """Let nothing of a plan that was here before, and came to nothing, reach this one: agent, counters, weights."""
        forget(self.digest)  # of one that was killed and removed, too
        with explained(self.path):
            self.owner_file.unlink(missing_ok=True)
        Checkpoints(self.learner).clear()

    def plan(self) -> Plan:
        """The run's plan. Raises WrongRun where there is none."""
        try:
            return from_words(json.loads(self.plan_file.read_text()))
        except FileNotFoundError as error:
            raise WrongRun(
                f"{self.path} holds no run of several processes; give the folder that `user-gym run` named"
            ) from error
        except (OSError, ValueError) as error:
            raise WrongRun(f"{self.path} holds no run of several processes: {error}") from error

    def finished(self) -> dict[str, Any] | None:
        """How the run ended; None: it has not. Raises WrongRun where the file is damaged."""
        try:
            return read_json(self.finished_file)
        except ValueError as error:
            cure = "remove it, and the same command finds out anew"
            raise WrongRun(f"{self.finished_file} is damaged: {error}; {cure}") from error

    def status(self) -> dict[str, Any] | None:
        """What is going on, as the supervisor wrote it last; None: nothing is there, or what the power left of it."""
        try:
            found = read_json(self.status_file)
        except ValueError:
            return None
        return found if isinstance(found, dict) and "processes" in found else None

    def socket(self, name: str) -> Path:
        """Where a process listens: for all processes of this run the same. Raises Unwritable."""
        path = self.path / "sockets" / f"{name}.sock"
        if len(os.fsencode(path)) <= _LONGEST:
            return path
        folder = Path(tempfile.gettempdir()) / f"user-gym-{os.getuid()}-{self.digest}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise Unwritable(f"{folder} is not a folder of this user alone; remove it, or take a shorter --run-dir")
        return folder / f"{name}.sock"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the path: a name for what the run has outside its folder, such as memory of weights."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]


def _require_ours(path: Path) -> None:
    """Raises Unwritable where others may write: a plan names code, and who could change it would have this user run it."""
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o002:
        raise Unwritable(
            f"{path} is of user {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}: others may write what this run "
            f"would do; allowed: of user {os.geteuid()}, and not to be written by all; chmod o-w, or choose another --run-dir"
        )
