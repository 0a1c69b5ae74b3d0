"""Stop every arm of this user without the program that drives it. The few lines that a worker and `user-gym stop` share.

Each worker listens on a Unix datagram socket of its own, in a folder that only its user may enter (`sockets`). This is no
emergency stop: it needs a running kernel and a running worker. The button on the wall stays mandatory.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

from user_gym.robots import sockets

STOP, RELEASE = b"stop", b"release"  # hold until the next reset | hold, then let go and end: an arm without brakes sinks
_SUFFIX = ".stop"


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
        self._path = sockets.folder() / self._name
        self._path.unlink(missing_ok=True)  # of a worker with this process id that died
        with sockets.short(self._path.parent) as place:
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


def tell(message: bytes = STOP, name: str = "") -> Told:
    """Send STOP or RELEASE to every worker of this user, or to those whose name contains `name`. Does not wait for the arms.

    One that cannot be told keeps none of the others from being told. Raises MissingSystem.
    """
    reached, gone, failed, ears = [], [], [], sockets.folder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, sockets.short(ears) as place:
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
