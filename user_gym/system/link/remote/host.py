"""An edge's side of remote stepping: what it serves, and who may step it now. It knows no network.

edge = Edge(..., host=Host({"left": [Served("User/PegInsert-real-v0", {"robot": "left"})]}))
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from user_gym.core import real
from user_gym.errors import BadBlock, BadOption, Closed, PeerLost
from user_gym.system.link.identity import names
from user_gym.system.link.remote import faults
from user_gym.system.link.remote.asks import TO_EDGE, Ask
from user_gym.system.link.remote.pipe import Pipe
from user_gym.system.link.remote.seat import Order, Seat
from user_gym.system.link.remote.served import Served
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

MOST_BLOCK = (1 << 26) - (1 << 21)  # bytes of values in a message, beside its words
WATCHDOG = 5.0  # s; a real arm's driver holds by itself after `stale`, 1 s, whatever stands here
_TICKET = 2.0  # s that a client of this host may take to say which lease it has
_OUTCOME = Kind.OUTCOME  # to name a member of an Enum is a function of Python
_NOTHING = np.empty(0, np.uint8)
_FROM_HUB = TO_EDGE | {Ask.OPEN, Ask.CLOSE, Ask.HOLD}
_log = logging.getLogger(__name__)


class Host:
    """From `open` to `close`. Thread-safe.

    Args:
        serves: robot's name -> environments that clients may step it in, one at a time.
        watchdog: s without a word of its client after which a robot holds, within an episode.

    Raises:
        BadOption: a name or a number that is not allowed.
    """

    def __init__(self, serves: Mapping[str, Sequence[Served]], watchdog: float = WATCHDOG) -> None:
        watchdog = real("watchdog", watchdog, 0.01, 3600.0, "s, 0.01 .. 3600")
        for robot, served in serves.items():
            names.checked("name of a robot", robot)
            if not served or len({one.env_id for one in served}) < len(served):
                raise BadOption(f"environments of {robot}", [one.env_id for one in served], "one or more, each once")
        self._address = f"user-gym-remote-{os.getpid()}-{secrets.token_hex(8)}"
        door = {"name": self._address, "boot": boot(), "user": os.geteuid()}
        self._seats = {
            robot: Seat(robot, {one.env_id: one for one in served}, watchdog, door) for robot, served in serves.items()
        }
        self._serves = {robot: [one.env_id for one in served] for robot, served in serves.items()}
        self._listener: socket.socket | None = None
        self._loop: Loop | None = None
        self._thread = Thread(target=self._accept, name="remote-door", daemon=True)

    @property
    def said(self) -> dict[str, Any]:
        """What a hub is told: ids by robot; and which leases count here, for a hub that was begun anew."""
        leases = {robot: [seat.lease, seat.client] for robot, seat in self._seats.items() if seat.lease}
        return {"serves": self._serves, "leases": leases}

    def open(self) -> Host:
        """Begin. Raises Closed where it was opened before."""
        if self._loop is not None:
            raise Closed("a host is opened once; make a new one")
        self._loop = Loop.borrow()
        for seat in self._seats.values():
            seat.open()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind("\0" + self._address)  # no file, which a killed process would leave behind
        self._listener.listen(64)
        self._thread.start()
        return self

    def __enter__(self) -> Host:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def order(self, message: Message, reply: Callable[[Message], None]) -> None:
        """What the hub sends; it waits for nothing. `reply` is called on the loop's thread. Raises BadBlock."""
        assert self._loop is not None
        loop = self._loop
        ask, robot = words.number(message, "ask"), words.text(message, "robot")
        if ask not in _FROM_HUB:
            raise BadBlock("ask of a hub", ask, f"{sorted(_FROM_HUB)}")
        lease = words.text(message, "lease")

        def answer(number: int, said: dict[str, Any], block: Any) -> None:
            if block is not None and len(block) > MOST_BLOCK:
                error = BadOption("bytes of an observation", len(block), f"{MOST_BLOCK} over the network")
                block, said = None, {"error": faults.said(error)}
            arrays = {} if block is None else {"block": block}
            loop.soon(_sent, reply, Message(_OUTCOME, {**said, "lease": lease}, arrays, number))

        seat = self._seats.get(robot)
        if seat is None:
            error = BadOption("robot of an edge", robot, ", ".join(self._seats))
            return answer(message.number, {"error": faults.said(error)}, None)
        block: Any = message.arrays.get("block", _NOTHING)
        if block.ndim != 1 or block.dtype != np.uint8:
            raise BadBlock("block of an order", f"{block.dtype}{block.shape}", "uint8 (bytes,)")
        seat.put(Order(ask, lease, message.number, message.words, block, answer))

    def stop(self, by: str) -> None:
        """All robots hold; nobody steps them before a new lease."""
        with contextlib.ExitStack() as told:  # each, whatever another one raises
            for seat in self._seats.values():
                told.callback(seat.stop, by)

    def close(self) -> None:
        """Robots hold, environments are closed. May be called twice."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        listener.close()
        self._thread.join()
        for seat in self._seats.values():
            seat.close()
        assert self._loop is not None
        self._loop.give_back()

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._listener is not None:  # not closed: clients of this host take the network from now on
                    _log.error("no client of this host can come in any more: %s", error)
                return
            pipe = Pipe(connection)
            try:
                self._let_in(pipe)
            except (PeerLost, BadBlock) as error:
                _log.warning("a client of this host is not let in: %s", error)
                pipe.close()

    def _let_in(self, pipe: Pipe) -> None:
        if not pipe.same_user:
            raise PeerLost("it is of another user")
        pipe.wait(_TICKET)
        ticket = str(pipe.receive().words.get("lease", ""))
        for seat in self._seats.values():
            if seat.lease and secrets.compare_digest(seat.lease.encode(), ticket.encode()):
                return seat.put(pipe)
        raise PeerLost("it has no lease of this edge")


def _sent(reply: Callable[[Message], None], message: Message) -> None:
    """Send it; where that cannot be, as of an info with too much text, who waits is told why."""
    try:
        reply(message)
    except BadOption as error:
        reply(Message(message.kind, {"error": faults.said(error), "lease": message.words["lease"]}, {}, message.number))


def boot() -> str:
    """What only processes of one running kernel have in common; "" where it does not say."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
