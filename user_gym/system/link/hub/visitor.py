"""A client's connection to a hub: its orders come in, and what came of them goes back. On the loop's thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from user_gym.errors import BadBlock, BadOption, NotAdmitted
from user_gym.system.link.hub.switchboard import Switchboard
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.identity.guard import Guard
from user_gym.system.link.identity.roster import CLIENT, Member
from user_gym.system.link.stream.connection import Connection, Stream
from user_gym.system.link.stream.greeting import expected, say
from user_gym.system.link.wire import words
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import PROTOCOL, Kind
from user_gym.system.link.wire.lanes import FROM_CLIENT
from user_gym.system.link.wire.message import Message

_ORDER = Kind.ORDER  # to name a member of an Enum is a function of Python
_MOST = 4096  # at a time


class Visitor:
    """One client, as long as its connection lasts.

    Args:
        member: who it is.
        hello: what it said first.
        switchboard: takes its orders.

    Attributes:
        member: who it is.
        name: "NAME#INSTANCE": several processes may have one bundle.

    Raises:
        BadBlock: it is no greeting of a client.
    """

    def __init__(self, member: Member, hello: Message, switchboard: Switchboard) -> None:
        expected(hello, Kind.HELLO, "a client")
        self.member, self.name = member, f"{member.name}#{words.text(hello, 'client', 32)}"
        self._switchboard = switchboard
        self._connection: Connection | None = None

    async def serve(self, stream: Stream, options: Mapping[str, Any]) -> None:
        """To its end. Raises PeerLost, BadBlock."""
        self._connection = Connection(stream, Assembly(FROM_CLIENT), self._deliver, **options)
        self._switchboard.joined(self)
        try:
            await say(stream, Message(Kind.WELCOME, {"protocol": PROTOCOL}))
            await self._connection.run()
        finally:
            self._switchboard.left(self)

    def put_out(self) -> None:
        """End it."""
        if self._connection is not None:
            self._connection.close()

    def reply(self, message: Message) -> None:
        """As `Client.reply`."""
        if self._connection is not None:
            try:
                self._connection.send(message)
            except BadOption as error:  # what an edge sent, and parsed, can be packed again
                raise BadBlock("answer of an edge", str(error), "one that can be passed on") from error

    async def _deliver(self, message: Message) -> None:
        if message.kind is _ORDER:
            return self._switchboard.order(self, message)
        if message.kind is not Kind.BYE:
            raise BadBlock("message of a client", message.kind.name, "ORDER or BYE")
        self.put_out()


class Reception:
    """Where clients come in.

    Args:
        switchboard: takes their orders.
        guard: knows who may stay; None: everybody.
        audit: notes who came.
        options: of each `Connection`.
    """

    def __init__(self, switchboard: Switchboard, guard: Guard | None, audit: Audit, options: Mapping[str, Any]) -> None:
        self._switchboard, self._guard, self._audit, self._options = switchboard, guard, audit, options
        self._visitors: set[Visitor] = set()

    async def serve(self, stream: Stream, member: Member | None, address: str, hello: Message) -> None:
        """One client, to its end. Raises NotAdmitted, PeerLost, BadBlock."""
        name = words.text(hello, "name")
        if member is not None and member.role != CLIENT:
            self._audit.note("turned away", name, why="no client")
            raise NotAdmitted(f"{name!r} is no client; enroll one with --client")
        if len(self._visitors) >= _MOST:
            raise NotAdmitted(f"this hub has {_MOST} clients already")
        visitor = Visitor(member or Member(name, CLIENT, "", "", 0.0, 0.0), hello, self._switchboard)
        self._visitors.add(visitor)
        self._audit.note("let in", visitor.name, address=address, role=CLIENT)
        try:
            await visitor.serve(stream, self._options)
        finally:
            self._visitors.discard(visitor)

    def look(self) -> None:
        """Put out who was revoked or has expired, and free what nobody came back for; to be called now and then."""
        for visitor in self._visitors:
            if self._guard is not None and not self._guard.counts(visitor.member):
                self._audit.note("put out", visitor.name)
                visitor.put_out()
        self._switchboard.look()
