"""What a hub keeps of one edge, across its connections. All of it runs on the loop's thread, except where it says otherwise."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from user_gym.errors import BadBlock, NotAdmitted, PeerLost
from user_gym.system.buffer.appending import TRAINING
from user_gym.system.link.hub.delivery import Delivery
from user_gym.system.link.hub.intake import Intake, Verdict
from user_gym.system.link.hub.status import EdgeStatus
from user_gym.system.link.hub.store import MOST_STEPS, Room
from user_gym.system.link.identity import names
from user_gym.system.link.identity.roster import Member
from user_gym.system.link.identity.spending import Spending
from user_gym.system.link.machine import Machine
from user_gym.system.link.stream.calls import Calls
from user_gym.system.link.stream.connection import Connection, Stream
from user_gym.system.link.stream.greeting import expected, say
from user_gym.system.link.wire import words
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.fragments import NO_TRANSFER
from user_gym.system.link.wire.kinds import PROTOCOL, Kind
from user_gym.system.link.wire.lanes import FROM_EDGE, Lane
from user_gym.system.link.wire.message import Message

if TYPE_CHECKING:
    from user_gym.system.link.hub.hands import Hands

UNDER_WAY = 1 << 26  # bytes of blocks that an edge may have sent and not heard of
_MOST_SOURCES = 64  # robots of an edge
_MOST_ERROR = 1000  # characters
_log = logging.getLogger(__name__)


class Hello(NamedTuple):
    """What an edge says first."""

    host: str
    spool: str  # which of the edge's own; "" where it does not say
    waits: int  # blocks in it
    begun: bool  # its robots have had numbers of episodes, and go on from there
    sources: tuple[str, ...]
    torn: Mapping[bytes, int]
    machine: Machine
    message: Message

    @property
    def forms(self) -> dict[str, str]:
        """By source, what each robot sees and does; "" where the edge does not say it."""
        robots = self.machine.robots
        return {s: robots[name].form if (name := s.partition("/")[2]) in robots else "" for s in self.sources}

    @classmethod
    def read(cls, message: Message, name: str) -> Hello:
        """Of the edge of this name. Raises BadBlock."""
        expected(message, Kind.HELLO, "an edge")
        sources = words.items(message, "sources", _MOST_SOURCES)
        if not all(isinstance(s, str) and s.partition("/")[0] == name and names.is_name(s.partition("/")[2]) for s in sources):
            raise BadBlock("sources of an edge", sources, f"{names.source(name, 'ROBOT')} each")
        return cls(
            words.text(message, "host"), words.text(message, "spool", 32) if "spool" in message.words else "",
            words.number(message, "waits") if "waits" in message.words else 0,
            "begun" in message.words and words.flag(message, "begun"),
            tuple(sources), words.torn(message), Machine.read(message, _MOST_SOURCES), message,
        )  # fmt: skip


class Session:
    """One edge.

    Args:
        name: of the edge.
        intake: takes its blocks.
        room: what it is told of how much may come.
        count: told how many robots more are here, or fewer.
        spending: counts what it brings, and knows from which spool.
        raw: takes messages RAW, with the name of the edge.
        rate: bytes per second of bulk that it is sent; None: no limit.
        most_rate: bytes per second that are read from it; None: no limit.
        patience: s, as of `Connection`.
    """

    def __init__(
        self,
        name: str,
        intake: Intake | None,
        room: Callable[[], Room],
        count: Callable[[int], None],
        spending: Spending,
        raw: Callable[[str, Message], None],
        *,
        rate: float | None,
        most_rate: float | None,
        patience: float,
    ) -> None:
        self.name, self.member = name, Member(name, "edge", "", "", 0.0, 0.0)
        self.delivery, self.calls = Delivery(), Calls()
        self.connection: Connection | None = None
        self.left, self.spool = False, ""
        self.machine, self.robots = Machine(), 0
        self._told = Room(MOST_STEPS, False)
        self.hands: Hands | None = None  # who has which robot
        self._spending = spending
        self._intake, self._room, self._count, self._raw = intake, room, count, raw
        self._options: dict[str, Any] = {"rate": rate, "most_rate": most_rate, "patience": patience}
        self._assembly, self._turn = Assembly(FROM_EDGE), asyncio.Lock()
        self._visits = 0
        self._pending = self._own = 0  # bytes of blocks that are not stored yet; those of them that this connection brought
        self._settled = 0  # bytes of blocks that this connection brought and that were judged
        self._blocks = self._steps = self._repeated = self._refused = 0
        self._since, self._address, self.host, self._complaint = time.time(), "", "", ""
        self._facts: Mapping[str, Any] = {}
        self._judge: Callable[[Sequence[Verdict]], None] = lambda verdicts: None
        self.outcome: Callable[[Session, Message], None] = _no_outcome  # of orders of clients

    async def serve(
        self, stream: Stream, member: Member, address: str, hello: Hello, newest: Mapping[str, tuple[int, int]]
    ) -> None:
        """A connection, to its end. One before it ends first: an edge is in once.

        Raises:
            PeerLost: it is lost.
            BadBlock: the edge breaks the rules.
            NotAdmitted: it brings what this hub does not take.
        """
        self.put_out()
        self._visits = mine = self._visits + 1
        async with self._turn:
            if mine != self._visits:
                raise PeerLost("the edge has dialled again meanwhile")
            torn = words.said_torn(self._assembly.torn)
            rates = [rate for rate in (self._options["most_rate"], member.quota.rate) if rate is not None]
            options = {**self._options, "most_rate": min(rates, default=None)}
            connection = Connection(stream, self._assembly, self._deliver, torn=hello.torn, **options)
            self.connection, self.member, self.spool = connection, member, hello.spool
            self.machine, self.left = hello.machine, False
            self._have(len(hello.sources))
            self._since, self._address, self.host = time.time(), address, hello.host
            self._own = self._settled = 0
            self._judge = partial(self._judged, connection)
            self.delivery.connected(hello.message)
            try:
                await say(
                    stream, Message(Kind.WELCOME, {"protocol": PROTOCOL, "newest": newest, "torn": torn, **self._terms()})
                )
                await connection.run()
            except (BadBlock, NotAdmitted) as error:
                self._complaint = str(error)
                raise
            finally:
                self.connection, self._since = None, time.time()
                self._have(0)
                self.delivery.disconnected()
                self.calls.lost(PeerLost("the edge is not connected"))
                if self.hands is not None:
                    self.hands.gone(self.name)

    def conflict(self, hello: Hello) -> str:
        """Why it may not come in, or "": of equal numbers of episodes from two spools, one would be taken for a repetition."""
        if not hello.sources or not hello.spool:
            return ""
        if self.connection is not None and self.spool not in ("", hello.spool):
            who = f"{self.name!r} is here already, from {self.host}, with another spool"
            return f"{who}; enroll each machine under its own name"
        if (hello.waits or hello.begun) and self._spending.spool(self.name) not in ("", hello.spool):
            return (
                f"{hello.waits} blocks wait in this spool of {self.name!r}, and another spool has gone on with its numbers "
                "meanwhile: some would be lost as repetitions. They stay here; go on with the other, or by another name"
            )
        return ""

    def put_out(self) -> None:
        """End its connection, if it has one."""
        if self.connection is not None:
            self.connection.close()

    def tell(self) -> None:
        """Say how much may come, where robots wait that need not any more, or where nothing more is needed."""
        told, now = self._told, self._room()
        if self.connection is not None and ((told.steps < 0 <= now.steps) or told.enough != now.enough):
            self.send(Message(Kind.STORED, {"stored": [], "refused": [], **self._terms()}))

    def forget(self, before: float) -> None:
        """Give up what is kept of torn transfers where the edge has been away since before then, s since the epoch."""
        if self.connection is None and self._since < before:
            self._assembly.forget()

    def send(self, message: Message, transfer: bytes = NO_TRANSFER) -> None:
        """Where it is connected; else nothing happens, and what matters is said anew once it is."""
        if self.connection is not None:
            self.connection.send(message, transfer)

    def waiting(self, lane: Lane) -> int:
        """Messages of a lane that are not wholly sent."""
        return 0 if self.connection is None else self.connection.waiting(lane)

    async def call(self, asked: Message, timeout: float) -> Message:
        """Ask the edge. Raises PeerLost where it is not connected, or does not answer."""
        if self.connection is None:
            raise PeerLost(f"edge {self.name!r} is not connected")
        return await self.calls.call(self.connection.send, asked, timeout)

    def status(self) -> EdgeStatus:
        """How it is; from any thread."""
        connection = self.connection
        return EdgeStatus(
            self.name, self.member.role, connection is not None, self._since, self._address, self.host,
            connection.round_trip if connection else None, self.delivery.version, self._blocks, self._steps,
            self._repeated, self._refused, connection.received if connection else 0,
            self._complaint or self.delivery.complaint, dict(self._facts), self.left, self.machine,
        )  # fmt: skip

    async def _deliver(self, message: Message) -> None:
        match message.kind:
            case Kind.BLOCK:
                self._block(message)
            case Kind.OUTCOME:
                self.outcome(self, message)
            case Kind.BEAT:
                self._facts = message.words
            case Kind.HELD:
                self.delivery.held_now(message)
            case Kind.REPLY | Kind.STOPPED:
                self.calls.answered(message)
            case Kind.SEEN if self.hands is not None:
                self.hands.seen(self, message)
            case Kind.RAW:
                self._raw(self.name, message)
            case Kind.BYE:
                self.left = True
                self.put_out()
            case _:
                allowed = "BLOCK, RAW, BEAT, HELD, OUTCOME, SEEN, REPLY, STOPPED or BYE; who asks is an operator"
                raise BadBlock("message of an edge", message.kind.name, allowed)

    def _block(self, message: Message) -> None:
        data = message.arrays.get("block")
        if data is None or data.ndim != 1 or data.dtype != "u1":
            raise BadBlock("message BLOCK", sorted(message.arrays), "'block', uint8 (bytes,)")
        if self._pending > UNDER_WAY:
            raise BadBlock("bytes under way", self._pending, f"{UNDER_WAY}, and one block more")
        if self._intake is None:
            raise NotAdmitted("this hub stores nothing; user-gym hub --buffer DIR does, and this edge keeps what it has")
        self._pending, self._own = self._pending + len(data), self._own + len(data)
        refused = self.member.quota.spent(*self._spending.of(self.name))
        self._intake.submit(self.name, TRAINING, data.tobytes(), self._judge, refused)

    def _judged(self, connection: Connection, verdicts: Sequence[Verdict]) -> None:
        for _, refused, answer, verdict_bytes in verdicts:
            self._refused += bool(refused)
            if answer is not None:
                self._blocks, self._repeated = self._blocks + 1, self._repeated + answer.repeated
                self._steps += 0 if answer.repeated else answer.steps
                if not answer.repeated:
                    self._spending.add(self.name, answer.steps, verdict_bytes)
                    if self.spool:
                        self._spending.goes_on(self.name, self.spool)
            if refused:
                _log.error("edge %s: a block is refused: %s", self.name, refused)
        nbytes = sum(verdict.nbytes for verdict in verdicts)
        self._pending -= nbytes
        if connection is self.connection:
            self._own, self._settled = self._own - nbytes, self._settled + nbytes
        if self.connection is None:
            return  # the welcome of the next one says it
        if any(verdict.key is None for verdict in verdicts):
            self._complaint = next(verdict.refused for verdict in verdicts if verdict.key is None)
            return self.put_out()  # what it sends are no blocks at all
        stored = [verdict.key for verdict in verdicts if not verdict.refused]
        refused = [[verdict.key, verdict.refused[:500]] for verdict in verdicts if verdict.refused]
        self.send(Message(Kind.STORED, {"stored": stored, "refused": refused, **self._terms()}))

    def _have(self, robots: int) -> None:
        self._count(robots - self.robots)
        self.robots = robots

    def _terms(self) -> dict[str, Any]:
        """How much may come. What earlier connections brought and is not stored yet counts: nobody gets more by dialling."""
        room = self._told = self._room()
        steps = -1 if room.steps < 0 else min(room.steps * max(1, self.robots), MOST_STEPS)
        most = max(0, UNDER_WAY - (self._pending - self._own))
        return {"room": steps, "enough": room.enough, "under_way": most, "settled": self._settled}


def _no_outcome(session: Session, message: Message) -> None:
    raise BadBlock("message of an edge", message.kind.name, "none of this kind: nobody ordered anything")
