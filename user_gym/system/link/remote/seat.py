"""One robot of an edge that clients step: its environment, on one thread, for whoever has the lease.

It holds the robot, which here means that nobody steps it and that its `hold()` is called where it has one, once its client is
gone, silent for longer than the watchdog allows, or a person said stop; what is asked then is refused until a reset.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, NamedTuple

import numpy as np

from user_gym.errors import (
    BadBlock,
    Halted,
    NotAdmitted,
    PeerLost,
    Stopped,
    UnknownName,
    UserGymError,
)
from user_gym.system.link.remote import faults
from user_gym.system.link.remote.asks import SILENT, TO_EDGE, Ask, Reader, Writer, fresh
from user_gym.system.link.remote.form import Tree
from user_gym.system.link.remote.memory import Memory
from user_gym.system.link.remote.pipe import Pipe
from user_gym.system.link.remote.served import Served, chosen
from user_gym.system.link.remote.stage import Stage

_STEP = Ask.STEP  # to name a member of an Enum is a function of Python
_OF_LEASES = frozenset({Ask.OPEN, Ask.CLOSE})
_PATIENCE = 10.0  # s that a client may take to read an answer
_log = logging.getLogger(__name__)


class Order(NamedTuple):
    """What a client asks, or the hub."""

    ask: int
    lease: str
    number: int
    words: Mapping[str, Any]
    block: Any
    answer: Callable[[int, dict[str, Any], Any], None]  # number, words, block or None; from the seat's thread


class Seat:
    """From `open` to `close`.

    Args:
        robot: its name.
        serves: by id.
        watchdog: s without a word of the client, within an episode, after which the robot holds.
        door: what an OPEN is answered besides, for clients of this host.

    Attributes:
        lease: that counts now; "" where nobody has it.
        client: who has it.
    """

    def __init__(self, robot: str, serves: Mapping[str, Served], watchdog: float, door: Mapping[str, Any]) -> None:
        self.robot, self._serves, self._watchdog, self._door = robot, serves, watchdog, door
        self.lease = self.client = ""
        self._stage = Stage(robot)
        self._orders: deque[Order | Pipe | None] = deque()  # None: the end
        self._bell = -1
        self._poll = select.poll()
        self._pipe: Pipe | None = None
        self._memory: Memory | None = None
        self._memory_is_new = False
        self._writer, self._reader = Writer(), Reader()
        self._heard = 0.0
        self._thread = Thread(target=self._run, name=f"remote-{robot}", daemon=True)

    def open(self) -> None:
        """Begin."""
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._bell, select.POLLIN)
        self._thread.start()

    def put(self, order: Order | Pipe) -> None:
        """Something to do, or a client's other end on this host; from any thread."""
        self._orders.append(order)
        os.eventfd_write(self._bell, 1)

    def stop(self, by: str) -> None:
        """The robot holds, whoever has it, until a person lets somebody lease it anew. From any thread."""
        self._stage.halted = Halted(f"{self.robot} was stopped by {by}; look at it, then reset")
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """The robot holds, and its environment is closed, after what is under way. May be called twice."""
        if self._thread.is_alive():
            self._orders.append(None)
            os.eventfd_write(self._bell, 1)
            self._thread.join()
        bell, self._bell = self._bell, -1
        if bell >= 0:
            os.close(bell)

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            try:
                goes_on = self._turn()
            except Exception as error:  # a bug ends what its client does, and not the thread that holds the robot
                _log.exception("%s", self.robot)
                self._drop_pipe()
                self._stage.hold(Stopped(f"{self.robot} holds: {type(error).__name__}: {error}; reset() goes on"))
                os.eventfd_write(self._bell, 1)  # orders that came with it are still to be done
        self._end("the edge was closed")

    def _turn(self) -> bool:
        """Wait for what comes next, and do it; whether to go on."""
        left = self._heard + self._watchdog - time.monotonic() if self._stage.running else None
        ready = [descriptor for descriptor, _ in self._poll.poll(None if left is None else max(0.0, left) * 1000)]
        if not ready:
            self._stage.hold(Stopped(f"{self.robot} holds: no word of {self.client} for {self._watchdog} s; reset() goes on"))
        for descriptor in ready:
            if descriptor != self._bell:
                self._over_pipe()
        return self._bell not in ready or self._rung()

    def _rung(self) -> bool:
        os.eventfd_read(self._bell)
        if self._stage.halted is not None and self._stage.running:
            self._stage.hold(self._stage.halted)
        while self._orders:
            order = self._orders.popleft()
            if order is None:
                return False
            if isinstance(order, Pipe):
                self._adopt(order)
            else:
                self._obey(order, fresh)
        return True

    def _left(self) -> bool:
        """Whether nobody waits any more for what is being done: its client is gone or gave it up, or the edge is closed."""
        if self._pipe is not None and _hung_up(self._pipe.fileno()):
            return True
        return any(order is None or (isinstance(order, Order) and self._is_end(order)) for order in tuple(self._orders))

    def _is_end(self, order: Order) -> bool:
        return order.ask == Ask.OPEN or (
            order.lease == self.lease and (order.ask == Ask.CLOSE or (order.ask == Ask.HOLD and self._pipe is None))
        )

    def _over_pipe(self) -> None:
        assert self._pipe is not None
        try:
            while True:
                parcel = self._pipe.receive()
                if parcel.sort not in TO_EDGE:
                    raise BadBlock("ask of a client", parcel.sort, f"{sorted(TO_EDGE)}")
                self._obey(Order(parcel.sort, self.lease, parcel.number, parcel.words, parcel.block, self._answer), self._room)
                if self._pipe is None or not self._pipe.waiting:
                    return
        except (PeerLost, BadBlock) as error:
            self._drop_pipe()
            self._stage.hold(Stopped(f"{self.robot} holds: {self.client} is gone ({error}); reset() goes on"))

    def _adopt(self, pipe: Pipe) -> None:
        """The client reaches this thread directly from now on."""
        self._drop_pipe()
        self._forget()
        try:
            pipe.wait(min(_PATIENCE, self._watchdog))  # who hangs within an answer is silent, too
            pipe.send(Ask.OPEN, 0)
        except PeerLost:
            return pipe.close()
        self._pipe = pipe
        self._poll.register(pipe.fileno(), select.POLLIN)

    def _answer(self, number: int, words: dict[str, Any], block: Any) -> None:
        assert self._pipe is not None
        if self._memory is not None and self._memory_is_new:
            self._pipe.pass_on(self._memory.descriptor)
            self._memory_is_new = False
        self._pipe.send(0, number, words)

    def _room(self, nbytes: int) -> np.ndarray:
        """Memory that the client has mapped, or will have with the answer."""
        if self._memory is None or self._memory.size < nbytes:
            if self._memory is not None:
                self._memory.close()
            self._memory, self._memory_is_new = Memory.create(nbytes), True
        return self._memory.block

    def _obey(self, order: Order, room: Callable[[int], np.ndarray]) -> None:
        ask = order.ask
        if ask in TO_EDGE and order.lease == self.lease:
            self._heard = time.monotonic()
        block: Any = None
        words: dict[str, Any] = {}
        try:
            if order.lease != self.lease and ask not in _OF_LEASES:
                raise NotAdmitted(f"this lease of {self.robot} is over; it is leased by {self.client or 'nobody'}")
            tree = self._stage.step(self._read(order)) if ask == _STEP else self._done(order, words)
            if ask in SILENT:
                return
            block, form = self._writer.write(ask, tree, room)
            if form is not None:
                words["form"] = form
        except Exception as error:  # whatever an environment raises, its client is told
            if not isinstance(error, UserGymError):
                _log.exception("environment of %s", self.robot)
            block, words = None, {"error": faults.said(error)}
        order.answer(order.number, words, block)
        if order.lease == self.lease:
            self._heard = time.monotonic()  # what was asked for may take long, and its client is silent as long as it waits

    def _done(self, order: Order, words: dict[str, Any]) -> Tree:
        match order.ask:
            case Ask.CHUNK:
                return self._stage.chunk(self._read(order), words, self._left)
            case Ask.RESET:
                return self._restart(self._read(order))
            case Ask.OPEN:
                return self._open(order)
            case Ask.CLOSE:
                return self._end("its lease is over") if order.lease == self.lease else None
            case Ask.HOLD if self._pipe is not None:
                return None  # its way to the hub is gone, and the one to here is not
            case Ask.HOLD:
                return self._stage.hold(Stopped(f"{self.robot} holds: {self.client} is gone; reset() goes on"))
            case Ask.ATTEND:
                return self._stage.attend()
            case Ask.RENDER:
                return self._stage.env.render()
            case Ask.STATE | Ask.SCENE:
                return self._stage.record(Ask(order.ask))
        raise BadBlock("ask of a client", order.ask, f"{min(Ask)}..{max(Ask)}")

    def _read(self, order: Order) -> Tree:
        return self._reader.read(order.ask, order.words.get("form"), order.block, copy=True)

    def _open(self, order: Order) -> Tree:
        """A lease begins: it gets an environment."""
        words = order.words
        served = self._serves.get(str(words.get("id")))
        if served is None:
            raise UnknownName(f"environment of {self.robot}", words.get("id"), self._serves, "the edge names what it serves")
        options = chosen(served, words.get("options"))
        self._stage.hold(Stopped(f"{self.robot} was leased anew; reset() goes on"))
        self._drop_pipe()
        said = self._stage.open(served, options, also_spaces=bool(words.get("spaces")))
        self.lease, self.client = order.lease, str(words.get("client"))
        self._forget()
        return {
            **said, "robot": str(words.get("source", self.robot)), "watchdog": float(self._watchdog), "door": dict(self._door)
        }  # fmt: skip

    def _restart(self, asked: Tree) -> Tree:
        if self._stage.halted is None:
            self._forget()
        return self._stage.reset(asked)

    def _end(self, why: str) -> None:
        self._stage.hold(Stopped(f"{self.robot} holds: {why}"))
        self._drop_pipe()
        self.lease = self.client = ""
        self._stage.close()

    def _drop_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._poll.unregister(pipe.fileno())
            pipe.close()
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()

    def _forget(self) -> None:
        """The client may have missed answers, or is another one."""
        self._writer.forget()


def _hung_up(descriptor: int) -> bool:
    """Whether the other end of a socket is closed; bytes of it may still be unread."""
    poll = select.poll()
    poll.register(descriptor, 0)  # these are told without being asked for
    return bool(poll.poll(0))
