"""Which operator has which robot: one at a time, whom its bundle allows that edge, noted. All of it on the loop's thread.

Orders and states only pass through: whether an order still counts is for the edge to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.link.identity import names
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message
from user_gym.system.link.wire.orders import read_hand

if TYPE_CHECKING:
    from user_gym.system.link.hub.caller import Caller
    from user_gym.system.link.hub.session import Session

_TIMEOUT = 2.0  # s that an edge may take to answer


@dataclass(slots=True)
class _Held:
    caller: str  # whose connection has it
    operator: str
    granted: bool = False  # the edge said yes
    orders: int = 0  # that were handed on
    active: int = 0  # of them, with a person acting


class Hands:
    """Of one hub.

    Args:
        sessions: all that there are, by name.
        callers: operators' connections, by name.
        audit: notes what is done.
    """

    def __init__(self, sessions: Mapping[str, Session], callers: Mapping[str, Caller], audit: Audit) -> None:
        self._sessions, self._callers, self._audit = sessions, callers, audit
        self._held: dict[str, _Held] = {}  # by source

    async def take(self, caller: Caller, asked: Message) -> dict[str, object]:
        """An operator asks for a robot; what the edge says, or `error`."""
        member = caller.member
        edge, robot = words.text(asked, "edge"), words.text(asked, "robot")
        source, session = names.source(edge, robot), self._sessions.get(edge)
        if member.edges and edge not in member.edges:
            self._audit.note("denied", member.name, ask="take over", source=source)
            return {"error": f"{member.name!r} may take over robots of {', '.join(member.edges)}; not of {edge!r}"}
        if session is None:
            return {"error": f"unknown edge {edge!r}; user-gym hub edges lists them"}
        held = self._held.get(source)
        if held is not None and held.caller != caller.name:
            return {"error": f"{held.operator!r} has {source} already"}
        mine = self._held[source] = _Held(caller.name, member.name)  # before it says yes: others may ask meanwhile
        try:
            answer = await session.call(Message(Kind.TAKE, {"source": source, "by": member.name}), _TIMEOUT)
        except PeerLost as error:
            if self._held.get(source) is mine:
                del self._held[source]
                session.send(_let_go(source, "it did not answer in time"))
            return {"error": str(error)}
        if self._held.get(source) is not mine:
            return {"error": f"{source} was let go meanwhile"}
        if "error" in answer.words:
            del self._held[source]
        else:
            mine.granted = True
            self._audit.note("took over", member.name, source=source)
        return dict(answer.words)

    def order(self, caller: Caller, message: Message) -> None:
        """An operator orders. Raises BadBlock where it is no order."""
        hand = read_hand(message)
        held = self._held.get(hand.source)
        if held is None or not held.granted or held.caller != caller.name:
            return  # it was let go meanwhile
        held.orders, held.active = held.orders + 1, held.active + hand.order.active
        self._sessions[names.owner(hand.source)].send(message)

    def seen(self, edge: Session, message: Message) -> None:
        """A robot shows its state. Raises BadBlock where it is not the edge's own."""
        source = words.text(message, "source")
        if names.owner(source) != edge.name:
            raise BadBlock("source of a state", source, names.source(edge.name, "ROBOT"))
        held = self._held.get(source)
        if held is not None and (caller := self._callers.get(held.caller)) is not None:
            caller.send(message)

    def gone(self, name: str) -> None:
        """An edge or a caller is not connected any more: what he had is free at once, and what he was had by hears that."""
        for source, held in list(self._held.items()):
            edge = names.owner(source)
            if name not in (held.caller, edge):
                continue
            del self._held[source]
            if held.granted:
                self._audit.note("let go", held.operator, source=source, orders=held.orders, active=held.active)
            if name == edge and (caller := self._callers.get(held.caller)) is not None:
                caller.send(_let_go(source, f"{edge} is not connected any more"))
            elif name != edge and (session := self._sessions.get(edge)) is not None:
                session.send(_let_go(source, f"{held.operator} is not connected any more"))


def _let_go(source: str, why: str) -> Message:
    return Message(Kind.TAKE, {"source": source, "by": "", "why": why})
