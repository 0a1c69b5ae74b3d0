"""A client's way to a hub: a connection of its own, or the hub itself where that is an object of this process.

Orders have numbers, and what comes of an order goes to who gave it and waits; what comes too late is dropped. It knows no
environment.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic
from typing import Any, Protocol

from user_gym.errors import BadBlock, BadOption, Closed, PeerLost
from user_gym.system.link.dialling import dialled
from user_gym.system.link.identity import names
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.stream.greeting import greet
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.stream.transport import is_loopback
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import TO_CLIENT
from user_gym.system.link.wire.message import Message

_OUTCOME = Kind.OUTCOME  # to name a member of an Enum is a function of Python
_LEAVE = 5.0  # s
_AGAIN = 0.5  # s until the hub is dialled again
Inbox = SimpleQueue[Message | Exception]


class LocalHub(Protocol):
    """What of `Hub` a client of its process uses."""

    def join(self, client: Any) -> None:
        """As Hub."""
        ...

    def order(self, client: Any, message: Message) -> None:
        """As Hub."""
        ...

    def part(self, client: Any) -> None:
        """As Hub."""
        ...


class Uplink:
    """Of one or more environments of a process. Thread-safe.

    Attributes:
        name: of this client; no other has it.
        late: answers that came when nobody waited for them any more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Inbox] = {}
        self.late = 0

    def connect(self, deadline: float) -> None:
        """Be connected when this returns. Raises PeerLost, NotAdmitted; at `deadline`, s monotonic, at the latest."""
        raise NotImplementedError

    def send(self, message: Message) -> None:
        """Send an order; it waits for nothing. Raises PeerLost where it is known that it cannot arrive."""
        raise NotImplementedError

    def order(self, message_of: Callable[[int], Message], inbox: Inbox) -> int:
        """Give an order, and return its number. Raises PeerLost.

        Args:
            message_of: makes it with a number.
            inbox: gets what comes of it, or a PeerLost.
        """
        number = next(self._numbers)
        self._waiting[number] = inbox
        try:
            self.send(message_of(number))
        except BaseException:
            self._waiting.pop(number, None)
            raise
        return number

    def wait(self, number: int, inbox: Inbox, deadline: float) -> Message:
        """What came of an order. Raises PeerLost: the connection is lost, or it is later than `deadline`, monotonic."""
        try:
            while True:
                found = inbox.get(timeout=max(0.0, deadline - monotonic()))
                if isinstance(found, Exception):
                    raise found
                if found.number == number:
                    return found
        except Empty:
            raise PeerLost("no answer in time; what comes later is dropped") from None
        finally:
            self._waiting.pop(number, None)

    def reply(self, message: Message) -> None:
        """What came of an order; on the loop's thread."""
        inbox = self._waiting.pop(message.number, None)
        if inbox is None:
            self.late += 1
        else:
            inbox.put(message)

    def close(self) -> None:
        """Leave. May be called twice."""
        raise NotImplementedError

    def _lost(self, why: Exception) -> None:
        while self._waiting:
            _, inbox = self._waiting.popitem()
            inbox.put(PeerLost(str(why)))


class HubUplink(Uplink):
    """Where the hub is an object of this process."""

    def __init__(self, hub: LocalHub) -> None:
        super().__init__(f"this-process#{secrets.token_hex(8)}")
        self._hub = hub
        self._joined = False

    def connect(self, deadline: float) -> None:
        """As Uplink. Raises Closed."""
        if not self._joined:
            self._hub.join(self)
            self._joined = True

    def send(self, message: Message) -> None:
        """As Uplink."""
        try:
            self._hub.order(self, message)
        except Closed as error:
            raise PeerLost(str(error)) from error

    def close(self) -> None:
        """As Uplink."""
        if self._joined:
            self._joined = False
            self._hub.part(self)


