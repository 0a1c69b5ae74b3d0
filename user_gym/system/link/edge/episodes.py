"""Which numbers of episodes were used, by source: kept for when the blocks that say so have left. It knows no blocks."""

from __future__ import annotations

import os
from pathlib import Path

from user_gym.core import whole
from user_gym.errors import NoSpace, WrongRun
from user_gym.system.atomic_file import read_json, write_json

_NAME, _RESERVE = "numbers.json", "reserve"
_ROOM = 1 << 14  # bytes kept free, for blocks that leave a full disk have to be written about first


class Episodes:
    """Not thread-safe: its owner locks.

    Args:
        folder: where the file is.
        durable: what is written survives a power cut.
    """

    def __init__(self, folder: Path, durable: bool) -> None:
        self._path, self._reserve, self._durable = folder / _NAME, folder / _RESERVE, durable
        self._next: dict[str, int] = {}

    def load(self) -> None:
        """Go on with what the file says. Raises WrongRun where it is damaged."""
        try:
            words = read_json(self._path) or {}
            self._next = {source: whole("next episode", episode, 0) for source, episode in words.items()}
        except (ValueError, AttributeError) as error:
            raise WrongRun(f"{self._path} is damaged: {error}; remove it: the hub knows these numbers, too") from error

    def used(self, source: str, episode: int) -> None:
        """This one is taken."""
        self._next[source] = max(self._next.get(source, 0), episode + 1)

    def next(self, source: str) -> int | None:
        """Above all that were; None: none of this source is known."""
        return self._next.get(source)

    def reserve(self) -> None:
        """Keep room for `write`. Raises OSError where there is none."""
        if self._reserve.exists():
            return
        descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _ROOM)
        finally:
            os.close(descriptor)

    def write(self) -> None:
        """Keep them; on a full disk in the room that was reserved. Raises NoSpace, Unwritable."""
        try:
            write_json(self._path, self._next, self._durable)
        except NoSpace:
            self._reserve.unlink(missing_ok=True)
            write_json(self._path, self._next, self._durable)
