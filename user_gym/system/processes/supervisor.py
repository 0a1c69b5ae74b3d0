"""Starts the processes of a run, starts again what ends, and stops all in order. It knows no work.

It may die itself: the processes go on, and the next supervisor finds them by their names.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any, Protocol

from user_gym.errors import NoSpace, PeerLost
from user_gym.system.atomic_file import write_json
from user_gym.system.processes.caller import SocketCaller
from user_gym.system.processes.child import Child
from user_gym.system.processes.exits import DONE, GAVE_UP, REFUSED, STOPPED, TAKEN
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.journal import say
from user_gym.system.processes.plan import COLLECTOR, HUB, LEARNER, OWNER, SUPERVISOR
from user_gym.system.processes.server import Server
from user_gym.system.processes.wire import Message

_TURN = 0.05  # s between two looks
_WRITE = 0.5  # s between two status files
_ABSENT = 3  # failures in a row of a collector, after which a run that has all its steps ends without it
MOST_FAILURES = 8  # in a row, of owner or learner: then starting it again will not help
LOOK = "look"  # the question of a parent
_PATIENCE = 60.0  # s for a process to stop: a robot's slowest reset is shorter


class Supervised(Protocol):
    """One process of a run: a child of this one, or an actor of a cluster."""

    role: str
    name: str
    done: bool  # its work is done
    last: str  # how it ended before
    log: str  # where it says more
    facts: Mapping[str, Any]  # what it said last

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        ...

    @property
    def due(self) -> bool:
        """Whether it is to be started now."""
        ...

    @property
    def hangs(self) -> str:
        """Why it is taken for one that will not go on by itself, such as that it says nothing; empty: it is none.

        To be asked again and again.
        """
        ...

    @property
    def failures(self) -> int:
        """How often in a row it failed by its own fault."""
        ...

    def adopt(self) -> bool:
        """Take it over where it runs already; whether it did."""
        ...

    def start(self) -> None:
        """Start it, unless it runs already."""
        ...

    def ended(self) -> int | None:
        """Its exit code, once after each end; a negative one is a signal, as where nobody can know. None: it runs."""
        ...

    def stop(self) -> None:
        """Let it end in order, if it is there."""
        ...

    def kill(self, why: str) -> None:
        """End it at once, if it is there; `why` is in its status then."""
        ...

    @property
    def status(self) -> dict[str, Any]:
        """For the status file."""
        ...


class Supervisor:
    """Runs until the run is finished, or `stop` is set.

    Args:
        folder: of the run; holds its plan.
        stop: set by a signal.
        children: the processes of the run.
        each: called at each look; what it raises ends the supervisor.
    """

    def __init__(self, folder: RunFolder, stop: Event, children: Sequence[Supervised], each: Callable[[], None]) -> None:
        self._folder, self._stop, self._children, self._each = folder, stop, children, each
        self._state, self._error, self._written = "runs", "", 0.0
        self._turned = time.monotonic()

    @property
    def still(self) -> float:
        """s since it looked last; any thread may ask."""
        return time.monotonic() - self._turned

    def run(self) -> int:
        """An exit code of `exits`."""
        for child in self._children:
            if child.adopt():
                say(f"{child.name} runs already: process {child.status['pid']}")
        code = self._watch()
        self._state = "stops"
        for roles in ((COLLECTOR, HUB), (LEARNER,), (OWNER,)):  # robots first
            self._end([child for child in self._children if child.role in roles])
        self._state = {DONE: "finished", STOPPED: "stopped"}.get(code, "failed")
        self._write(now=True)
        say(self._state)
        return code

    def _watch(self) -> int:
        while not self._stop.wait(_TURN):
            if self._folder.finished_file.exists():
                return DONE
            for child in self._children:
                code = self._look(child)
                if code is not None:
                    return code
            self._write()
            self._each()
        return STOPPED

    def _look(self, child: Supervised) -> int | None:
        """Start it again if it ended; an exit code if that would not help."""
        code = child.ended()
        if code == DONE:
            child.done = True
        elif code == REFUSED:
            self._error = str(child.facts.get("error", f"{child.name} refuses the plan; see its log"))
            return REFUSED
        elif code is not None and code != TAKEN:
            say(f"{child.name}: {child.last}")
            if child.role in (OWNER, LEARNER) and child.failures >= MOST_FAILURES:
                times = f"{child.failures} times in a row"
                self._error = f"{child.name} failed {times}, at last: {child.last}; more is in {child.log}"
                return GAVE_UP
        if why := child.hangs:
            say(f"{child.name} is killed and started again: {why}")
            child.kill(why)
        if child.due:
            child.start()
        return None

    def _end(self, children: Sequence[Supervised]) -> None:
        """Tell them to stop, and wait until they have."""
        for child in children:
            child.adopt()  # one that was started by a supervisor before and had not said its name
            child.stop()
        deadline = time.monotonic() + _PATIENCE
        while any(child.alive for child in children):
            if time.monotonic() > deadline:
                for child in children:
                    say(f"{child.name} does not stop; it is killed")
                    child.kill(f"it did not stop within {_PATIENCE:g} s")
                deadline = time.monotonic() + _PATIENCE
            time.sleep(_TURN)
            self._write()
        for child in children:
            child.done = child.done or child.ended() == DONE

    def _write(self, now: bool = False) -> None:
        self._turned = time.monotonic()
        if not now and self._turned - self._written < _WRITE:
            return
        self._written = self._turned
        words: dict[str, Any] = {"run": str(self._folder.path), "time": time.time()}
        words |= {"state": self._state, "error": self._error}
        words["processes"] = processes = {child.name: child.status for child in self._children}
        if HUB in processes:
            words["processes"] = processes | _elsewhere(processes[HUB])
        with contextlib.suppress(NoSpace):  # the owner says so
            write_json(self._folder.status_file, words, durable=False)


def _elsewhere(hub: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Robots of edges, as their hub says how they are, which its own status then leaves out."""
    robots: dict[str, Any] = hub.pop("edges", {})
    # What a hub said that is gone is old: nobody knows better.
    gone = {"state": "waits for the hub"} if hub["pid"] is None else {}
    return {source: {"pid": None, "starts": 0, "last_end": "", **facts, **gone} for source, facts in robots.items()}


