"""What a learner goes on from: its agent, whole or the one before, and the counters that belong to it. It knows no algorithm.

agent-N              what `Agent.save` wrote, the Nth time
newest.json          names it, with its digest and the counters
previous.json        the checkpoint before, for when the newest cannot be read
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from user_gym.errors import UserGymError
from user_gym.system.atomic_file import explained, write_aside, write_json

_log = logging.getLogger(__name__)


class Reached(NamedTuple):
    """Counters of a checkpoint."""

    updates: int = 0
    version: int = -1  # of the weights published last


class Checkpoints:
    """One learner's. Each appears whole or not at all; the newest two are kept.

    Args:
        folder: exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._newest, self._previous = folder / "newest.json", folder / "previous.json"

    def save(self, write: Callable[[Path], object], reached: Reached) -> None:
        """Keep an agent. Raises NoSpace, Unwritable, and what `write` does; the checkpoints before are then as they were."""
        agent = self._folder / f"agent-{self._next()}"
        try:
            write_aside(agent, write)
            words = {"agent": agent.name, "sha256": _digest(agent), **reached._asdict()}
            write_json(self._newest, words, before=self._previous)
        finally:
            self._sweep()

    def restore(self, read: Callable[[Path], object]) -> Reached | None:
        """Go on from the newest checkpoint that is whole; None if there has been none. Raises UserGymError where none is."""
        found = self._whole()
        if found is None:
            return None
        path, agent, reached = found
        read(agent)
        if path == self._previous:  # or the next checkpoint would have the damaged one as the one before
            with explained(self._newest):
                os.replace(self._previous, self._newest)
        return reached

    def agent(self) -> Path | None:
        """The agent that `restore` would read, for who does not go on from it: nothing is changed. None, and raises, alike."""
        found = self._whole()
        return None if found is None else found[1]

    def reached(self) -> Reached | None:
        """How far that agent is. None, and raises, alike."""
        found = self._whole()
        return None if found is None else found[2]

    def clear(self) -> None:
        """Remove all of them, and nothing else that is in the folder. Raises Unwritable."""
        with explained(self._folder):
            for path in (self._newest, self._previous, *self._folder.glob("agent-*")):
                path.unlink(missing_ok=True)

    def _whole(self) -> tuple[Path, Path, Reached] | None:
        """The newest checkpoint that can be read: its file, its agent, its counters. A newer one that cannot is told of."""
        damaged: list[str] = []
        for path in (self._newest, self._previous):
            if not path.exists():
                continue
            if not self._is_whole(path):
                damaged.append(path.name)
                continue
            words = json.loads(path.read_text())
            if damaged:
                goes_on = "%s is damaged; goes on from the checkpoint before, %s updates"
                _log.warning(goes_on, self._folder / damaged[0], words["updates"])
            return path, self._folder / words["agent"], Reached(words["updates"], words["version"])
        if damaged:
            cure = "remove the folder to learn anew from the experience in the buffer"
            raise UserGymError(f"no checkpoint in {self._folder} is whole ({', '.join(damaged)}); {cure}")
        return None

    def _next(self) -> int:
        numbers = (file.name.removeprefix("agent-") for file in self._folder.glob("agent-*"))
        return 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)

    def _sweep(self) -> None:
        """Remove agents that no checkpoint names; a full disk needs the room."""
        named = {_named(self._newest), _named(self._previous)}
        for file in self._folder.glob("agent-*"):
            if file.name not in named:
                file.unlink()

    def _is_whole(self, path: Path) -> bool:
        try:
            words = json.loads(path.read_text())
            return _digest(self._folder / words["agent"]) == words["sha256"]
        except (OSError, ValueError, KeyError, TypeError):  # gone or unreadable, no JSON or altered
            return False


def _named(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["agent"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, no JSON or altered
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
