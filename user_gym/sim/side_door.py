"""The server of `robots.side`: a table of operations, one thread per visitor. It knows no robot and no protocol."""

from __future__ import annotations

import logging
import reprlib
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from user_gym.errors import MissingSystem, UserGymError
from user_gym.robots.side import Message, TooLarge, Unreadable, endpoint, receive, send

# Takes the request's arguments and body; what it raises as a UserGymError goes back as the error's text.
Operation = Callable[[dict[str, Any], bytes], Message]
MAX_VISITORS = 64  # at once; each has a thread
_AGAIN = 0.1  # s until the next try where the process has no descriptor left for a visitor
_DISMISSAL = 1.0  # s that a visitor has to read why it is sent away
_LONGEST = 500  # characters of a refusal: it may quote what came
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Loan:
    """An effect that lasts until its visitors have left."""

    undo: Callable[[], object]
    visitors: set[threading.Thread] = field(default_factory=set[threading.Thread])


class SideDoor:
    """Serves operations at an address until closed.

    Whatever a visitor sends, it gets one refusal for it, and the others are served as before.

    Args:
        address: "host:port" (port 0: any free one) or "unix:/path".
        operations: by name; each may be called from several threads at once.
        lent: by name, those of them whose effect ends when the last visitor that asked for it has left, however it left. Called
            before the first one asks; gives what undoes the effect.
    """

    def __init__(
        self,
        address: str,
        operations: Mapping[str, Operation],
        lent: Mapping[str, Callable[[], Callable[[], object]]] | None = None,
    ) -> None:
        self._wanted, self._operations, self._lent = endpoint(address), operations, lent or {}
        self._listener: socket.socket | None = None
        self._closing = threading.Event()
        self._visitors: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._loans: dict[str, _Loan] = {}
        self._lending = threading.Lock()

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
        self._listener, self._closing = listener, threading.Event()
        threading.Thread(target=self._accept, args=(listener, self._closing), name="side door", daemon=True).start()

    def _accept(self, listener: socket.socket, closing: threading.Event) -> None:
        told = False
        while not closing.is_set():
            try:
                link, _ = listener.accept()
            except OSError as error:
                if not (closing.is_set() or told):
                    _log.warning("side door: nobody can come in now: %s", error)
                told = True  # once: no descriptor is left; who waits at the door is let in when there is one
                closing.wait(_AGAIN)
                continue
            told = False
            self._admit(link)

    def _admit(self, link: socket.socket) -> None:
        thread = threading.Thread(target=self._serve, args=(link,), name="side visitor", daemon=True)
        with self._lock:  # close() joins only threads that have been started
            if len(self._visitors) < MAX_VISITORS:
                self._visitors[thread] = link
                thread.start()
                return
        with link, suppress(OSError):
            send(link, _refusal(f"{MAX_VISITORS} visitors are here already; hang up elsewhere first"))

    def _serve(self, link: socket.socket) -> None:
        try:
            if link.family == socket.AF_INET:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                send(link, self._reply(link))
        except TooLarge as error:
            _dismiss(link, str(error))
        except OSError as error:
            _log.debug("side visitor left: %s", error)
        finally:
            link.close()
            self._return_loans(threading.current_thread())
            with self._lock:
                self._visitors.pop(threading.current_thread(), None)

    def _reply(self, link: socket.socket) -> Message:
        try:
            return self._answer(receive(link))
        except Unreadable as error:
            return _refusal(str(error))

    def _answer(self, request: Message) -> Message:
        arguments = dict(request.header)
        name = arguments.pop("op", None)
        operation = self._operations.get(name) if isinstance(name, str) else None
        if operation is None:
            return _refusal(f"unknown operation {reprlib.repr(name)}; known: {', '.join(sorted(self._operations))}")
        try:
            if name in self._lent:
                return self._lend(name, lambda: operation(arguments, request.body))
            return operation(arguments, request.body)
        except UserGymError as error:
            return _refusal(str(error))
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:  # arguments that are none
            return _refusal(f"{name} with {reprlib.repr(arguments)}: {type(error).__name__}: {error}")
        except Exception as error:  # top of a thread; the visitor is told, and may go on
            _log.exception("side door: %s broke", name)
            return _refusal(f"{name} broke: {type(error).__name__}: {error}")

    def _lend(self, name: str, ask: Callable[[], Message]) -> Message:
        with self._lending:
            loan = self._loans.get(name) or _Loan(self._lent[name]())
            reply = ask()
            loan.visitors.add(threading.current_thread())
            self._loans[name] = loan
            return reply

    def _return_loans(self, visitor: threading.Thread) -> None:
        with self._lending:
            for name, loan in list(self._loans.items()):
                loan.visitors.discard(visitor)
                if loan.visitors:
                    continue
                del self._loans[name]
                if self._closing.is_set():
                    continue
                try:
                    loan.undo()
                except UserGymError as error:  # the twin closes
                    _log.info("side door: %s stays as it is: %s", name, error)
                except Exception:  # top of a thread
                    _log.exception("side door: %s could not be undone", name)

    def close(self) -> None:
        """Stop listening and send all visitors away. May be called twice."""
        self._closing.set()
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


def _refusal(words: str) -> Message:
    return Message({"error": words if len(words) <= _LONGEST else f"{words[:_LONGEST]} ..."})


def _dismiss(link: socket.socket, words: str) -> None:
    """Say why, and hang up. What the visitor still sends is read away, or its end would lose the words."""
    with suppress(OSError):
        send(link, _refusal(words))
        link.shutdown(socket.SHUT_WR)
        link.settimeout(_DISMISSAL)
        until = monotonic() + _DISMISSAL
        while monotonic() < until and link.recv(1 << 20):
            pass


def _remove_orphan(path: str) -> None:
    """A twin that was killed leaves its socket behind, and nobody could listen there again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        try:
            link.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
        except FileNotFoundError:
            pass  # nobody was here before
