"""What each edge has brought so far, for its quota: kept in a file of the hub's folder, a second old at most."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from threading import Lock

from user_gym.errors import NoSpace, WrongRun
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
        self._path, self._lock = path, Lock()
        self._spent = {} if path is None else _read(path)
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

    def keep(self, now: bool = False) -> None:
        """Write it down, where it is time to or `now`. On a full disk the file stays as it is, and that is said."""
        if self._path is None or not self._changed or not (now or time.monotonic() - self._written > _EVERY):
            return
        with self._lock:
            words, self._changed = {edge: list(spent) for edge, spent in self._spent.items()}, False
        self._written = time.monotonic()
        try:
            write_json(self._path, words, durable=False)
        except NoSpace as error:
            self._changed = True
            _log.error("quotas are counted, and not kept: %s", error)


def _read(path: Path) -> dict[str, tuple[int, int]]:
    try:
        return {edge: (int(steps), int(nbytes)) for edge, (steps, nbytes) in (read_json(path) or {}).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise WrongRun(f"{path} is damaged: {error}; remove it, and quotas are counted anew") from error
