"""How long the parent of a worker waits for a reply, and how it knows earlier that none will come."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from user_gym.errors import LinkLost

LOOK = 1.0  # s between two looks at a worker that is silent
SUSPENDED = 2  # looks in a row that find it suspended: a debugger or a shell's job control may pause it for a moment


class Patience(NamedTuple):
    """s of the wall's time that the parent waits for a reply.

    Each is longer than what the drivers wait for by themselves, so that their words come first: theirs say what is wrong. A
    worker that died is noticed at once, one that is suspended (SIGSTOP, Ctrl-Z) within LOOK * SUSPENDED s.
    """

    connect: float = 60.0  # a vendor's client is imported, and a robot may be slow to answer
    reset: float = 180.0  # recovery and two slow motions, for each of which a Franka's driver waits 60 s
    exchange: float = 30.0  # a vendor's call may take 10 s, then the stop of an arm whose link is torn 5 s
    close: float = 40.0  # an arm without brakes is let down first


def wait(link: Connection, pid: int, name: str, due: float) -> bool:
    """Whether a reply is there, at the latest at `due` (s, monotonic).

    Raises:
        LinkLost: the worker `pid`, which drives the arm `name`, is suspended.
        OSError: the pipe was closed meanwhile.
    """
    seen = 0
    while True:
        left = due - time.monotonic()
        if link.poll(min(max(left, 0.0), LOOK)):
            return True
        if left <= 0:
            return False
        seen = seen + 1 if _suspended(pid) else 0
        if seen == SUSPENDED:
            raise LinkLost(f"driver process of {name} (pid {pid}) is suspended; kill -CONT {pid}, then reset() goes on")


def _suspended(pid: int) -> bool:
    """Whether a signal stopped the process; False where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:  # no such folder, or it has ended: the pipe tells that
        return False
