"""Which weights one edge has, which are on their way to it, and which it does not take."""

from __future__ import annotations

import hashlib
import time

import numpy as np

from user_gym.errors import BadBlock
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import FROM_HUB, Lane
from user_gym.system.link.wire.message import Message
from user_gym.system.weights import Held, LinkRate

_MOST = FROM_HUB[Lane.WEIGHTS] - (1 << 12)  # bytes of a blob, in a message with its words
_HEAD = 80  # bytes of a blob that hold the CRCs of all others: docs/weights.md


class Delivery:
    """`wants`, `held`, `rate` and `begin` belong to the feed's thread, all else to the loop's.

    Attributes:
        version: that the edge has; -1: none.
        complaint: why it did not take the last ones; "" where it did.
        rate: of the link to it.
    """

    def __init__(self) -> None:
        self.version, self.complaint, self.rate = -1, "", LinkRate()
        self.held: Held | None = None
        self._wants = self._busy = False
        self._refused = b""  # transfer that it will not take
        self._begun = time.monotonic()
        self._nbytes = 0

    @property
    def wants(self) -> bool:
        """Whether it can be sent newer ones now."""
        return self._wants and not self._busy

    def connected(self, hello: Message) -> None:
        """The edge says what it has. Raises BadBlock."""
        self._wants, self._busy, self._refused = words.flag(hello, "weights"), False, b""
        self.held = _held(hello)
        self.version = -1 if self.held is None else self.held.version

    def disconnected(self) -> None:
        """Nothing can be sent."""
        self._wants = False

    def begin(self, blob: bytes) -> tuple[Message, bytes] | None:
        """The message that brings a blob, and its transfer; None: it was refused before."""
        transfer = hashlib.blake2b(blob[:_HEAD], digest_size=16).digest()
        if len(blob) > _MOST:
            self._wants, self.complaint = False, f"weights of {len(blob)} bytes are not sent; allowed: {_MOST}"
            return None
        if transfer == self._refused:
            return None
        self._busy, self._begun, self._nbytes = True, time.monotonic(), len(blob)
        return Message(Kind.WEIGHTS, {"transfer": transfer.hex()}, {"blob": np.frombuffer(blob, np.uint8)}), transfer

    def held_now(self, message: Message) -> None:
        """The edge says what became of a blob. Raises BadBlock."""
        self.complaint = words.text(message, "refused")
        if self.complaint:
            # What was a difference to something else is asked for anew; what is no good stays so.
            self._refused = b"" if words.flag(message, "again") else _transfer(message)
            self._wants = not words.flag(message, "never")
        elif self._busy:
            self.rate.measure(self._nbytes, time.monotonic() - self._begun)
        self.held = _held(message)
        self.version = -1 if self.held is None else self.held.version
        self._busy = False


def _transfer(message: Message) -> bytes:
    said = words.text(message, "transfer", 32)
    try:
        return bytes.fromhex(said)
    except ValueError as error:
        raise BadBlock("'transfer' of an edge", said, "what the hub called it, in hexadecimal") from error


def _held(message: Message) -> Held | None:
    match message.words.get("held"):
        case None:
            return None
        case [str() as lineage, int() as version] if len(lineage) == 32 and version >= 0:
            try:
                return Held(bytes.fromhex(lineage), version)
            except ValueError:
                pass
    raise BadBlock("'held' of an edge", message.words.get("held"), "null, or [lineage in hexadecimal, version]")
