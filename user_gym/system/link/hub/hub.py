"""Listens for edges, lets them in, and is how the rest of the learner's process speaks with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from user_gym.core import whole
from user_gym.errors import BadBlock, BadOption, Closed, NotAdmitted, PeerLost, UnknownName, WrongRun
from user_gym.system.link.hub.caller import Callers
from user_gym.system.link.hub.desk import TIMEOUT, Desk
from user_gym.system.link.hub.feed import Feed
from user_gym.system.link.hub.fetching import Fetches
from user_gym.system.link.hub.intake import Intake
from user_gym.system.link.hub.lookout import Lookout
from user_gym.system.link.hub.session import Hello, Session
from user_gym.system.link.hub.status import EdgeStatus
from user_gym.system.link.hub.store import Room, Store, known
from user_gym.system.link.hub.switchboard import Client, Switchboard
from user_gym.system.link.hub.visitor import Reception
from user_gym.system.link.identity import credentials, names
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.identity.guard import Guard
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.identity.roster import CLIENT, EDGE, Member
from user_gym.system.link.identity.spending import Spending
from user_gym.system.link.raw import Archive
from user_gym.system.link.stream import transport
from user_gym.system.link.stream.connection import PATIENCE
from user_gym.system.link.stream.greeting import GREETING, hear
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.stream.pace import Pace
from user_gym.system.link.stream.transport import ServerStream, is_loopback
from user_gym.system.link.wire import words
from user_gym.system.link.wire.message import Message
from user_gym.system.weights import Encoder, Subscriber

_OPENING = 20.0  # s
_MOST_EDGES = 4096
_log = logging.getLogger(__name__)


class Hub:
    """From `open` to `close`. Thread-safe.

    Args:
        address: HOST:PORT to listen at; port 0: a free one.
        store: takes experience; None: edges that bring some are refused.
        archive: takes raw episodes that operators fetch; the caller's, who closes it afterwards. None: none can be fetched.
        weights: where newer ones come from, used by this hub alone; None: edges get none.
        folder: who may come in; None: everybody, without TLS.
        hosts: names and addresses under which edges reach this hub, for its certificate; besides that of `address`.
        mutual: an edge needs its certificate besides its token.
        insecure: go without a folder off loopback, too: everybody who reaches the port can do everything.
        rate: bytes per second of weights to each edge; None: no limit.
        most_rate: bytes per second that are read from each edge; None: no limit.
        most_edges: that are known at a time.
        patience: s without a sign of life until an edge counts as lost.

    Raises:
        BadOption: an option that is not allowed.
        MissingExtra: "link" is not installed, or "zstd" for weights.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:0",
        *,
        store: Store | None = None,
        archive: Archive | None = None,
        weights: Subscriber | None = None,
        folder: HubFolder | None = None,
        hosts: Sequence[str] = (),
        mutual: bool = True,
        insecure: bool = False,
        rate: float | None = None,
        most_rate: float | None = None,
        most_edges: int = _MOST_EDGES,
        patience: float = PATIENCE,
    ) -> None:
        if folder is None and not insecure and not is_loopback(address):
            raise BadOption(
                "folder of a hub", None, f"one with its authority: {address} is not loopback",
                "user-gym hub enroll makes one; insecure=True lets everybody in who reaches the port",
            )  # fmt: skip
        self._address, self._store, self._folder, self._mutual = address, store, folder, mutual
        self._hosts = tuple(dict.fromkeys((*hosts, *credentials.hosts_of(address))))
        self._guard = None if folder is None else Guard(folder, mutual)
        self._most_edges = whole("most_edges", most_edges, 1)
        for limit in (rate, most_rate):
            Pace(limit)  # what is no rate is refused now, and not with the first connection
        self._options: dict[str, Any] = {"rate": rate, "most_rate": most_rate, "patience": patience}
        self._encoder = None if weights is None else Encoder(weights, finite=True)
        self._intake = None if store is None else Intake(store)
        self._sessions: dict[str, Session] = {}
        self._robots = 0  # at edges that are connected
        self._audit = Audit(None) if folder is None else folder.audit
        self._spending = Spending(None) if folder is None else folder.spending()
        self._fetches = Fetches(self._sessions, archive, self._audit)
        self._callers = Callers(self._guard, self._audit, self._options)
        self._desk = Desk(self._sessions, self._callers.here, self._audit, self._fetches)
        self._switchboard = Switchboard(self._sessions, self._audit)
        self._desk.stopped = self._switchboard.stopped
        self._reception = Reception(self._switchboard, self._guard, self._audit, self._options)
        self._lookout = Lookout(self._sessions, (self._reception, self._callers), self._guard, self._audit, self._spending)
        self._loop: Loop | None = None
        self._feed: Feed | None = None
        self._server: Any = None
        self._watching: Any = None
        self.port = 0

    def open(self) -> Hub:
        """Listen. Raises BadOption where nobody can, WrongRun where the folder has no authority."""
        shown = None
        if self._folder is not None:
            shown = credentials.of_hub(self._folder.authority(), self._hosts, self._mutual)
        self._loop = Loop.borrow()
        try:
            self._server, self.port = self._loop.start(self._listen(shown)).result(_OPENING)
        except BaseException:
            self._loop.give_back()
            self._loop = None
            raise
        if self._intake is not None:
            self._intake.open(self._loop.soon_each)
        if self._encoder is not None:
            self._feed = Feed(self._encoder, self._loop, lambda: list(self._sessions.values()))
            self._feed.open()
        self._watching = self._loop.spawn(self._lookout.run())
        return self

    def __enter__(self) -> Hub:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def failure(self) -> Exception | None:
        """What made the hub useless, such as an error of its store; its owner raises it. None: all is well."""
        return next((part.failure for part in (self._intake, self._feed) if part is not None and part.failure), None)

    @property
    def full(self) -> str:
        """Why the store's disk takes nothing; "" when it does."""
        return "" if self._intake is None else self._intake.full

    def edges(self) -> tuple[EdgeStatus, ...]:
        """All that are or were connected, by name."""
        return tuple(session.status() for session in self._desk.edges)

    def call(self, edge: str, asked: Message, timeout: float) -> Message:
        """Ask an edge (a REQUEST), and return its reply; one that comes later than `timeout` s is dropped.

        Raises UnknownName, PeerLost; it is not known then whether the edge did what it was asked for.
        """
        return self._open().start(self._session(edge).call(asked, timeout)).result(timeout + GREETING)

    def stop(self, edge: str | None = None, *, by: str, timeout: float = TIMEOUT) -> Mapping[str, str]:
        """Robots hold, now: those of one edge, or of all. Nobody needs a lease for that; who did it is noted.

        Returns:
            By edge, what it said: "stopped", or why it is not known that its robots hold.

        Raises:
            UnknownName: no such edge was ever connected.
        """
        told = self._desk.edges if edge is None else [self._session(edge)]
        return self._open().start(self._desk.stop(told, by, timeout)).result(timeout + GREETING)

    def tell(self) -> None:
        """The store's room has changed: whoever waits for it, hears that."""
        loop = self._loop
        if loop is not None:
            for session in list(self._sessions.values()):
                loop.soon(session.tell)

    def join(self, client: Client) -> None:
        """A client of this process is here: it may order environments of edges."""
        self._open().soon(self._switchboard.joined, client)

    def order(self, client: Client, message: Message) -> None:
        """An ORDER of a client of this process; what comes of it, the client is told on the loop's thread."""
        self._open().soon(self._switchboard.order, client, message)

    def part(self, client: Client) -> None:
        """A client of this process is gone. After `close` nothing happens."""
        if self._loop is not None:
            self._loop.soon(self._switchboard.left, client)

    def leases(self) -> Mapping[str, str]:
        """Robots that clients have, as "EDGE/ROBOT" -> "NAME#INSTANCE"."""
        return {robot: lease.client for robot, lease in self._switchboard.leases.table.items()}

    def close(self) -> None:
        """End all connections; what was not acknowledged stays with the edges. May be called twice."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        loop.end(self._watching)
        loop.start(self._fetches.close()).result(_OPENING)
        if self._feed is not None:
            self._feed.close()
        for session in list(self._sessions.values()):
            loop.soon(session.put_out)
        loop.start(self._server.stop(0.5)).result(_OPENING)
        if self._intake is not None:
            self._intake.close()
        self._spending.keep(now=True)
        loop.give_back()

    def _open(self) -> Loop:
        if self._loop is None:
            raise Closed("the hub is closed; make a new one, and open that")
        return self._loop

    def _session(self, edge: str) -> Session:
        session = self._sessions.get(edge)
        if session is None:
            raise UnknownName("edge", edge, self._sessions, "it has not been connected since this hub was opened")
        return session

    async def _listen(self, shown: grpc.ServerCredentials | None) -> tuple[Any, int]:
        return await transport.serve(self._address, shown, self._connected)

    async def _connected(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """One connection, to its end."""
        try:
            member = None if self._guard is None else self._guard.admit(context)
            await context.send_initial_metadata(())
            await self._visited(ServerStream(context), member, context.peer())
        except NotAdmitted as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        except BadBlock as error:
            self._audit.note("broke the rules", context.peer(), why=str(error))
            _log.warning("the connection of %s is closed: %s", context.peer(), error)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except WrongRun as error:
            _log.error("%s cannot come in: %s", context.peer(), error)
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "this hub cannot read who may come in; its operator's log says why"
            )
        except PeerLost as error:
            _log.info("the connection of %s is over: %s", context.peer(), error)

    async def _visited(self, stream: ServerStream, member: Member | None, address: str) -> None:
        message = await hear(stream)
        name = words.text(message, "name")
        if member is None and not names.is_name(name):
            raise BadBlock("name of an edge", name, names.ALLOWED)
        if member is not None and member.name != name:
            raise self._refused(member.name, f"this bundle is of {member.name!r}, and not of {name!r}")
        if "client" in message.words:
            return await self._reception.serve(stream, member, address, message)
        if words.flag(message, "operator"):
            return await self._callers.serve(stream, member, address, message, self._desk)
        hello = Hello.read(message, name)
        if member is not None and member.role == CLIENT:
            raise self._refused(name, f"{name!r} is a client, and no edge")
        newest, unfit = await asyncio.to_thread(known, self._store, hello.forms)
        if unfit:
            raise self._refused(name, unfit)
        session = self._entered(name)
        if conflict := session.conflict(hello):
            raise self._refused(name, conflict)
        self._switchboard.arrived(session, message)
        self._audit.note("let in", name, address=address, host=hello.host)
        _log.info("edge %s is here, from %s", name, address)
        await session.serve(stream, member or Member(name, EDGE, "", "", 0.0, 0.0), address, hello, newest)

    def _refused(self, who: str, why: str) -> NotAdmitted:
        self._audit.note("turned away", who, why=why)
        return NotAdmitted(why)

    def _entered(self, name: str) -> Session:
        """The session of an edge, made when it comes for the first time."""
        session = self._sessions.get(name)
        if session is None:
            if len(self._sessions) >= self._most_edges:
                raise self._refused(
                    name, f"this hub knows {self._most_edges} edges already; allowed: as many as most_edges says"
                )
            session = self._sessions[name] = Session(
                name, self._intake, self._room, self._count, self._spending, self._fetches.came, **self._options
            )
            session.hands = self._desk.hands
        return session

    def _room(self) -> Room:
        return Room(0, False) if self._store is None else self._store.room(self._robots)

    def _count(self, robots: int) -> None:
        """So many more are here: asked for with every block, and so not counted then."""
        self._robots += robots
