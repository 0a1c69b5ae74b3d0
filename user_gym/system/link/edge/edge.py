"""A robot's machine in the fleet: dials the hub, again and again if need be, and hands over what its robots collect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum
from threading import Condition
from typing import Any

from user_gym.core import Inventory
from user_gym.core.device import RawSource
from user_gym.errors import BadBlock, BadOption, Closed, PeerLost
from user_gym.system.link.dialling import dialled
from user_gym.system.link.edge.hand import RemoteHand
from user_gym.system.link.edge.hands import Hands
from user_gym.system.link.edge.outlet import Outlet
from user_gym.system.link.edge.spool import Spool
from user_gym.system.link.edge.visit import Home, Visit
from user_gym.system.link.identity import names
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.machine import NOTHING, EdgeRobot, Machine
from user_gym.system.link.raw import Archive, Recorder
from user_gym.system.link.raw.rows import Labels
from user_gym.system.link.remote.host import Host
from user_gym.system.link.stream.connection import PATIENCE
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.stream.transport import is_loopback
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import FROM_HUB
from user_gym.system.link.wire.message import Message
from user_gym.system.weights import Receiver

_WAIT = 0.1, 1.0  # s until the hub is dialled again: after the first loss, doubled up to
_STAYED = 2.0  # s that a visit lasts which was none in vain; a hub that drops whom it has let in is dialled less and less often
_GLANCE = 0.05  # s
_LEAVE = 5.0  # s
_log = logging.getLogger(__name__)


class State(Enum):
    """Of an edge."""

    CLOSED = "closed"
    DIALLING = "dialling"
    CONNECTED = "connected"
    FAILED = "failed"  # such as where the hub does not let it in: a person has to act


class Edge:
    """From `open` to `close`. Thread-safe.

    Args:
        address: HOST:PORT of the hub; None: as the bundle says.
        spool: keeps what is not acknowledged; the caller's, who closes it afterwards.
        bundle: who this edge is; None: only on loopback, or with `insecure`.
        name: of this edge, where there is no bundle that says it.
        robots: names of its robots, or what they are by name; what each collects has the source "EDGE/ROBOT".
        inventory: devices of this machine, for whoever looks after the fleet.
        receiver: takes weights; None: this edge wants none.
        lossy: observation or extra column -> quality of JPEG, for what travels.
        zstd: press what travels with Zstandard too: smaller than LZ4, and slower to read.
        archive: of raw episodes, lent to the hub by number; the caller's, who closes it afterwards. None: there is none.
        stop: makes all robots hold, from any thread; told who said so.
        facts: what the hub is told of this edge every second, as JSON can say it.
        answer: of a question of the hub, words and arrays, from any thread; where it raises, the edge gives up.
        hands: at robots that operators may take over.
        host: of environments that clients of the hub may step; the caller's, open before this edge and closed after it.
        rate: bytes per second of experience and raw episodes; None: as many as the link takes.
        raw_rate: bytes per second of raw episodes, within `rate`; None: what is left.
        insecure: go without a bundle off loopback, too.
        patience: s without a sign of life until the hub counts as lost.

    Attributes:
        state: now.
        lost: why it is not connected; "" where it is.
        failure: why it has given up; None: it has not.

    Raises:
        BadOption: an option that is not allowed.
    """

    def __init__(
        self,
        address: str | None,
        spool: Spool,
        *,
        bundle: Bundle | None = None,
        name: str | None = None,
        robots: Sequence[str] | Mapping[str, EdgeRobot] = ("robot",),
        inventory: Inventory = NOTHING,
        receiver: Receiver | None = None,
        lossy: Mapping[str, int] | None = None,
        zstd: bool = False,
        archive: Archive | None = None,
        stop: Callable[[str], None] = lambda by: None,
        facts: Callable[[], Mapping[str, Any]] = dict,
        answer: Callable[[Message], Message] = lambda asked: Message(Kind.REPLY, {"error": "this edge answers no questions"}),
        hands: Sequence[RemoteHand] = (),
        host: Host | None = None,
        rate: float | None = None,
        raw_rate: float | None = None,
        insecure: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        self._address = address or (bundle.hub if bundle is not None else "")
        if not self._address:
            raise BadOption("address of the hub", address, "HOST:PORT, or a bundle that says it")
        if bundle is None and not insecure and not is_loopback(self._address):
            raise BadOption(
                "bundle of an edge", None, f"one that `user-gym hub enroll` made: {self._address} is not loopback",
                "insecure=True sends everything in plain text to whoever answers there",
            )  # fmt: skip
        self.name = names.checked("name of an edge", bundle.name if bundle is not None else name)
        sources = [names.source(self.name, names.checked("name of a robot", robot)) for robot in robots]
        self._bundle = bundle
        self.outlet = Outlet(self.name, spool, lossy, zstd, self._spooled)
        self._spool, self._stop, self._facts, self._host = spool, stop, facts, host
        self._archive, self._zstd, self._recorders = archive, zstd, dict[str, Recorder]()
        self._stopper = ThreadPoolExecutor(1, "edge-stop")
        machine = Machine(dict(robots) if isinstance(robots, Mapping) else {}, inventory)
        self._home = Home(
            self.name, sources, machine, spool, self.outlet, receiver, Assembly(FROM_HUB), self._hold, self._stopper,
            self.told, answer, host, Hands(hands), archive,
        )  # fmt: skip
        self._options: dict[str, Any] = {"rate": rate, "raw_rate": raw_rate, "patience": patience}
        self._jitter = random.Random()
        self._changed = Condition()
        self._loop: Loop | None = None
        self._task: Any = None
        self._visit: Visit | None = None
        self._welcomes = 0
        self.state, self.lost = State.CLOSED, ""
        self.failure: Exception | None = None

    def open(self) -> Edge:
        """Begin to dial. It does not wait for the hub: see `wait`. Raises Closed where it was opened before."""
        if self._task is not None:
            raise Closed("an edge is opened once; make a new one")
        self._loop = Loop.borrow()
        self.state = State.DIALLING
        self.outlet.open()
        self._task = self._loop.spawn(self._run())
        return self

    def __enter__(self) -> Edge:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def wait(self, timeout: float) -> None:
        """Until the hub has let this edge in for the first time.

        Raises:
            NotAdmitted: it does not; or what else made this edge give up.
            PeerLost: it was not reached in time.
            Closed: after close.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._welcomes:
                if self.failure is not None:
                    raise self.failure
                if self._loop is None:
                    raise Closed("the edge is closed")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise PeerLost(f"hub {self._address} was not reached in {timeout} s: {self.lost or 'no answer'}")
                self._changed.wait(min(left, _GLANCE))

    def next_episode(self, robot: str) -> int:
        """The first number that no episode of a robot has; right once the hub was reached, or the spool knows the robot."""
        return self._spool.next_episode(names.source(self.name, robot)) or 0

    def record(self, robot: str, sources: Sequence[RawSource], labels: Labels) -> Recorder | None:
        """What records a robot's raw streams; not open. None: this edge has no archive, or the robot no streams.

        Args:
            robot: one of the edge's.
            sources: its streams; see `RawSource`.
            labels: of the robot; the source is ours.

        Raises:
            BadOption: names of streams that are not allowed.
        """
        if self._archive is None or not sources:
            return None
        labels = replace(labels, source=names.source(self.name, robot))
        recorder = self._recorders[robot] = Recorder(self._archive, labels, sources, zstd=self._zstd)
        return recorder

    def told(self) -> Mapping[str, Any]:
        """What the hub is told of this edge every second: `facts`, and what is known here of bytes."""
        outlet = self.outlet
        kept = {
            "spooled_bytes": self._spool.nbytes, "unacknowledged": outlet.under_way, "disk": outlet.full,
            "bytes": outlet.costs.facts(), "raw": {robot: one.facts() for robot, one in self._recorders.items()},
        }  # fmt: skip
        return {**self._facts(), **kept}

    def flush(self, timeout: float) -> bool:
        """Wait until the hub has acknowledged all that was put; whether it has."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self.outlet.under_way and time.monotonic() < deadline:
                self._changed.wait(_GLANCE)
        return not self.outlet.under_way

    def close(self) -> None:
        """Leave. What is not acknowledged is in the spool, for the next time. May be called twice."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        self.outlet.close()
        visit = self._visit
        if visit is not None:
            with contextlib.suppress(TimeoutError):
                loop.start(visit.leave()).result(_LEAVE)
        loop.end(self._task)
        self._stopper.shutdown()
        self.state = State.CLOSED
        loop.give_back()

    def _spooled(self) -> None:
        loop, visit = self._loop, self._visit
        if loop is not None and visit is not None:
            loop.soon(visit.wake)

    def _hold(self, by: str) -> None:
        with contextlib.ExitStack() as told:  # each, whatever another one raises
            told.callback(self._stop, by)
            if self._host is not None:
                told.callback(self._host.stop, by)

    async def _run(self) -> None:
        wait = _WAIT[0]
        while True:
            before, began = self._welcomes, time.monotonic()
            try:
                await self._once()
                self.lost = "the hub has left"
            except (PeerLost, BadBlock) as error:
                if self._loop is not None and str(error) != self.lost:  # and not where it leaves on purpose
                    _log.warning("hub %s: %s", self._address, error)
                self.lost = str(error)
            except Exception as error:  # top of this task: raised by `wait`, and in the collectors
                with self._changed:
                    self.failure, self.state = error, State.FAILED
                    self._changed.notify_all()
                self.outlet.fail(error)
                _log.error("edge %s gives up: %s", self.name, error)
                return
            self.state = State.DIALLING
            stayed = self._welcomes > before and time.monotonic() - began > _STAYED
            wait = _WAIT[0] if stayed else min(2 * wait, _WAIT[1])
            # Many edges of a hub that was restarted do not come all at once.
            await asyncio.sleep(wait * self._jitter.uniform(0.5, 1.0))

    async def _once(self) -> None:
        async with dialled(self._address, self._bundle) as stream:
            self._visit = Visit(self._home, stream, self._options, self._welcomes > 0)
            try:
                await self._visit.run(self._welcomed)
            finally:
                self._visit = None

    def _welcomed(self) -> None:
        _log.info("hub %s has let %s in", self._address, self.name)
        with self._changed:
            self._welcomes += 1
            self.state, self.lost = State.CONNECTED, ""
            self._changed.notify_all()
