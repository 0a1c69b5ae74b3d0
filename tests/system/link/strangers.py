"""A side of a connection that says whatever a test wants, and blocks whose sums are right and whose words are not."""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from user_gym.system.buffer.prefix import HEAD, LIGHT_LZ4, padded
from user_gym.system.link.stream import transport
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.stream.greeting import hear, say
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import PROTOCOL, Kind
from user_gym.system.link.wire.lanes import FROM_HUB
from user_gym.system.link.wire.message import Message

TIMEOUT = 20.0  # s
_GLANCE = 0.005  # s


class Stranger:
    """In a hub without a folder, under a name of its own.

    Attributes:
        came: what the hub has sent.
        ended: how the connection ended; None: it did not.
    """

    def __init__(self, port: int, name: str = "evil", **hello: Any) -> None:
        said = {"protocol": PROTOCOL, "name": name, "host": "h", "operator": False, "sources": [f"{name}/arm"]}
        self._words = {**said, "torn": {}, "weights": False, "held": None, **hello}
        self.came: list[Message] = []
        self.ended: BaseException | str | None = None
        self._connection: Connection | None = None
        self._address = f"127.0.0.1:{port}"

    def __enter__(self) -> Stranger:
        self._loop = Loop.borrow()
        self._running = self._loop.start(self._visit())
        self.wait(lambda: self._connection is not None or self.ended is not None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._loop.soon(self._connection.close)
        self._running.result(TIMEOUT)
        self._loop.give_back()

    def send(self, message: Message | Said) -> None:
        assert self._connection is not None
        self._loop.soon(self._connection.send, message)

    def bring(self, block: bytes) -> Mapping[str, Any]:
        """A block; the hub's words on it, none where it ends the connection."""
        self.send(Message(Kind.BLOCK, {}, {"block": np.frombuffer(block, np.uint8)}))
        self.wait(lambda: self.of(Kind.STORED) or self.ended)
        return next((message.words for message in self.of(Kind.STORED)), {})

    def of(self, kind: Kind) -> list[Message]:
        return [message for message in self.came if message.kind is kind]

    def wait(self, ready: Any) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not ready():
            assert time.monotonic() < deadline, f"not so after {TIMEOUT} s; ended: {self.ended!r}"
            time.sleep(_GLANCE)

    async def _visit(self) -> None:
        stream = await transport.dial(self._address, None)
        try:
            await say(stream, Message(Kind.HELLO, self._words))
            await hear(stream)
            connection = Connection(stream, Assembly(FROM_HUB), self._deliver)
            self._connection = connection
            await connection.run()
            self.ended = "closed"
        except Exception as error:  # a test looks at it
            self.ended = error
        finally:
            await stream.close()

    async def _deliver(self, message: Message) -> None:
        self.came.append(message)


class Said:
    """A message of these very words, also such as no `Message` would write."""

    def __init__(self, kind: Kind, text: bytes) -> None:
        self.kind, self._text = kind, text

    def pack(self) -> list[bytes]:
        text = b"[" + self._text + b",[]]"
        return [struct.pack("<4sB3xI4xQ", b"UGL1", self.kind, len(text), 0), text, bytes(-len(text) % 8)]


def forged(
    block: bytes,
    *,
    meta: dict[str, Any] | None = None,
    layout: bytes | None = None,
    light: bytes | None = None,
    pressed: bool = False,
    steps: int | None = None,
) -> bytes:
    """A block without pictures, with other parts, every sum of it right."""
    magic, version, flags, before, _, *lengths, _, wall, offset, spare, _ = HEAD.unpack_from(block)
    at, parts = HEAD.size, []
    for length in lengths:
        parts.append(block[at : at + length])
        at += padded(length)
    if meta is not None:
        parts[0] = json.dumps({**json.loads(parts[0]), **meta}).encode()
    parts[1] = parts[1] if layout is None else layout
    if light is not None:
        parts[3], flags = light, flags & ~LIGHT_LZ4 | LIGHT_LZ4 * pressed
    count: int = before if steps is None else steps
    body = b"".join(part + bytes(padded(len(part)) - len(part)) for part in parts)
    size = HEAD.size + len(body)
    head = HEAD.pack(magic, version, flags, count, count + 1, *map(len, parts), size, wall, offset, spare, 0)
    return head[:-4] + zlib.crc32(body, zlib.crc32(head[:-4])).to_bytes(4, "little") + body


def text_of_layout(block: bytes) -> bytes:
    """JSON."""
    lengths = HEAD.unpack_from(block)[5:7]
    begin = HEAD.size + padded(lengths[0])
    return block[begin : begin + lengths[1]]
