"""A client's way to one environment, once it has a lease: through the hub, or, on the edge's own host, straight to its thread.

Both are a request and its answer with the same number; an answer that comes later than its request was given up is dropped.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from queue import SimpleQueue
from time import monotonic
from typing import Any, Protocol

import numpy as np

from user_gym.errors import BadBlock, BadOption, PeerLost
from user_gym.system.link.remote import faults
from user_gym.system.link.remote.asks import SILENT, Ask, Reader, Writer, fresh
from user_gym.system.link.remote.form import Tree
from user_gym.system.link.remote.host import MOST_BLOCK, boot
from user_gym.system.link.remote.memory import Memory
from user_gym.system.link.remote.pipe import Pipe
from user_gym.system.link.remote.uplink import Inbox, Uplink
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

_ORDER = Kind.ORDER  # to name a member of an Enum is a function of Python
NETWORK, SHARED = "network", "shared memory"
_OPENING = 2.0  # s
_NOTHING = np.empty(0, np.uint8)


class Channel(Protocol):
    """One thread uses it. Where it raises PeerLost, the way is lost: the other side said nothing."""

    kind: str  # NETWORK or SHARED

    def ask(self, ask: Ask, tree: Tree) -> int:
        """Send a request; returns its number. Raises PeerLost, and BadOption where the tree cannot travel."""
        ...

    def hear(self, ask: Ask, number: int, timeout: float, copy: bool = True) -> tuple[Tree, Mapping[str, Any]]:
        """The answer to a request: a tree, and words beside it.

        Args:
            ask: what was asked.
            number: of the request.
            timeout: s.
            copy: the arrays are the caller's; else they are good until the next request.

        Raises:
            PeerLost: none in time; the one that comes later will be dropped.
            UserGymError: what the other side said.
        """
        ...

    def forget(self) -> None:
        """Something may have been lost: say every form again."""
        ...

    def close(self) -> None:
        """May be called twice."""
        ...


class NetworkChannel:
    """Through the hub."""

    kind = NETWORK

    def __init__(self, uplink: Uplink, lease: str) -> None:
        self._uplink, self._lease = uplink, lease
        self._writer, self._reader = Writer(), Reader()
        self._inbox: Inbox = SimpleQueue()

    def ask(self, ask: Ask, tree: Tree) -> int:
        """As Channel."""
        block, form = self._writer.write(ask, tree, fresh)
        if len(block) > MOST_BLOCK:
            raise BadOption("bytes of an action", len(block), f"{MOST_BLOCK} over the network")
        words: dict[str, Any] = {"ask": int(ask), "lease": self._lease}
        if form is not None:
            words["form"] = form
        if ask in SILENT:
            self._uplink.send(Message(_ORDER, words, {"block": block}))
            return 0
        return self._uplink.order(lambda number: Message(_ORDER, words, {"block": block}, number), self._inbox)

    def hear(self, ask: Ask, number: int, timeout: float, copy: bool = True) -> tuple[Tree, Mapping[str, Any]]:
        """As Channel."""
        message = self._uplink.wait(number, self._inbox, monotonic() + timeout)
        if "error" in message.words:
            raise faults.heard(message.words["error"])
        block = message.arrays.get("block", _NOTHING)
        # Bytes that came are nobody else's; but they may not be written.
        return self._reader.read(ask, message.words.get("form"), block, copy), message.words

    def forget(self) -> None:
        """As Channel."""
        self._writer.forget()

    def close(self) -> None:
        """As Channel."""


class SharedChannel:
    """To the thread of a robot on this host."""

    kind = SHARED

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._writer, self._reader = Writer(), Reader()
        self._memory: Memory | None = None
        self._block = fresh(0)
        self._number = self.late = 0
        self._lost = ""

    @classmethod
    def reach(cls, door: Any, lease: str) -> SharedChannel:
        """Raises PeerLost: the edge is not on this host, or of another user, or cannot be reached from here."""
        match door:
            case {"name": str() as name, "boot": str() as kernel, "user": int() as user}:
                pass
            case _:
                raise PeerLost("the edge has no door for clients of its host")
        if not kernel or kernel != boot():
            raise PeerLost("the edge is on another host")
        if user != os.geteuid():
            raise PeerLost(f"the edge is of user {user}, and this client of {os.geteuid()}")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_OPENING)
        try:
            connection.connect("\0" + name)
        except (OSError, ValueError) as error:  # such as in another container
            connection.close()
            raise PeerLost(f"the edge's door is not to be reached from here: {error}") from error
        pipe = Pipe(connection)
        try:
            pipe.wait(_OPENING)
            if not pipe.same_user:
                raise PeerLost("behind the edge's door is another user")
            pipe.send(Ask.OPEN, 0, {"lease": lease})
            pipe.receive()
        except (PeerLost, BadBlock) as error:
            pipe.close()
            raise PeerLost(f"the edge's door was not opened: {error}") from error
        return cls(pipe)

    def ask(self, ask: Ask, tree: Tree) -> int:
        """As Channel."""
        self._require()
        block, form = self._writer.write(ask, tree, self._room)
        self._number += 1
        try:
            self._pipe.send(ask, self._number, None if form is None else {"form": form}, block)
        except PeerLost as error:
            raise self._gone(error) from error
        return self._number

    def hear(self, ask: Ask, number: int, timeout: float, copy: bool = True) -> tuple[Tree, Mapping[str, Any]]:
        """As Channel."""
        self._require()
        deadline, left = monotonic() + timeout, timeout
        try:
            while True:
                self._pipe.wait(left)
                parcel = self._pipe.receive()
                if parcel.number == number:
                    break
                if "memory" in parcel.words:
                    self._map(self._pipe.passed_on())
                    continue
                self.late += 1
                left = max(1e-3, deadline - monotonic())
        except PeerLost as error:
            if isinstance(error.__cause__, TimeoutError):
                raise PeerLost(f"no answer within {timeout:.3g} s") from error
            raise self._gone(error) from error
        except BadBlock as error:
            raise self._gone(error) from error
        if "error" in parcel.words:
            raise faults.heard(parcel.words["error"])
        if self._memory is None:
            raise self._gone(BadBlock("answer of an edge", "no memory", "memory with the first answer"))
        return self._reader.read(ask, parcel.words.get("form"), self._memory.block, copy), parcel.words

    def forget(self) -> None:
        """As Channel."""
        self._writer.forget()

    def close(self) -> None:
        """As Channel."""
        self._pipe.close()
        if self._memory is not None:
            self._memory.close()

    def _room(self, nbytes: int) -> np.ndarray:
        """What is written here is sent before the next is."""
        if len(self._block) != nbytes:
            self._block = fresh(nbytes)
        return self._block

    def _require(self) -> None:
        if self._lost:
            raise PeerLost(self._lost)

    def _gone(self, error: Exception) -> PeerLost:
        self._lost = f"the edge's process is gone: {error}"
        self.close()
        return PeerLost(self._lost)

    def _map(self, descriptor: int) -> None:
        if self._memory is not None:
            self._memory.close()
        self._memory = Memory.adopt(descriptor)


def reach(uplink: Uplink, lease: str, door: Any, wanted: str) -> Channel:
    """The best that there is.

    Args:
        uplink: connected.
        lease: of the robot.
        door: what the edge said of its host.
        wanted: NETWORK or SHARED; "auto": SHARED where client and edge share host and user.

    Raises:
        PeerLost: SHARED is wanted, and cannot be had.
    """
    if wanted != NETWORK:
        try:
            return SharedChannel.reach(door, lease)
        except PeerLost:
            if wanted == SHARED:
                raise
    return NetworkChannel(uplink, lease)
