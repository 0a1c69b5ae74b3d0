"""One process as its supervisor sees it: started here, or found alive from before. It knows no work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from user_gym.system.processes.ends import Ends
from user_gym.system.processes.exits import FAILED, FULL, STOPPED
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.registry import Identity, holder, of
from user_gym.system.processes.silence import MUTE, Silence

_LAST_WORDS = ("failed", "disk full", "out of memory")  # how the state of a process begins that says why it ends
_KERNEL = Path("/proc/vmstat")  # counts the processes that the kernel killed because no memory was left


class Child:
    """Owned by the supervisor's main thread; facts come from others.

    Args:
        folder: of the run.
        role: what it does.
        name: unique in the run.
        patience: s that its work may stand still.
    """

    def __init__(self, folder: RunFolder, role: str, name: str, patience: float) -> None:
        self.role, self.name, self._patience = role, name, patience
        self._folder, self.log = folder, str(folder.logs / f"{name}.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._ends = Ends()
        self._silence = Silence()
        self._starved = 0  # processes of the machine that had been killed for want of memory when this one began
        self.starts = 0
        self.done = self.told = False  # its work is done; it was told to stop
        self.facts: Mapping[str, Any] = {}
        self.last = ""  # how it ended before
        self._killed = ""  # why it was, here

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        if self._process is not None:
            return self._process.poll() is None
        return self._identity is not None and self._identity.alive

    @property
    def due(self) -> bool:
        """As `Supervised`."""
        return not (self.done or self.alive) and self._ends.due

    @property
    def failures(self) -> int:
        """How often in a row it failed by its own fault."""
        return self._ends.failures

    def adopt(self) -> bool:
        """Take over a process of this name that runs already; whether there is one."""
        there = holder(self._folder.processes, self.name)
        if there is None:
            return False
        if self._process is not None and there == self._identity:
            return True  # its exit code is only its parent's to have
        self._identity, self._process = there, None
        self._begin()
        return True

    def start(self) -> None:
        """Start it, unless it runs already."""
        if self.adopt():
            return
        self.facts = {**self.facts, "state": "starts", "still": 0.0}
        self._process = spawn(self._folder, self.role, self.name)
        self._identity = of(self._process.pid)
        self._begin()
        self.starts += 1

    def _begin(self) -> None:
        self._silence, self._starved, self._killed = Silence(), starved(), ""
        self._ends.began()

    def hear(self, facts: Mapping[str, Any]) -> None:
        """It said how it is."""
        self.facts = facts
        self._silence.broken()

    def ended(self) -> int | None:
        """Its exit code, once after each end; a negative one is a signal, as where nobody can know. None: it runs."""
        if self._identity is None or self.alive:
            return None
        code = -signal.SIGKILL if self._process is None else self._process.returncode
        self._ends.add(code)
        if not (self.told and code in (STOPPED, -signal.SIGTERM)):  # why it failed before is worth more
            self.last = self._reason(code)
        self._process = self._identity = None
        return code

    def _reason(self, code: int) -> str:
        """How it ended, in words: its own where it had time for some."""
        if code == -signal.SIGKILL and self._killed:
            return f"killed: {self._killed}"
        if code == -signal.SIGKILL and starved() > self._starved:
            return "killed as the machine ran out of memory; give the run less, or the machine more"
        if code < 0:
            return f"ended by signal {-code}"
        said = str(self.facts.get("state", ""))
        return said if code in (FAILED, FULL) and said.startswith(_LAST_WORDS) else f"ended with code {code}"

    @property
    def hangs(self) -> str:
        """As `Supervised`."""
        return why_stuck(self._silence, self.facts, self._patience) if self.alive else ""

    def stop(self) -> None:
        """Let it end in order, if it is there."""
        self.told = True
        self._send(signal.SIGTERM)

    def kill(self, why: str) -> None:
        """End it at once, if it is there."""
        self._killed = why
        self._send(signal.SIGKILL)

    @property
    def _state(self) -> str:
        if self.done:
            return "done"
        if self.alive:
            return str(self.facts.get("state", "starts"))
        if self.told:
            return "stopped"
        return f"waits to be started; {self.last}" if self.last else "waits to be started"

    def _send(self, number: int) -> None:
        """Never to another process."""
        if self._identity is not None:
            self._identity.send(number)

    @property
    def status(self) -> dict[str, Any]:
        """For the status file."""
        silent = round(self._silence.raw, 2)
        pid = self._identity.pid if self._identity is not None else None
        return {**self.facts, "state": self._state, "pid": pid, "starts": self.starts, "silent": silent, "last_end": self.last}


def why_stuck(silence: Silence, facts: Mapping[str, Any], patience: float) -> str:
    """Why a process is taken for one that will not go on by itself; empty: it is none.

    Args:
        silence: since it said how it is, which a thread of its own does.
        facts: what it said; `still`: s since its work moved, which the thread that works says.
        patience: s that its work may stand still.
    """
    if (silent := silence.look()) > MUTE:
        return f"it has not said a word for {silent:.0f} s"
    still = float(facts.get("still", 0.0))
    return f"its work has not moved for {still:.0f} s, and patience is {patience:g} s" if still > patience else ""


def starved() -> int:
    """Processes of this machine that the kernel has killed because no memory was left; 0 where it does not count them."""
    try:
        return int(_KERNEL.read_text().partition("oom_kill ")[2].partition("\n")[0] or 0)
    except OSError:
        return 0


def spawn(folder: RunFolder, role: str, name: str) -> subprocess.Popen[bytes]:
    """Start a process of the run, in a session of its own: Ctrl-C reaches the parent alone."""
    command = [sys.executable, "-m", "user_gym.system.processes", role, str(folder.path), name]
    with open(folder.logs / f"{name}.log", "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
