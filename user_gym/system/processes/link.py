"""A process of a run and its supervisor: the one says how it is, the other whether to stop. It knows no work.

The supervisor may die: then the process goes on, and finds the next one. With neither supervisor nor parent alive nobody would
start again what fails, and nobody could stop it: then it ends by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Event, Lock, Thread
from typing import Any

from user_gym.errors import PeerLost
from user_gym.system.processes.caller import SocketCaller
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.journal import say
from user_gym.system.processes.plan import PARENT, SUPERVISOR
from user_gym.system.processes.registry import holder

BEAT = 0.25  # s between two messages
PATIENCE = 3.0  # s with neither supervisor nor parent; 2 s are left to stop within 5
_DEAF = 60.0  # s after which a supervisor that is there and does not answer counts for nobody; a parent ends it sooner
LAST = {False: 5.0, True: 1.0}  # s for the last words to an owner that does not answer: who is alone has fewer


class Report:
    """How a process is: words and numbers, the newest of each. Thread-safe.

    Attributes:
        begun: whether it could do what the plan says: what fails from then on may work when it is started again.
        alone: whether it ends because neither supervisor nor parent is left.
    """

    def __init__(self, **facts: Any) -> None:
        self._lock, self._facts = Lock(), dict(facts)
        self._moved: float | None = None  # when, on the monotonic clock; None: what is not done again and again goes on
        self.begun = self.alone = False

    def set(self, **facts: Any) -> None:
        """Replace some."""
        with self._lock:
            self._facts.update(facts)

    def moved(self) -> None:
        """The work goes on: said at each turn of its loop by the thread that works, also where it waits with reason.

        Until this is said for the first time, as while something is built, nobody takes the process for one that is stuck.
        """
        self._moved = time.monotonic()

    @property
    def facts(self) -> Mapping[str, Any]:
        """All of them now, and `still`: s since the work moved."""
        moved = self._moved
        with self._lock:
            return {**self._facts, "still": 0.0 if moved is None else round(time.monotonic() - moved, 2)}


class Link:
    """A thread from `open` to `close`.

    Args:
        folder: of the run.
        name: of this process.
        report: what the supervisor is told.
        stop: set when this process is to end.
    """

    def __init__(self, folder: RunFolder, name: str, report: Report, stop: Event) -> None:
        self._folder, self._name, self._report, self._stop = folder, name, report, stop
        self._caller = SocketCaller(folder.socket(SUPERVISOR), timeout=2.0)
        self._closing = Event()
        self._thread = Thread(target=self._run, name="link", daemon=True)

    def open(self) -> Link:
        """Begin to report."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Say the last, and end. May be called twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _run(self) -> None:
        seen = answered = time.monotonic()  # when somebody was there last, and when the supervisor said so
        while not self._closing.wait(BEAT):
            if self._beat():
                seen = answered = time.monotonic()
                continue
            names, deaf = self._folder.processes, time.monotonic() - answered > _DEAF
            if holder(names, PARENT) is not None or (not deaf and holder(names, SUPERVISOR) is not None):
                seen = time.monotonic()
            elif time.monotonic() - seen > PATIENCE and not self._stop.is_set():
                say(f"{self._name} stops: neither supervisor nor parent for {PATIENCE} s")
                self._report.alone = True  # before the event, whose waiters ask
                self._stop.set()
        self._beat()
        self._caller.close()

    def _beat(self) -> bool:
        """Report once; whether the supervisor answered."""
        try:
            answer = self._caller.call({"ask": "beat", "name": self._name, "facts": self._report.facts})
        except PeerLost:
            return False
        if answer.get("stop") and not self._stop.is_set():
            say(f"{self._name} is told to stop")
            self._stop.set()
        return True
