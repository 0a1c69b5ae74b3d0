"""The one process that writes the buffer: collectors bring blocks, the learner says how far it is, both ask to go on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from threading import Event, Lock
from typing import Any

from user_gym.errors import BadBlock, BadChunk, Busy, Closed, NoSpace, PeerLost, Unwritable
from user_gym.system.atomic_file import write_json
from user_gym.system.buffer import Buffer
from user_gym.system.buffer.block import read_block
from user_gym.system.processes.callables import named
from user_gym.system.processes.edges import Edges, answered
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.journal import say
from user_gym.system.processes.ledger import Ledger
from user_gym.system.processes.link import Report
from user_gym.system.processes.plan import OWNER
from user_gym.system.processes.server import Server
from user_gym.system.processes.wire import Message
from user_gym.system.verdicts import write

_CACHE = 1 << 20  # bytes: who writes samples nothing
_TURN = 0.1  # s between two looks of the main thread
_BUSY = 5.0  # s that a dead owner's lock may take to go
_SLOW = 60.0  # s that a block may take to be stored
_LAST = 5.0  # s in which the learner reads the answer to its last report


class Desk:
    """What all connections share.

    Args:
        ledger: counts.
        buffer: stores.
        stop: set when the process is to end.
    """

    def __init__(self, ledger: Ledger, buffer: Buffer, stop: Event) -> None:
        self.ledger, self.buffer, self.stop = ledger, buffer, stop
        self.full = ""  # why the disk takes nothing; empty when it does
        self.learned = Event()
        self._lock = Lock()
        self._holders: dict[str, Visit] = {}
        self._storing = {name: Lock() for name in ledger.robots}
        self._begun: dict[str, float] = {}  # when the block of each that is being stored was begun with
        self.edges = Edges(ledger, buffer)

    @property
    def slow(self) -> bool:
        """Whether a block takes longer to be stored than any may."""
        begun = min(self._begun.copy().values(), default=math.inf)
        return time.monotonic() - begun > _SLOW

    @property
    def present(self) -> int:
        """Collectors that are connected, those of edges included."""
        with self._lock:
            return len(self._holders) + self.edges.present

    def enter(self, name: str, visit: Visit) -> None:
        """A collector came, perhaps again: whatever a connection before it still holds is refused from here on."""
        with self._storing[name], self._lock:
            self._holders[name] = visit

    def leave(self, name: str, visit: Visit) -> None:
        """A connection is over."""
        with self._lock:
            if self._holders.get(name) is visit:
                del self._holders[name]

    def store(self, name: str, visit: Visit, data: bytes) -> dict[str, Any]:
        """Put a collector's block into the buffer."""
        with self._storing[name]:
            self._require_holder(name, visit)
            self._begun[name] = time.monotonic()
            try:
                block = read_block(data)
                if block.head.source != name or block.head.kind != "policy":
                    raise BadChunk(f"a block of {block.head.source!r}, {block.head.kind}; allowed: of {name!r}, policy")
                answer = self.buffer.append(block)
            except (BadBlock, BadChunk) as error:
                return {"refused": str(error)}
            except NoSpace as error:
                return self._hold(error)
            finally:
                del self._begun[name]
            self._has_room()
            self.ledger.stored(block, answer)
        return self.ledger.room(self.present)

    def judge(self, name: str, visit: Visit, words: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a verdict on an episode of a collector, which sent the end of it before."""
        episode, success = _number(words, "episode"), words.get("success")
        if not isinstance(episode, int) or not isinstance(success, bool):
            raise BadBlock("verdict", dict(words), "an episode's number, and true or false")
        with self._storing[name]:
            self._require_holder(name, visit)
            try:
                kept = write(self.buffer, name, episode, success)
            except (NoSpace, Unwritable) as error:
                return self._hold(error)
        self._has_room()
        return {"kept": kept, **self.ledger.room(self.present)}

    def hub(self, message: Message) -> dict[str, Any]:
        """What the run's hub asks for its edges; with every answer it hears how much may come."""
        self.edges.present = _number(message.words, "robots")
        try:
            said = answered(self.edges, message)
        except NoSpace as error:
            return self._hold(error)
        if "stored" in said:
            self._has_room()
        return {**said, **self.ledger.room(self.present)}

    def end(self, name: str) -> dict[str, Any]:
        """A collector does not come any more."""
        try:
            self.ledger.end(name)
        except NoSpace as error:
            return self._hold(error)
        self._has_room()
        return {}

    def _require_holder(self, name: str, visit: Visit) -> None:
        if self._holders.get(name) is not visit:
            raise PeerLost(f"{name} has come again since; what its earlier process sent late is not taken")

    def _hold(self, error: NoSpace | Unwritable) -> dict[str, Any]:
        if not self.full:
            say(f"robots hold until there is room: {error}")
        self.full = str(error)
        return {"full": self.full}

    def _has_room(self) -> None:
        if self.full:
            say("there is room again")
        self.full = ""


class Visit:
    """One connection: a `server.Session`."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._name, self._is_hub = desk, "", False

    def answer(self, message: Message) -> dict[str, Any]:
        """As `server.Session`."""
        words, ledger = message.words, self._desk.ledger
        ask = words.get("ask")
        if ask == "collector":
            return self._collector(str(words.get("name")), str(words.get("form")))
        if ask == "block" and self._name:
            return self._desk.store(self._name, self, bytes(message.data))
        if ask == "verdict" and self._name:
            return self._desk.judge(self._name, self, words)
        if ask == "go" and self._name:
            self._wait(lambda seconds: ledger.limiter.insert(0, seconds), lambda: ledger.enough, _number(words, "wait"))
            return ledger.room(self._desk.present)
        if ask == "edges":
            self._is_hub = True
            if wait := _number(words, "wait"):
                self._wait(lambda seconds: ledger.limiter.insert(0, seconds), lambda: ledger.enough, wait)
            return self._desk.hub(message)
        if ask == "bye" and self._name:
            return self._desk.end(self._name)
        if ask == "learner":
            if not ledger.fits(str(words.get("form"))):
                return {"refused": f"the agent is for {words.get('form')}; the run is of {ledger.form}"}
            ledger.learner(_number(words, "updates"), _number(words, "version"))
            return {**ledger.permission(), "acted": ledger.version}
        if ask == "absent" and words.get("name") in ledger.robots:
            return self._desk.end(words["name"]) if ledger.enough else {}
        if ask in ("updates", "learned"):
            ledger.learner(_number(words, "updates"), _number(words, "version"))
            if ask == "learned":
                self._desk.learned.set()
            elif wait := _number(words, "wait"):
                self._wait(ledger.limiter.sample, lambda: ledger.closed, wait)
            return ledger.permission()
        raise BadBlock("request", ask, "one of a collector, a learner or a hub, after it has said its name")

    def end(self) -> None:
        """As `server.Session`."""
        if self._name:
            self._desk.leave(self._name, self)
        if self._is_hub:
            self._desk.edges.present = 0  # another connection of it says otherwise within a moment

    def _collector(self, name: str, form: str) -> dict[str, Any]:
        ledger = self._desk.ledger
        if name not in ledger.robots:
            return {"refused": f"{name!r} is none of this run's collectors: {', '.join(ledger.robots)}"}
        if not ledger.fits(form):
            return {"refused": f"{name!r} has {form}; one agent learns from all, and the first said {ledger.form}"}
        self._desk.enter(name, self)
        self._name = name
        robot = ledger.robots[name]
        return {"episode": robot.next_episode, "steps": robot.steps, **ledger.room(self._desk.present)}

    def _wait(self, wait: Callable[[float], None], over: Callable[[], bool], seconds: float) -> None:
        """Until there is permission, in parts, so that the end of the run is not slept through."""
        deadline = time.monotonic() + min(seconds, 1.0)
        while not over() and not self._desk.stop.is_set():
            left = deadline - time.monotonic()
            try:
                wait(max(0.0, min(left, _TURN)))
                return
            except TimeoutError:
                if left <= 0:
                    return
            except Closed:
                return


def _number(words: Mapping[str, Any], name: str) -> Any:
    value = words.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadBlock(f"{name} of a request", value, "a number")
    return value


def run(folder: RunFolder, name: str, report: Report, stop: Event) -> bool:
    """Own the buffer until the learner has learned all, or `stop` is set; whether nothing is left to do."""
    plan = folder.plan()
    with _opened(folder, plan.buffer.capacity, plan.buffer.durability, plan.buffer.lossy) as buffer:
        if plan.agent.prepare:
            report.set(state="prepares")
            named(plan.agent.prepare)(buffer, plan.options)
        ledger = Ledger(plan, folder.owner_file)
        ledger.load(buffer)
        say(f"owns {folder.buffer}: {ledger.steps} steps, {ledger.updates} updates")
        report.begun = True
        desk = Desk(ledger, buffer, stop)
        server = Server(folder.socket(OWNER), lambda: Visit(desk)).open()
        try:
            while not stop.is_set() and not desk.learned.wait(_TURN):
                state = f"disk full: {desk.full}" if desk.full else "stores"
                report.set(state=state, transitions=len(buffer), **ledger.facts)
                if server.failure is not None:
                    raise server.failure
                if not desk.slow:
                    report.moved()
            report.set(state="stops", transitions=len(buffer), **ledger.facts)
            if desk.learned.is_set():
                facts = {key: value for key, value in ledger.facts.items() if key not in ("of", "owed")}
                write_json(folder.finished_file, facts)
                stop.wait(_LAST if not stop.is_set() else 0.0)
        finally:
            server.close()
            ledger.limiter.close()
            ledger.keep()
    return desk.learned.is_set()


def _opened(folder: RunFolder, capacity: int | None, durability: str, lossy: Any) -> Buffer:
    """The buffer; its last owner may have been killed a moment ago."""
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            return Buffer.open(folder.buffer, capacity=capacity, durability=durability, lossy=lossy, cache_bytes=_CACHE)
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(_TURN)
