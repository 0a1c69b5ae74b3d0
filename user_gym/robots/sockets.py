"""Where the Unix sockets of one user's driver processes are: a folder that only this user may enter."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from user_gym.errors import MissingSystem

VARIABLE = "USER_GYM_STOPS"
_ROOM = 40  # bytes of a folder's path that leave room for the longest name


def where() -> Path:
    """$USER_GYM_STOPS, else one place for all of this user's sessions: a worker and the shell of an operator may have different
    $XDG_RUNTIME_DIR and $TMPDIR.
    """
    return Path(os.environ.get(VARIABLE) or f"/tmp/user_gym-{os.getuid()}")


def folder() -> Path:
    """Where the sockets are; made for its user alone. Raises MissingSystem where another user has taken the name."""
    place = where()
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise MissingSystem(f"no folder {place} for the sockets of driver processes: {error}; set ${VARIABLE}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise MissingSystem(f"{place} is not a folder of this user alone; remove it, or set ${VARIABLE} everywhere")
    return place


@contextmanager
def short(place: Path) -> Iterator[str]:
    """A path to a folder that fits into a socket's address, which ends after 107 bytes."""
    if len(os.fsencode(place)) <= _ROOM:
        yield str(place)  # bound under its own name: systemd-tmpfiles leaves such a socket alone, however old it is
        return
    descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
