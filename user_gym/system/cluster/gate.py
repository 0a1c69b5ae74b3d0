"""Where collectors on other machines come in, in the owner's process: what they ask is handed on to the owner's socket.

So the owner answers one kind of connection, and a collector's ends here when the collector is gone or has come again.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Any

from user_gym.errors import PeerLost
from user_gym.system.processes.caller import SocketCaller
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.plan import OWNER
from user_gym.system.weights import Encoder, Held, SharedSubscriber

LOST = "lost"  # the word of an answer that says why there is none


class _Visit:
    """A collector's connection to the owner."""

    def __init__(self, session: str, caller: SocketCaller) -> None:
        self.session, self.caller, self.lock = session, caller, Lock()

    def close(self) -> None:
        with self.lock:
            self.caller.close()


class Gate:
    """Used by many threads.

    Args:
        folder: of the run, on this machine.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._socket = folder.socket(OWNER)
        self._visits: dict[str, _Visit] = {}
        self._lock = Lock()
        self._weights = SharedSubscriber(folder.digest)
        self._encoder = Encoder(self._weights)

    def ask(self, name: str, session: str, first: bool, words: dict[str, Any], data: bytes) -> dict[str, Any]:
        """What the owner answers; or LOST, after which the collector has to introduce itself anew.

        Args:
            name: of the collector.
            session: of its connection.
            first: the connection begins, and any that this collector had before ends.
            words: for the owner.
            data: for the owner.
        """
        visit = self._begin(name, session) if first else self._visits.get(name)
        if visit is None or visit.session != session:
            return {LOST: f"{name} is not connected, or has come again since"}
        try:
            with visit.lock:
                return visit.caller.call(words, data)
        except PeerLost as error:
            self.leave(name, visit)
            return {LOST: str(error)}

    def weights(self, held: Held | None, rate: float | None) -> tuple[bytes | None, float]:
        """What a collector needs to have the newest weights, as `Encoder.blob`, and the s that it took to make."""
        began = time.perf_counter()
        return self._encoder.blob(held, rate), time.perf_counter() - began

    def leave(self, name: str, visit: _Visit | None = None) -> None:
        """A collector is gone: end its connection.

        Args:
            name: of the collector.
            visit: this one alone; None: whichever it has.
        """
        with self._lock:
            there = self._visits.get(name)
            if there is None or (visit is not None and there is not visit):
                return
            del self._visits[name]
        there.close()

    def absent(self, name: str) -> None:
        """A collector does not come any more, as where its robot is never free: the run need not wait for it at its end."""
        caller = SocketCaller(self._socket)
        try:
            caller.call({"ask": "absent", "name": name})
        except PeerLost:
            return  # the driver says it again
        finally:
            caller.close()

    def _begin(self, name: str, session: str) -> _Visit:
        with self._lock:
            before, visit = self._visits.get(name), _Visit(session, SocketCaller(self._socket))
            self._visits[name] = visit
        if before is not None:
            before.close()
        return visit

    def close(self) -> None:
        """End all connections."""
        for name in list(self._visits):
            self.leave(name)
        self._weights.close()
