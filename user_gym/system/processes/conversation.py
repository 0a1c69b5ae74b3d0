"""A process's talk with the owner of the buffer, in a thread of its own, so that who works does not wait for answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from threading import Condition, Event, Thread
from typing import Any

from user_gym.system.processes.caller import Caller
from user_gym.system.processes.link import LAST, Report

GLANCE = 0.1  # s; the longest that `stop` goes unnoticed
_LOOK = 1.0  # s between two times that who waits for the end says so


class Conversation:
    """What an outbox and a turnstile are. One thread uses it; its own asks, in `_talk`.

    Args:
        name: of its thread.
        caller: reaches the owner; this conversation's own.
        hello: words that introduce this process.
        report: told what is waited for.
        stop: when set, nothing is waited for any more.
    """

    def __init__(self, name: str, caller: Caller, hello: Mapping[str, Any], report: Report, stop: Event) -> None:
        self._caller, self._hello, self._report, self._stop = caller, dict(hello), report, stop
        self._changed = Condition()  # of all that both threads know
        self._waiting = self._closing = False
        self._failure: Exception | None = None  # of its own thread
        self._waited = 0.0
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def _begin(self, known: Callable[[], bool]) -> None:
        """Start, and wait until what is to be heard first is known or `stop` is set. Raises what its own thread met."""
        self._thread.start()
        with self._changed:
            while not known() and self._failure is None and not self._stop.is_set():
                self._report.moved()
                self._changed.wait(GLANCE)
            if self._failure is not None:
                raise self._failure

    def _finish(self) -> None:
        """Wait for its thread, which was told to close. May be called twice."""
        # An owner that hangs is waited for only while somebody is left to end this process.
        deadline = time.monotonic() + (LAST[True] + GLANCE if self._report.alone else math.inf)
        while self._thread.is_alive() and (left := deadline - time.monotonic()) > 0:
            self._thread.join(min(left, _LOOK))
            self._report.moved()

    def _talk(self) -> None:
        """Ask, until all is said."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            self._talk()
        except Exception as error:  # top of this thread: raised in the one that uses this object
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self._caller.close()