class DialledUplink(Uplink):
    """A connection that this process dials; once it was there, again and again, so that the hub knows that this client is."""

    def __init__(self, address: str, bundle: Bundle | None, name: str | None) -> None:
        if bundle is None and not is_loopback(address):
            raise BadOption(
                "bundle of a client", None, f"one that `user-gym hub enroll --client` made: {address} is not loopback"
            )
        self._who = names.checked("name of a client", bundle.name if bundle is not None else name or f"client-{os.getpid()}")
        self._instance = secrets.token_hex(8)
        super().__init__(f"{self._who}#{self._instance}")
        self._address, self._bundle = address, bundle
        self._loop: Loop | None = None
        self._connection: Connection | None = None
        self._task: Any = None
        self._wanting: list[Future[None]] = []  # who waits for a connection; on the loop's thread
        self._lock = Lock()

    def connect(self, deadline: float) -> None:
        """As Uplink."""
        if self._connection is not None:
            return
        ready: Future[None] = Future()
        with self._lock:
            if self._loop is None:
                self._loop = Loop.borrow()
            if self._task is None or self._task.done():
                self._task = self._loop.spawn(self._run())
            self._loop.soon(self._want, ready)
        wait = max(0.0, deadline - monotonic())
        try:
            ready.result(wait)
        except TimeoutError:
            raise PeerLost(f"hub {self._address} was not reached in {wait:.3g} s") from None

    def send(self, message: Message) -> None:
        """As Uplink."""
        loop, connection = self._loop, self._connection
        if loop is None or connection is None:
            raise PeerLost(f"no connection to hub {self._address}")
        loop.soon(connection.send, message)

    def close(self) -> None:
        """As Uplink."""
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is None:
                return
            connection = self._connection
            if connection is not None:
                loop.start(connection.leave(Message(Kind.BYE))).result(_LEAVE)
            loop.end(self._task)
            loop.give_back()

    def _want(self, ready: Future[None]) -> None:
        if self._connection is not None:
            ready.set_result(None)
        elif self._task.done():  # at this very moment
            ready.set_exception(PeerLost(f"hub {self._address} does not let {self._who} in"))
        else:
            self._wanting.append(ready)

    async def _run(self) -> None:
        """Until the hub does not let this client in."""
        while True:
            try:
                await self._once()
                why: Exception = PeerLost("the hub has left")
            except Exception as error:  # top of this task: raised by who connects, or who waits
                why = error
            finally:
                self._connection = None
            self._lost(why)
            while self._wanting:
                self._wanting.pop().set_exception(why)
            if not isinstance(why, PeerLost):
                return
            await asyncio.sleep(_AGAIN)

    async def _once(self) -> None:
        async with dialled(self._address, self._bundle) as stream:
            await greet(stream, self._who, {"client": self._instance})
            self._connection = Connection(stream, Assembly(TO_CLIENT), self._deliver)
            while self._wanting:
                self._wanting.pop().set_result(None)
            await self._connection.run()

    async def _deliver(self, message: Message) -> None:
        if message.kind is _OUTCOME:
            return self.reply(message)
        if message.kind is not Kind.BYE:
            raise BadBlock("message of a hub", message.kind.name, "OUTCOME or BYE")
        assert self._connection is not None
        self._connection.close()


_lock = Lock()
_shared: dict[tuple[str, str | None, str | None], tuple[DialledUplink, int]] = {}


def borrow(hub: Any, bundle: str | Path | None, name: str | None) -> Uplink:
    """The way to a hub; environments of one process share a connection. To be given back. Raises BadOption, WrongRun.

    Args:
        hub: HOST:PORT; or a `Hub` of this process; None: where the bundle says.
        bundle: file of a client; None: only on loopback.
        name: of this client where there is no bundle; None: one made of the process's number.
    """
    if hub is not None and not isinstance(hub, str):
        return HubUplink(hub)
    loaded = None if bundle is None else Bundle.load(Path(bundle))
    address = hub or (loaded.hub if loaded is not None else "")
    if not address:
        raise BadOption("hub", hub, "HOST:PORT, a Hub of this process, or a bundle that says it")
    key = address, None if bundle is None else str(bundle), name
    with _lock:
        uplink, borrowers = _shared.get(key) or (DialledUplink(address, loaded, name), 0)
        _shared[key] = uplink, borrowers + 1
        return uplink


def give_back(uplink: Uplink) -> None:
    """Once for each `borrow`; the last leaves."""
    with _lock:
        for key, (shared, borrowers) in list(_shared.items()):
            if shared is uplink:
                if borrowers > 1:
                    _shared[key] = shared, borrowers - 1
                    return
                del _shared[key]
    uplink.close()
