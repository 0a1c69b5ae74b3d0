"""The answering end: a Unix socket, a thread for each connection. It knows no request by name."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Protocol

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.atomic_file import explained
from user_gym.system.processes import wire
from user_gym.system.processes.journal import say

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class Session(Protocol):
    """One connection."""

    def answer(self, message: wire.Message) -> dict[str, Any]:
        """Of one request, in the connection's thread."""
        ...

    def end(self) -> None:
        """The connection is over, by whichever side."""
        ...


class Server:
    """Listens from `open` to `close`.

    Args:
        path: of the socket; what a dead server left there is replaced, so its name has to be held (`registry.Name`).
        session: makes what answers one connection.
        most_data: bytes that a message may carry.

    Attributes:
        failure: why answering a request, or letting somebody in, failed; None while neither has.
    """

    def __init__(self, path: Path, session: Callable[[], Session], most_data: int = wire.MOST_DATA) -> None:
        self._path, self._session, self._most_data = path, session, most_data
        self._lock = Lock()
        self._connections: dict[socket.socket, Thread] = {}
        self._listener: socket.socket | None = None
        self.failure: Exception | None = None
        self._accepting = Thread(target=self._accept, name=f"{path.stem}-accept", daemon=True)

    def open(self) -> Server:
        """Listen. Raises NoSpace, Unwritable."""
        with explained(self._path):
            self._path.unlink(missing_ok=True)
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(self._path))
            self._path.chmod(0o600)
        self._listener.listen(64)
        self._accepting.start()
        return self

    def close(self) -> None:
        """End all connections. May be called twice."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        listener.close()
        self._accepting.join()
        with self._lock:
            connections = dict(self._connections)
        for connection, thread in connections.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(10.0)

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._listener is not None:  # not closed: such as no descriptor was left, and nobody else gets in
                    self.failure = error
                return
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            if _CREDENTIALS.unpack(peer)[1] != os.getuid():
                connection.close()
                continue
            thread = Thread(target=self._serve, args=(connection,), name=f"{self._path.stem}-connection", daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        session = self._session()
        try:
            while True:
                wire.send(connection, session.answer(wire.receive(connection, self._most_data)))
        except PeerLost:
            pass  # the usual end
        except BadBlock as error:
            say(f"a connection to {self._path.name} was closed: {error}")
        except Exception as error:  # top of this thread: raised by the one that owns the server
            self.failure = error
        finally:
            session.end()
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()
