"""A learner's way to the owner of the buffer: it asks how many updates are allowed, and says how many are done.

The learner does not wait for an answer while updates are left that it was allowed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

from user_gym.errors import PeerLost, WrongRun
from user_gym.system.processes.caller import SocketCaller
from user_gym.system.processes.conversation import GLANCE, Conversation
from user_gym.system.processes.link import LAST, Report
from user_gym.system.ratelimit import LimiterState

_POLL = 0.5  # s that the owner is asked to wait for permission
_AGAIN = 0.1  # s until a lost owner is tried again
_PAUSE = 0.005  # s between two reports: a learner of thousands of updates a second does not report each of them


class Turnstile(Conversation):
    """As `Allowance` of a `Learner`, which owns it; a thread of its own asks and reports.

    Args:
        path: of the owner's socket.
        tolerance: of the run.
        hello: words that introduce this learner.
        report: told what is waited for.
        stop: nothing is waited for any more when it is set.

    Attributes:
        ended: set when no more steps come.
    """

    def __init__(self, path: Path, tolerance: float, hello: Mapping[str, Any], report: Report, stop: Event) -> None:
        super().__init__("turnstile", SocketCaller(path), hello, report, stop)
        self.tolerance = tolerance
        self._updates = self._reported = 0
        self._allowed = self._target = self._inserted = 0.0
        self._version = -1
        self._acted: int | None = None
        self._finished = self._heard = False
        self.ended = Event()

    def open(self, updates: int) -> int | None:
        """Find the owner; the newest version of weights that acted, or None if `stop` was set first. Raises WrongRun.

        Args:
            updates: of the learner's checkpoint.
        """
        self._updates = self._reported = updates
        self._begin(lambda: self._acted is not None)
        return self._acted

    def published(self, version: int) -> None:
        """Weights of this version are out."""
        self._version = version

    @property
    def owed(self) -> int:
        """As `SamplesPerInsert.owed`."""
        with self._changed:
            return int(self._target) - self._updates

    def sample(self, timeout: float | None = None) -> None:
        """As `SamplesPerInsert.sample`."""
        began = time.monotonic()
        deadline = None if timeout is None else began + timeout
        with self._changed:
            try:
                while self._updates >= self._allowed:
                    if self._failure is not None:
                        raise self._failure
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        raise TimeoutError(f"waited {timeout} s: {self._updates} updates done, {self._allowed} allowed")
                    if not self._waiting:
                        self._waiting = True
                        self._changed.notify_all()
                    self._changed.wait(left)
                self._waiting = False
            finally:
                self._waited += time.monotonic() - began

    def done(self) -> None:
        """As `SamplesPerInsert.done`."""
        self._report.moved()
        with self._changed:
            self._updates += 1
            self._changed.notify_all()

    def state(self) -> LimiterState:
        """As `SamplesPerInsert.state`."""
        with self._changed:
            return LimiterState(int(self._inserted), self._updates)

    @property
    def waited(self) -> float:
        """s that the learner waited for permission."""
        return self._waited

    def close(self, finished: bool) -> bool:
        """Report the last; whether the owner has heard it. In `link.LAST` where the owner is gone. May be called twice.

        Args:
            finished: nothing is left to be learned.
        """
        with self._changed:
            self._closing, self._finished = True, finished
            self._changed.notify_all()
        self._finish()
        return self._heard

    def _talk(self) -> None:
        given_up = None
        while True:
            with self._changed:
                while self._caller.connected and not (self._reported != self._updates or self._waiting or self._closing):
                    self._changed.wait(GLANCE)
                leaving, idle = self._closing, self._waiting and self._reported == self._updates
                if leaving and given_up is None:
                    given_up = time.monotonic() + LAST[self._report.alone]
            try:
                if not self._caller.connected:
                    self._introduce()
                elif leaving:
                    self._caller.call(self._words("learned" if self._finished else "updates"))
                    self._heard = True
                    return
                else:
                    self._exchange(_POLL if idle else 0.0)
                    with self._changed:
                        self._changed.wait_for(lambda: self._waiting or self._closing, 0 if idle else _PAUSE)
            except PeerLost:
                # Who is not finished has nothing to say that the next learner does not say again.
                if given_up is not None and (not self._finished or time.monotonic() > given_up):
                    return
                time.sleep(_AGAIN)

    def _words(self, ask: str, wait: float = 0.0) -> dict[str, Any]:
        return {"ask": ask, "updates": self._updates, "version": self._version, "wait": wait}

    def _introduce(self) -> None:
        answer = self._caller.call({**self._hello, **self._words("learner")})
        if "refused" in answer:
            raise WrongRun(answer["refused"])
        self._take(answer)
        with self._changed:
            self._acted = answer["acted"]
            self._changed.notify_all()

    def _exchange(self, wait: float) -> None:
        words = self._words("updates", wait)
        answer = self._caller.call(words)
        self._reported = words["updates"]
        self._take(answer)

    def _take(self, answer: Mapping[str, Any]) -> None:
        with self._changed:
            self._allowed, self._target, self._inserted = answer["allowed"], answer["target"], answer["inserted"]
            self._waiting = self._waiting and self._updates >= self._allowed
            self._changed.notify_all()
        if answer["closed"]:
            self.ended.set()
        self._report.set(env_steps=self._inserted)
