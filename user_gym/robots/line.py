"""Who waits for devices on this machine, and in which order. It grants nothing.

Each waiting job has a file in the folder of the locks, locked while it waits: one whose lock is free belongs to a dead job and
does not count. Higher priority comes first, then who came first.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from user_gym.robots import locks

_SUFFIX = ".ticket"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one job waits for."""

    robots: tuple[str, ...]  # ids or models
    cameras: tuple[str, ...]  # ids or models
    gpus: int
    priority: int
    candidates: tuple[str, ...]  # physical addresses of every device that could serve it
    pid: int
    command: str
    since: float  # s, CLOCK_MONOTONIC, which all processes of a machine share


class Place:
    """A place in the line, from `__enter__` to `__exit__`."""

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self._path: Path | None = None
        self._descriptor = -1

    def ahead(self) -> tuple[Ticket, ...]:
        """The tickets that come before this one."""
        return tuple(ticket for ticket in waiting() if _order(ticket) < _order(self.ticket))

    def __enter__(self) -> Place:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        draft, path = locks.folder() / f"{name}.draft", locks.folder() / f"{name}{_SUFFIX}"
        self._descriptor = locks.open_file(draft)
        locks.lock(self._descriptor)
        os.write(self._descriptor, json.dumps(asdict(self.ticket)).encode())
        draft.rename(path)  # visible only now, locked and complete
        self._path = path
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
        os.close(self._descriptor)


def waiting() -> tuple[Ticket, ...]:
    """All tickets of living jobs, in their order."""
    tickets: list[Ticket] = []
    for path in locks.folder().glob(f"*{_SUFFIX}"):
        text = locks.read_locked(path)
        if text is None:
            _forget(path)
            continue
        fields = json.loads(text)
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        tickets.append(Ticket(**{**fields, **lists}))
    return tuple(sorted(tickets, key=_order))


def _forget(path: Path) -> None:
    """Remove a dead job's ticket. Names are never used twice, so nobody can have locked it anew."""
    with suppress(PermissionError):  # another user's; it is harmless, as it is not locked
        path.unlink(missing_ok=True)


def _order(ticket: Ticket) -> tuple[int, float, int]:
    return -ticket.priority, ticket.since, ticket.pid
