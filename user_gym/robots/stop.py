"""Stop every arm of this user without the program that drives it. The few lines that a worker and `user-gym stop` share.

Each worker listens on a Unix datagram socket of its own, in a folder that only its user may enter. This is no emergency stop:
it needs a running kernel and a running worker. The button on the wall stays mandatory.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from user_gym.errors import MissingSystem

STOP, RELEASE = b"stop", b"release"  # hold until the next reset | hold, then let go and end: an arm without brakes sinks
VARIABLE = "USER_GYM_STOPS"
_SUFFIX = ".stop"
_ROOM = 40  # bytes of a folder's path that leave room for the longest name


class Told(NamedTuple):
    """What a message met."""

    reached: tuple[str, ...]  # names of the workers that have it now
    gone: tuple[str, ...] = ()  # names whose worker had died; their sockets were removed
    failed: tuple[str, ...] = ()  # names and why: they run, and have NOT heard it


class Listener:
    """One worker's ear.

    Args:
        name: of the device, for people.
    """

    def __init__(self, name: str) -> None:
        words = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:40]
        self._name = f"{words}.{os.getpid()}{_SUFFIX}"
        self._path: Path | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def open(self) -> None:
        """Listen. Raises MissingSystem."""
        self._path = folder() / self._name
        self._path.unlink(missing_ok=True)  # of a worker with this process id that died
        with _short(self._path.parent) as place:
            self._socket.bind(f"{place}/{self._name}")
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """For select: readable when a message waits."""
        return self._socket.fileno()

    def read(self) -> bytes | None:
        """The next message, or None."""
        try:
            return self._socket.recv(64)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Stop listening. May be called twice."""
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


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
        raise MissingSystem(f"no folder {place} for the sockets of `user-gym stop`: {error}; set ${VARIABLE}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise MissingSystem(f"{place} is not a folder of this user alone; remove it, or set ${VARIABLE} everywhere")
    return place


@contextmanager
def _short(place: Path) -> Iterator[str]:
    """A path to a folder that fits into a socket's address, which ends after 107 bytes."""
    if len(os.fsencode(place)) <= _ROOM:
        yield str(place)  # bound under its own name: systemd-tmpfiles leaves such a socket alone, however old it is
        return
    descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def tell(message: bytes = STOP, name: str = "") -> Told:
    """Send STOP or RELEASE to every worker of this user, or to those whose name contains `name`. Does not wait for the arms.

    One that cannot be told keeps none of the others from being told. Raises MissingSystem.
    """
    reached, gone, failed, ears = [], [], [], folder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, _short(ears) as place:
        out.setblocking(False)  # a full queue: the worker is stuck, and the next one must not wait for it
        for path in sorted(ears.glob(f"*{_SUFFIX}")):
            worker = path.name.removesuffix(_SUFFIX)
            if name not in worker:
                continue
            try:
                out.sendto(message, f"{place}/{path.name}")
                reached.append(worker)
            except (ConnectionRefusedError, FileNotFoundError):
                path.unlink(missing_ok=True)
                gone.append(worker)
            except OSError as error:
                failed.append(f"{worker}: {error}")
    return Told(tuple(reached), tuple(gone), tuple(failed))
