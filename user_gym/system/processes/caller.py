"""The asking end of a connection between two processes of a run: one request, one answer."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Protocol

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.processes import wire


class Caller(Protocol):
    """Connects when it is first asked, and again after a loss. Owned by one thread."""

    @property
    def connected(self) -> bool:
        """False before the first call and after a loss: the other side then knows nothing of what was said before."""
        ...

    def call(self, words: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        """Ask, and return the answer's words. `words["wait"]`: s that the other side may take its time.

        Raises:
            PeerLost: there is no answer.
            BadBlock: what came is none; the connection is over all the same.
        """
        ...

    def close(self) -> None:
        """May be called twice."""
        ...


class SocketCaller:
    """A `Caller` of a process on this machine.

    Args:
        path: of the socket that the other side listens at.
        timeout: s for an answer, beyond what the request itself asks to wait.
    """

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._path, self._timeout = path, timeout
        self._socket: socket.socket | None = None

    @property
    def connected(self) -> bool:
        """As `Caller`."""
        return self._socket is not None

    def call(self, words: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        """As `Caller`."""
        try:
            connection = self._socket or self._connect()
            connection.settimeout(self._timeout + words.get("wait", 0.0))
            wire.send(connection, words, data)
            return wire.receive(connection, 0).words
        except (PeerLost, BadBlock):  # of the latter, what would be read next is the rest
            self.close()
            raise

    def _connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(self._timeout)
            made.connect(str(self._path))
        except OSError as error:
            made.close()
            raise PeerLost(f"nobody listens at {self._path}: {error}") from error
        self._socket = made
        return made

    def close(self) -> None:
        """As `Caller`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
