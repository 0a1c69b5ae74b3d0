"""Clients that step environments at edges: who may, and the way of each order there and of its answer back.

It is the only authority on leases across hosts. It looks into no order: what is asked, and of which lease, is all it reads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from user_gym.errors import BadBlock, BadOption, Busy, NotAdmitted, PeerLost, UnknownName, UserGymError
from user_gym.system.link.hub.leases import Lease, Leases
from user_gym.system.link.hub.session import Session
from user_gym.system.link.identity import names
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.remote import faults
from user_gym.system.link.remote.asks import TO_EDGE, Ask
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import Lane
from user_gym.system.link.wire.message import Message

_MOST_ROBOTS, _MOST_IDS, _MOST_TEXT = 64, 64, 200
_MOST_UNDER_WAY = 8  # orders of a lease that are not answered: a client has one, and those that it gave up


class Client(Protocol):
    """Who orders, in this process or over a connection."""

    @property
    def name(self) -> str:
        """No other client has it."""
        ...

    def reply(self, message: Message) -> None:
        """What came of an order, or word that there was none; on the loop's thread."""
        ...


class Switchboard:
    """All of it runs on the loop's thread.

    Args:
        sessions: of edges, by name.
        audit: notes who got which robot, who did not, and when it was free again.
    """

    def __init__(self, sessions: Mapping[str, Session], audit: Audit) -> None:
        self._sessions, self._audit = sessions, audit
        self._serves: dict[str, dict[str, list[str]]] = {}  # edge -> robot -> ids
        self._clients: dict[str, Client] = {}
        self.leases = Leases()

    def arrived(self, session: Session, hello: Message) -> None:
        """An edge is here, and says what it serves. Raises BadBlock."""
        serves = _served(words.table(hello, "serves", _MOST_ROBOTS)) if "serves" in hello.words else {}
        self._serves[session.name] = serves
        for robot, had in (words.table(hello, "leases", _MOST_ROBOTS) if "leases" in hello.words else {}).items():
            match had:
                case [str() as id, str() as client] if robot in serves and max(len(id), len(client)) <= _MOST_TEXT:
                    away = None if client in self._clients else time.monotonic()
                    self.leases.adopt(names.source(session.name, robot), id, client, time.time(), away)
                case _:
                    raise BadBlock("lease of an edge", had, "[lease, client] of a robot that it serves")
        for lease in self.leases.table.values():
            lease.under_way *= lease.edge != session.name  # what it was asked before, it does not answer any more
        session.outcome = self._outcome

    def joined(self, client: Client) -> None:
        """A client is here, for the first time or again."""
        self._clients[client.name] = client
        self.leases.back(client.name)

    def left(self, client: Client) -> None:
        """A client is gone: robots hold, and are free for others after a while."""
        if self._clients.get(client.name) is not client:
            return  # it has come back meanwhile
        del self._clients[client.name]
        for lease in self.leases.left(client.name, time.monotonic()):
            self._tell(lease, Ask.HOLD)

    def look(self) -> None:
        """Free what nobody came back for; to be called now and then."""
        for lease in self.leases.expired(time.monotonic()):
            self._freed(lease, "its client was gone for too long")

    def stopped(self, edges: Sequence[str], by: str) -> None:
        """A person stopped the robots of these edges."""
        for lease in self.leases.stopped(edges, by):
            self._audit.note("lease ended", lease.client, robot=lease.robot, why=f"stopped by {by}")

    def order(self, client: Client, message: Message) -> None:
        """Of a client. Raises BadBlock where it makes no sense."""
        ask = words.number(message, "ask")
        try:
            if ask in TO_EDGE:
                self._pass_on(client, message)
            elif ask == Ask.LEASE:
                self._lease(client, message)
            elif ask == Ask.RELEASE:
                lease = self.leases.of(words.text(message, "lease"), client.name)
                self.leases.end(lease, NotAdmitted("this lease was given back"))
                self._freed(lease, "given back")
                client.reply(Message(Kind.OUTCOME, {}, {}, message.number))
            else:
                raise BadBlock("ask of a client", ask, f"{sorted(TO_EDGE | {Ask.LEASE, Ask.RELEASE})}")
        except BadBlock:
            raise
        except UserGymError as error:
            if message.number:  # what has none is not answered
                client.reply(Message(Kind.OUTCOME, {"error": faults.said(error)}, {}, message.number))

    def _pass_on(self, client: Client, message: Message) -> None:
        if not message.number and (message.words["ask"] != Ask.ATTEND or sum(a.nbytes for a in message.arrays.values())):
            raise BadBlock("number of an order", message.number, "1 or more; 0 only to attend, with nothing else")
        lease = self.leases.of(words.text(message, "lease"), client.name)
        if not message.number and self._connected(lease.edge).waiting(Lane.CALL) >= _MOST_UNDER_WAY:
            return  # that the next step comes late is of no use later
        if lease.under_way >= _MOST_UNDER_WAY:
            raise Busy(f"{lease.robot} has not answered {lease.under_way} orders; allowed: {_MOST_UNDER_WAY}")
        words_of_edge = {**message.words, "robot": lease.name}
        self._connected(lease.edge).send(Message(message.kind, words_of_edge, message.arrays, message.number))
        lease.under_way += message.number != 0  # an order without a number has no answer

    def _outcome(self, session: Session, message: Message) -> None:
        """From an edge; only of its own robots."""
        lease = self.leases.by_id(words.text(message, "lease"))
        if lease is None or lease.edge != session.name:
            return  # it ended meanwhile
        lease.under_way = max(0, lease.under_way - 1)
        client = self._clients.get(lease.client)
        if client is not None:
            client.reply(message)

    def _lease(self, client: Client, message: Message) -> None:
        """Grant it, and let the edge know; the edge's answer goes to the client as it is."""
        wanted, ids = words.text(message, "edge", _MOST_TEXT), words.items(message, "ids", _MOST_IDS)
        try:
            robots = self._able(wanted, ids)
            place = words.text(message, "place", _MOST_TEXT)
            before = [old for old in self.leases.table.values() if (old.client, old.place) == (client.name, place)]
            lease = self.leases.grant(robots, client.name, place, time.time())
        except UserGymError as error:
            self._audit.note("lease refused", client.name, wanted=wanted, why=str(error)[:500])
            raise
        for over in before:
            if over.robot == lease.robot:  # whose edge hears of it with the new one, and keeps the environment
                self._audit.note("lease ended", client.name, robot=over.robot, why="leased anew")
            else:
                self._freed(over, "another robot is leased in its place")
        self._audit.note("lease granted", client.name, robot=lease.robot)
        id = next(id for id in ids if id in self._serves[lease.edge][lease.name])
        asked = {name: message.words[name] for name in ("options", "spaces") if name in message.words}
        said = {
            **asked,
            "ask": Ask.OPEN,
            "lease": lease.id,
            "robot": lease.name,
            "client": client.name,
            "id": id,
            "source": lease.robot,
        }
        self._connected(lease.edge).send(Message(Kind.ORDER, said, {}, message.number))
        lease.under_way += 1

    def _able(self, wanted: str, ids: Sequence[Any]) -> list[str]:
        """Robots that do one of these ids, as "EDGE/ROBOT". Raises UnknownName, BadOption, PeerLost."""
        edge, _, name = wanted.partition("/")
        if edge and edge not in self._sessions:
            raise UnknownName("edge", edge, self._sessions, "it has not been connected since this hub was opened")
        served = {
            names.source(e, robot): does
            for e, robots in sorted(self._serves.items()) for robot, does in sorted(robots.items())
            if edge in ("", e) and name in ("", robot)
        }  # fmt: skip
        if name and not served:
            cure = "user-gym edge --serve NAME=ID names one there"
            raise UnknownName(f"robot of {edge}", name, self._serves.get(edge, {}), cure)
        able = [robot for robot, does in served.items() if not set(ids).isdisjoint(does)]
        if not able:
            what = "; ".join(f"{robot}: {', '.join(does)}" for robot, does in served.items())
            raise BadOption(
                "environment of an edge", ", ".join(map(str, ids)), what or "none: no such robot is served (--serve)"
            )
        here = [robot for robot in able if self._is_connected(names.owner(robot))]
        if not here:
            raise PeerLost(f"no edge is connected that has {', '.join(able)}")
        return here

    def _is_connected(self, edge: str) -> bool:
        session = self._sessions.get(edge)
        return session is not None and session.connection is not None

    def _connected(self, edge: str) -> Session:
        if not self._is_connected(edge):
            raise PeerLost(f"edge {edge!r} is not connected")
        return self._sessions[edge]

    def _tell(self, lease: Lease, ask: Ask) -> None:
        """Where its edge is here; else it holds by itself."""
        if self._is_connected(lease.edge):
            said = {"ask": ask, "lease": lease.id, "robot": lease.name}
            self._sessions[lease.edge].send(Message(Kind.ORDER, said))

    def _freed(self, lease: Lease, why: str) -> None:
        self._tell(lease, Ask.CLOSE)
        self._audit.note("lease ended", lease.client, robot=lease.robot, why=why)


def _served(table: Mapping[str, Any]) -> dict[str, list[str]]:
    for robot, ids in table.items():
        sound = (
            isinstance(ids, list)
            and 0 < len(ids) <= _MOST_IDS
            and all(isinstance(i, str) and len(i) <= _MOST_TEXT for i in ids)
        )
        if not names.is_name(robot) or not sound:
            raise BadBlock("what an edge serves", {robot: ids}, f"robot -> 1..{_MOST_IDS} ids")
    return {robot: list(ids) for robot, ids in table.items()}
