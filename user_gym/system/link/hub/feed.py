"""Weights to every edge that has not the newest: encoded once for all that need the same, on a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Event, Thread

from user_gym.errors import BadOption
from user_gym.system.link.hub.session import Session
from user_gym.system.link.stream.loop import Loop
from user_gym.system.weights import Encoder

_GLANCE = 0.02  # s between two looks for newer weights
_log = logging.getLogger(__name__)


class Feed:
    """From `open` to `close`.

    Args:
        encoder: makes the blobs.
        loop: of the sessions.
        sessions: those there are now; called on the feed's thread.

    Attributes:
        failure: what ended the thread, if not `close`.
    """

    def __init__(self, encoder: Encoder, loop: Loop, sessions: Callable[[], Sequence[Session]]) -> None:
        self._encoder, self._loop, self._sessions = encoder, loop, sessions
        self._closing = Event()
        self._thread = Thread(target=self._run, name="hub-feed", daemon=True)
        self.failure: Exception | None = None

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """May be called twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closing.wait(_GLANCE):
                for session in self._sessions():
                    self._serve(session)
        except Exception as error:  # top of this thread: raised by the hub
            self.failure = error

    def _serve(self, session: Session) -> None:
        delivery = session.delivery
        if not delivery.wants:
            return
        try:
            blob = self._encoder.blob(delivery.held, delivery.rate.value)
        except BadOption as error:  # not finite: the version before stays the newest
            _log.error("weights are not sent: %s", error)
            return
        if blob is not None and (made := delivery.begin(blob)) is not None:
            self._loop.soon(session.send, *made)
