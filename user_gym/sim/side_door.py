"""The server of `robots.side`: a table of operations, one thread per visitor. It knows no robot and no protocol."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from user_gym.errors import MissingSystem, UserGymError
from user_gym.robots.side import Message, endpoint, receive, send

# Takes the request's arguments and body; what it raises as a UserGymError goes back as the error's text.
Operation = Callable[[dict[str, Any], bytes], Message]
_log = logging.getLogger(__name__)


class SideDoor:
    """Serves operations at an address until closed.

    Args:
        address: "host:port" (port 0: any free one) or "unix:/path".
        operations: by name; each may be called from several threads at once.
    """

    def __init__(self, address: str, operations: Mapping[str, Operation]) -> None:
        self._wanted, self._operations = endpoint(address), operations
        self._listener: socket.socket | None = None
        self._visitors: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Where it listens, as a client writes it."""
        if self._listener is None:
            raise MissingSystem("the side door is not open")
        name = self._listener.getsockname()
        return f"unix:{name}" if isinstance(name, str) else f"{name[0]}:{name[1]}"

    def open(self) -> None:
        """Listen. Raises OSError where the address is taken."""
        family, place = self._wanted
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_INET:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                _remove_orphan(place)
            listener.bind(place)
            listener.listen()
        except OSError:
            listener.close()
            raise
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="side door", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:  # closed
                return
            thread = threading.Thread(target=self._serve, args=(link,), name="side visitor", daemon=True)
            with self._lock:  # close() joins only threads that have been started
                self._visitors[thread] = link
                thread.start()

    def _serve(self, link: socket.socket) -> None:
        try:
            if link.family == socket.AF_INET:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                request = receive(link)
                send(link, self._answer(request))
        except OSError as error:
            _log.debug("side visitor left: %s", error)
        finally:
            link.close()
            with self._lock:
                self._visitors.pop(threading.current_thread(), None)

    def _answer(self, request: Message) -> Message:
        arguments = dict(request.header)
        name = arguments.pop("op", None)
        operation = self._operations.get(name) if isinstance(name, str) else None
        if operation is None:
            return Message({"error": f"unknown operation {name!r}; known: {', '.join(sorted(self._operations))}"})
        try:
            return operation(arguments, request.body)
        except UserGymError as error:
            return Message({"error": str(error)})
        except (KeyError, TypeError, ValueError) as error:  # arguments that are none
            return Message({"error": f"{name} with {arguments}: {type(error).__name__}: {error}"})

    def close(self) -> None:
        """Stop listening and send all visitors away. May be called twice."""
        if self._listener is None:
            return
        # A blocked accept does not notice close(); shutdown wakes it.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            _log.debug("shutdown of the side door: %s", error)
        if self._listener.family == socket.AF_UNIX:
            Path(self._listener.getsockname()).unlink(missing_ok=True)
        self._listener.close()
        self._listener = None
        with self._lock:
            visitors = list(self._visitors.items())
        for thread, link in visitors:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("a side visitor was already gone: %s", error)
            thread.join(1.0)


def _remove_orphan(path: str) -> None:
    """A twin that was killed leaves its socket behind, and nobody could listen there again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        try:
            link.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
        except FileNotFoundError:
            pass  # nobody was here before
