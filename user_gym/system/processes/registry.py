"""Which process has which name in a run: found again by who starts later, never mistaken for a stranger with its number.

A name is held by a lock of the kernel on a file, which ends with its holder. The file says who: process number, and when that
process started, because numbers are given again.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from user_gym.errors import Busy
from user_gym.system.atomic_file import explained

_SIZE = 160  # bytes of a record: it is written over in place, so that a full disk takes it
_STATE, _STARTED = 0, 19  # fields of /proc/PID/stat behind the name: proc(5), numbers 3 and 22


class Identity(NamedTuple):
    """One process, never another one."""

    pid: int
    started: int  # clock ticks since the machine did
    boot: str  # id of that start of the machine

    @property
    def alive(self) -> bool:
        """Whether it is there, and no zombie."""
        return self == of(self.pid)

    def send(self, number: int) -> bool:
        """Send a signal to this process and no other; whether it was there."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive:  # asked while the descriptor holds on to whoever has the number
                return False
            signal.pidfd_send_signal(descriptor, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)


def of(pid: int) -> Identity | None:
    """Who has this number now; None: nobody, or somebody who has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else Identity(pid, int(fields[_STARTED]), boot)


class Name:
    """A name in a run, held by this process from `hold` on.

    Args:
        folder: of the run's names.
        name: of a process.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name, self._descriptor = folder, name, -1

    def hold(self) -> None:
        """Raises Busy where another process has it, NoSpace, Unwritable."""
        path = self._folder / self._name
        with explained(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            there = holder(self._folder, self._name)
            owner = f"process {there.pid}" if there else "a process that has not said its number yet"
            raise Busy(f"the {self._name} of the run in {self._folder.parent} is {owner}") from None
        self._descriptor = descriptor
        try:
            with explained(path):
                os.pwrite(descriptor, json.dumps(of(os.getpid())).encode().ljust(_SIZE), 0)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """May be called twice."""
        if self._descriptor >= 0:
            os.pwrite(self._descriptor, b" " * _SIZE, 0)  # this process may live on
            os.close(self._descriptor)
            self._descriptor = -1


def holder(folder: Path, name: str) -> Identity | None:
    """The living process that has a name; None: nobody."""
    with suppress(FileNotFoundError, ValueError, TypeError):  # never had one; killed before it had written who it is
        identity = Identity(*json.loads((folder / name).read_text()))
        return identity if identity.alive else None
    return None
