"""An operator's side of a take-over: shows a hand the states of a robot elsewhere, and sends there what it orders."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Condition, Event

import numpy as np

from user_gym.core import Teleop
from user_gym.errors import BadAction, BadBlock, BadOption, NotAdmitted, PeerLost
from user_gym.system.link.dialling import dialled, operators_hub
from user_gym.system.link.identity import names
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.stream.calls import Calls
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.stream.greeting import GREETING, greet
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.stream.race import race
from user_gym.system.link.wire import words
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import TO_OPERATOR
from user_gym.system.link.wire.message import Message
from user_gym.system.link.wire.orders import Hand, Seen, hand_message, read_seen

_ANSWER = 5.0  # s
_GLANCE = 0.05  # s
_END = 2.0  # s


class TakeOver:
    """One robot in an operator's hand, from `__enter__` to `__exit__`. Used by one thread.

    Args:
        address: HOST:PORT of the hub; None: as the bundle says.
        bundle: of an operator; None: only on loopback, to a hub without a folder.
        edge, robot: whose.

    Attributes:
        actions: numbers in an action of the robot.
        lasting: s that a state may be old to which an order answers.
        late: states that were not answered, for a newer one was there already.
    """

    def __init__(self, address: str | None, bundle: Bundle | None, edge: str, robot: str) -> None:
        self._address = operators_hub(address, bundle)
        self._bundle, self._edge, self._robot = bundle, names.checked("edge", edge), names.checked("robot", robot)
        self.source = names.source(edge, robot)
        self._calls = Calls()
        self._changed = Condition()
        self._seen: Seen | None = None
        self._moment = -1
        self._connection: Connection | None = None
        self._loop: Loop | None = None
        self._running: Future[None] | None = None
        self._let_go = ""
        self.actions, self.lasting, self.late = 0, 0.0, 0

    def __enter__(self) -> TakeOver:
        """Raises BadOption where the robot is not to be had, NotAdmitted, PeerLost."""
        self._loop, taken = Loop.borrow(), Future[Message]()
        self._running = self._loop.start(self._run(taken))
        try:
            answer = taken.result(GREETING + _ANSWER + 30.0).words
            if "error" in answer:
                raise BadOption(f"robot {self.source}", "taken over", str(answer["error"]))
            self.actions, self.lasting = int(answer["actions"]), float(answer["lasting"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        loop, self._loop = self._loop, None
        if loop is None or self._running is None:
            return
        loop.soon(self._leave)
        try:
            self._running.result(_END)
        except (PeerLost, NotAdmitted, BadBlock, TimeoutError):
            self._running.cancel()  # it is over; what it was worth saying, `run` has said
        loop.give_back()

    def run(self, teleop: Teleop, stop: Event) -> str:
        """Until `stop` is set, or the robot is gone: then why.

        Args:
            teleop: connected, of as many numbers as `actions`; it is read once for each state that comes.
            stop: set when the robot is to be let go.
        """
        episode = -1
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._seen is not None or self._over, _GLANCE)
                seen, self._seen = self._seen, None
                if seen is None and self._over:
                    return self._reason
            if seen is not None:
                if seen.episode != episode:
                    teleop.reset()
                    episode = seen.episode
                order = teleop.read(seen.state)
                if np.shape(order.action) != (self.actions,):
                    raise BadAction(f"action of shape {np.shape(order.action)}; allowed: ({self.actions},), of {self.source}")
                self._send(hand_message(Hand(self.source, seen.moment, order)))
        return ""

    def stop(self) -> None:
        """The robots of the edge hold, now; nobody waits for the answer."""
        assert self._loop is not None
        self._send(Message(Kind.REQUEST, {"ask": "stop", "edge": self._edge}))

    @property
    def _over(self) -> bool:
        return bool(self._let_go) or self._running is None or self._running.done()

    @property
    def _reason(self) -> str:
        if self._let_go or self._running is None:
            return self._let_go
        error = self._running.exception()
        return str(error) if error is not None else "the hub has left"

    def _send(self, message: Message) -> None:
        connection = self._connection
        if connection is not None and self._loop is not None:
            self._loop.soon(connection.send, message)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()  # the hub sees that, and lets the robot go

    async def _run(self, taken: Future[Message]) -> None:
        try:
            await self._visit(taken)
        except Exception as error:  # raised by `__enter__`, or said by `run`
            if not taken.done():
                taken.set_exception(error)
            raise
        finally:
            self._connection = None
            if not taken.done():
                taken.set_exception(PeerLost("the hub has left before it answered"))
            with self._changed:
                self._changed.notify_all()

    async def _visit(self, taken: Future[Message]) -> None:
        bundle = self._bundle
        async with dialled(self._address, bundle) as stream:
            await greet(stream, bundle.name if bundle is not None else "operator", {"operator": True})
            connection = self._connection = Connection(stream, Assembly(TO_OPERATOR), self._deliver)

            async def ask() -> None:
                asked = {"ask": "take over", "edge": self._edge, "robot": self._robot}
                taken.set_result(await self._calls.call(connection.send, Message(Kind.REQUEST, asked), _ANSWER))
                await asyncio.Event().wait()  # the connection's end ends this

            await race(connection.run(), ask())

    async def _deliver(self, message: Message) -> None:
        match message.kind:
            case Kind.REPLY:
                self._calls.answered(message)
            case Kind.SEEN:
                seen = read_seen(message)
                with self._changed:
                    if self._seen is not None:
                        self.late += 1
                    self._seen = seen
                    self._changed.notify_all()
            case Kind.TAKE:
                with self._changed:
                    self._let_go = f"{self.source} was let go: {words.text(message, 'why')}"
                    self._changed.notify_all()
            case _:
                raise BadBlock("message of a hub", message.kind.name, "REPLY, SEEN or TAKE")
