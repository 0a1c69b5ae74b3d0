"""An operator's connection to a hub: questions come in, and orders for robots that it has in its hand. On the loop's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from user_gym.errors import BadBlock, BadOption, NotAdmitted
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.identity.guard import Guard
from user_gym.system.link.identity.roster import OPERATOR, Member
from user_gym.system.link.stream.connection import Connection, Stream
from user_gym.system.link.stream.greeting import expected, say
from user_gym.system.link.wire import words
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import PROTOCOL, Kind
from user_gym.system.link.wire.lanes import FROM_OPERATOR
from user_gym.system.link.wire.message import Message

if TYPE_CHECKING:
    from user_gym.system.link.hub.desk import Desk

_MOST = 256  # at a time
_MOST_ASKED = 16  # questions at a time
_MOST_ERROR = 1000  # characters


class Caller:
    """One connection; an operator may have several, and none puts another one out.

    Args:
        member: who it is.
        name: "NAME#N", of this connection.
        desk: answers its questions, and has its hands.

    Attributes:
        member: who it is.
        name: of this connection.
    """

    def __init__(self, member: Member, name: str, desk: Desk) -> None:
        self.member, self.name = member, name
        self._desk = desk
        self._connection: Connection | None = None
        self._asked: set[asyncio.Task[None]] = set()

    async def serve(self, stream: Stream, options: Mapping[str, Any]) -> None:
        """To its end. What was asked is done all the same, and nobody hears of it. Raises PeerLost, BadBlock."""
        self._connection = Connection(stream, Assembly(FROM_OPERATOR), self._deliver, **options)
        try:
            await say(stream, Message(Kind.WELCOME, {"protocol": PROTOCOL}))
            await self._connection.run()
        finally:
            self._connection = None
            self._desk.hands.gone(self.name)

    def put_out(self) -> None:
        """End it."""
        if self._connection is not None:
            self._connection.close()

    def send(self, message: Message) -> None:
        """Where it is still there."""
        if self._connection is not None:
            self._connection.send(message)

    async def _deliver(self, message: Message) -> None:
        match message.kind:
            case Kind.HAND:
                self._desk.hands.order(self, message)
            case Kind.REQUEST:
                if len(self._asked) >= _MOST_ASKED:
                    raise BadBlock("questions of an operator at a time", len(self._asked) + 1, f"{_MOST_ASKED}")
                task = asyncio.ensure_future(self._answered(message))
                self._asked.add(task)
                task.add_done_callback(self._asked.discard)
            case Kind.BYE:
                self.put_out()
            case _:
                raise BadBlock("message of an operator", message.kind.name, "REQUEST, HAND or BYE")

    async def _answered(self, asked: Message) -> None:
        try:
            answer = await self._desk.answer(self, asked)
            self.send(replace(answer, number=asked.number))
        except BadBlock:
            self.put_out()
        except BadOption as error:  # the answer holds what an edge said, and is too long
            self.send(Message(Kind.REPLY, {"error": str(error)[:_MOST_ERROR]}, number=asked.number))


class Callers:
    """Where operators come in.

    Args:
        guard: knows who may stay; None: everybody.
        audit: notes who came.
        options: of each `Connection`.

    Attributes:
        here: by name.
    """

    def __init__(self, guard: Guard | None, audit: Audit, options: Mapping[str, Any]) -> None:
        self._guard, self._audit, self._options = guard, audit, options
        self.here: dict[str, Caller] = {}
        self._numbers = count(1)

    async def serve(self, stream: Stream, member: Member | None, address: str, hello: Message, desk: Desk) -> None:
        """One operator, to its end. Raises NotAdmitted, PeerLost, BadBlock."""
        who = words.text(hello, "name")
        expected(hello, Kind.HELLO, "an operator")
        if member is not None and member.role != OPERATOR:
            self._audit.note("turned away", who, why="no operator")
            raise NotAdmitted(f"{who!r} is no operator; enroll one with --operator")
        if len(self.here) >= _MOST:
            raise NotAdmitted(f"this hub has {_MOST} operators' connections already")
        # Where nobody has to prove who he is, everybody may do everything.
        name = f"{who}#{next(self._numbers)}"
        caller = self.here[name] = Caller(member or Member(who, OPERATOR, "", "", 0.0, 0.0), name, desk)
        self._audit.note("let in", who, address=address, host=words.text(hello, "host"), role=OPERATOR)
        try:
            await caller.serve(stream, self._options)
        finally:
            del self.here[name]

    def look(self) -> None:
        """Put out who was revoked or has expired; to be called now and then."""
        for caller in self.here.values():
            if self._guard is not None and not self._guard.counts(caller.member):
                caller.put_out()
                self._audit.note("put out", caller.member.name)
