"""What each edge has brought so far, for its quota, and from which spool: in a file of the hub's folder, at most 1 s old."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from threading import Lock

from user_gym.errors import NoSpace, Unwritable, WrongRun
from user_gym.system.atomic_file import read_json, write_json

_EVERY = 1.0  # s between two writes
_log = logging.getLogger(__name__)


class Spending:
    """Thread-safe.

    Args:
        path: of the file; None: nothing is kept.

    Raises:
        WrongRun: the file is damaged.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._lock, self._writing = path, Lock(), Lock()
        self._spent, self._spools = ({}, {}) if path is None else _read(path)
        self._written, self._changed = -math.inf, False

    def of(self, edge: str) -> tuple[int, int]:
        """Steps and bytes stored."""
        with self._lock:
            return self._spent.get(edge, (0, 0))

    def add(self, edge: str, steps: int, nbytes: int) -> None:
        """So much more was stored."""
        with self._lock:
            before = self._spent.get(edge, (0, 0))
            self._spent[edge], self._changed = (before[0] + steps, before[1] + nbytes), True

    def spool(self, edge: str) -> str:
        """The spool that its numbers of episodes are of; "" where it is not known."""
        with self._lock:
            return self._spools.get(edge, "")

    def goes_on(self, edge: str, spool: str) -> None:
        """From now on its numbers of episodes are of this spool."""
        with self._lock:
            known, self._spools[edge] = self._spools.get(edge, ""), spool
            self._changed = self._changed or known != spool
        if known != spool:
            self.keep(now=True)

    def keep(self, now: bool = False) -> None:
        """Write it down, where it is time to or `now`. Where that fails, the file stays as it is, and it is said."""
        if self._path is None or not self._changed or not (now or time.monotonic() - self._written > _EVERY):
            return
        with self._writing:
            self._write(self._path)

    def _write(self, path: Path) -> None:
        with self._lock:
            edges = self._spent.keys() | self._spools.keys()
            words = {edge: [*self._spent.get(edge, (0, 0)), self._spools.get(edge, "")] for edge in sorted(edges)}
            self._changed = False
        self._written = time.monotonic()
        try:
            write_json(path, words, durable=False)
        except (NoSpace, Unwritable) as error:
            self._changed = True
            _log.error("quotas are counted, and not kept: %s", error)


def _read(path: Path) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    try:
        rows = read_json(path) or {}
        spent = {edge: (int(steps), int(nbytes)) for edge, (steps, nbytes, *_) in rows.items()}
        return spent, {edge: str(row[2]) for edge, row in rows.items() if row[2:]}
    except (ValueError, TypeError, AttributeError) as error:
        raise WrongRun(f"{path} is damaged: {error}; remove it, and quotas are counted anew") from error