class _Session:
    """One process that reports, or the parent, which asks whether this one hangs."""

    def __init__(self, children: Mapping[str, Child], supervisor: Supervisor) -> None:
        self._children, self._supervisor = children, supervisor

    def answer(self, message: Message) -> dict[str, Any]:
        """As `server.Session`."""
        ask, child = message.words.get("ask"), self._children.get(str(message.words.get("name")))
        if ask == LOOK:
            return {"still": self._supervisor.still}
        facts = message.words.get("facts")
        if ask != "beat" or child is None or not isinstance(facts, dict):
            return {"refused": "only beats of this run's processes are heard here"}
        child.hear(facts)
        return {"stop": child.told}

    def end(self) -> None:
        """As `server.Session`."""


def run(folder: RunFolder, stop: Event) -> int:
    """Supervise a run whose processes are all on this machine; an exit code of `exits`."""
    plan = folder.plan()
    roles = {OWNER: OWNER, LEARNER: LEARNER} | ({HUB: HUB} if plan.hub is not None else {})
    roles |= {collector.name: COLLECTOR for collector in plan.here}
    children = {name: Child(folder, role, name, plan.patience) for name, role in roles.items()}

    def look() -> None:
        if server.failure is not None:
            raise server.failure
        absent.look(int(children[OWNER].facts.get("steps", 0)))

    absent = _Absent(folder, plan.steps, [child for child in children.values() if child.role == COLLECTOR])
    supervisor = Supervisor(folder, stop, list(children.values()), look)
    server = Server(folder.socket(SUPERVISOR), lambda: _Session(children, supervisor), most_data=0).open()
    try:
        return supervisor.run()
    finally:
        server.close()


class _Absent:
    """A run that has all its steps does not wait for collectors that fail before they can say so.

    Args:
        folder: of the run.
        enough: steps that it is to have.
        collectors: of the run.
    """

    def __init__(self, folder: RunFolder, enough: int, collectors: Sequence[Child]) -> None:
        self._enough, self._collectors = enough, collectors
        self._owner = SocketCaller(folder.socket(OWNER), timeout=1.0)
        self._next = 0.0

    def look(self, steps: int) -> None:
        """Tell the owner of those that fail, once a second; `steps` of the run are stored."""
        if steps < self._enough or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 1.0
        with contextlib.suppress(PeerLost):  # the next time
            for child in self._collectors:
                if child.failures >= _ABSENT and not (child.done or child.alive):
                    self._owner.call({"ask": "absent", "name": child.name})
