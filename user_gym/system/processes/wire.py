"""Messages between processes of a run: words of JSON and raw bytes, over a Unix socket. It knows no message by name.

    "UGM1" | bytes of words, u32 | bytes of data, u64 | words | data

What comes is checked before memory is taken for it. Nothing in a message is ever run.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, NamedTuple

from user_gym.errors import BadBlock, PeerLost

_HEAD = struct.Struct("!4sIQ")
_MAGIC = b"UGM1"
MOST_WORDS, MOST_DATA = 1 << 20, 1 << 30  # bytes


class Message(NamedTuple):
    """What one side says."""

    words: dict[str, Any]
    data: bytes | bytearray = b""


def send(connection: socket.socket, words: dict[str, Any], data: bytes = b"") -> None:
    """Send a message. Raises PeerLost, after which the connection is of no use."""
    text = json.dumps(words).encode()
    try:
        connection.sendall(_HEAD.pack(_MAGIC, len(text), len(data)) + text)
        if data:
            connection.sendall(data)
    except OSError as error:
        raise PeerLost(f"the other side does not take a message of {len(text) + len(data)} bytes: {error}") from error


def receive(connection: socket.socket, most_data: int = MOST_DATA) -> Message:
    """The next message. Raises PeerLost, and BadBlock where it is none; after either the connection is of no use."""
    magic, words, data = _HEAD.unpack(_exactly(connection, _HEAD.size))
    if magic != _MAGIC:
        raise BadBlock("first bytes of a message", magic, repr(_MAGIC))
    if words > MOST_WORDS or data > most_data:
        raise BadBlock("size of a message", (words, data), f"{MOST_WORDS} bytes of words and {most_data} of data at most")
    try:
        read = json.loads(_exactly(connection, words))
    except ValueError as error:
        raise BadBlock("words of a message", str(error), "JSON") from error
    if not isinstance(read, dict):
        raise BadBlock("words of a message", type(read).__name__, "a table")
    return Message(read, _exactly(connection, data))


def _exactly(connection: socket.socket, size: int) -> bytearray:
    into = bytearray(size)
    view, got = memoryview(into), 0
    while got < size:
        try:
            n = connection.recv_into(view[got:])
        except OSError as error:
            raise PeerLost(f"no answer: {error}") from error
        if n == 0:
            raise PeerLost(f"the other side has closed the connection, after {got} of {size} bytes")
        got += n
    return into
