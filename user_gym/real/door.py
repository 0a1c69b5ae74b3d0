"""Where the next owner of an arm knocks that its driver process holds: the driver process's side of `robots.adoption`."""

from __future__ import annotations

import json
import logging
import os
import socket
from pathlib import Path
from typing import Any

from user_gym.robots import adoption, sockets

_PATIENCE = 1.0  # s for who has knocked to speak: they do at once
_QUEUE = 8  # visitors that wait
_log = logging.getLogger(__name__)


class Door:
    """Where the next owner knocks. Its socket is there for as long as it is open.

    Args:
        address: of the physical device; this process holds its lease.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._path: Path | None = None
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Listen; a second call does nothing. Raises MissingSystem."""
        if self._socket is not None:
            return
        self._path = adoption.path(self._address)
        self._path.unlink(missing_ok=True)  # of a driver process that died: the lease has one holder
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with sockets.short(self._path.parent) as place:
            door.bind(f"{place}/{self._path.name}")
        self._path.chmod(0o600)  # before anybody can connect
        door.listen(_QUEUE)
        door.setblocking(False)
        self._socket = door

    def fileno(self) -> int:
        """For select: readable when somebody knocks."""
        return -1 if self._socket is None else self._socket.fileno()

    def meet(self, lease: int, owner: int | None) -> Claimant | None:
        """Let in who knocks, or refuse them; None: nobody was let in.

        Args:
            lease: descriptor of the lease's lock; who is let in gets a copy.
            owner: process id of who was let in before; None: nobody was.
        """
        if self._socket is None:
            return None
        try:
            visitor, _ = self._socket.accept()
        except BlockingIOError:
            return None
        try:
            visitor.settimeout(_PATIENCE)
            peer = adoption.credentials(visitor)
            if (why := _refusal(adoption.read(visitor), peer, owner)) is not None:
                _log.warning("pid %d asked for %s, and was refused: %s", peer.pid, self._address, why)
                visitor.send(json.dumps({"refused": why}).encode())
                visitor.close()
                return None
            socket.send_fds(visitor, [b"{}"], [lease])
        except (OSError, ValueError) as error:
            _log.warning("somebody who asked for %s broke off: %s", self._address, error)
            visitor.close()
            return None
        return Claimant(visitor, peer.pid)

    def close(self) -> None:
        """Let nobody in any more. May be called twice."""
        door, self._socket = self._socket, None
        if door is not None and self._path is not None:
            self._path.unlink(missing_ok=True)
            door.close()


class Claimant:
    """The next owner, as the driver process sees it. It ends when that process has let go of the lease, or died.

    Args:
        connection: to it.
        pid: its process id.
    """

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self._connection, self.pid = connection, pid

    def fileno(self) -> int:
        """For select: readable when it asks to drive, or has let go."""
        return self._connection.fileno()

    def pipe(self) -> socket.socket | None:
        """Answer what was read: our end of a new pipe where it asks to drive, None where it has let go or talks nonsense."""
        ours, theirs = socket.socketpair()
        try:
            if adoption.read(self._connection).get("drive") is True:
                socket.send_fds(self._connection, [b"{}"], [theirs.fileno()])
                return ours
        except (OSError, ValueError) as error:
            _log.info("the next owner, pid %d, is gone: %s", self.pid, error)
        finally:
            theirs.close()
        ours.close()
        return None

    def close(self) -> None:
        """Hang up. May be called twice."""
        self._connection.close()


def _refusal(asked: dict[str, Any], peer: adoption.Peer, owner: int | None) -> str | None:
    if peer.uid != os.getuid() or not peer.pid:
        return f"it is held for uid {os.getuid()}, and not for uid {peer.uid}, pid {peer.pid}"
    if owner is not None:
        return f"pid {owner} has taken it over"
    if asked.get("version") != adoption.version():
        return f"it runs user-gym {adoption.version()}, not {asked.get('version')}; user-gym stop --release lets go of the arm"
    return None
