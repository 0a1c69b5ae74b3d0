"""What other threads have done by the twin's thread, between two ticks. It knows no arm."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from user_gym.errors import RobotFault, UserGymError


class Jobs:
    """Handed over by any thread, done by one.

    Attributes:
        woken: readable while there is something to do; for `select`.
        closing: whether no more are taken.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake, self.woken = socket.socketpair()
        self.woken.setblocking(False)
        self.closing = False

    def post(self, job: Callable[[], Any]) -> Future[Any]:
        """Have something done. Raises RobotFault once closing."""
        if self.closing:
            raise RobotFault("the twin closes")
        future: Future[Any] = Future()
        self._waiting.append((job, future))
        self.wake()
        return future

    def wake(self) -> None:
        """Let the thread look."""
        self._wake.send(b"w")

    def do(self) -> None:
        """All that wait."""
        while self._waiting:
            job, future = self._waiting.popleft()
            try:
                future.set_result(job())
            except (UserGymError, KeyError, TypeError, ValueError) as error:  # the visitor's mistakes, told to the visitor
                future.set_exception(error)

    def refuse(self) -> None:
        """Those that wait will not be done."""
        for _, future in self._waiting:
            future.set_exception(RobotFault("the twin closes"))

    def close(self) -> None:
        """Let go of the sockets."""
        self._wake.close()
        self.woken.close()
