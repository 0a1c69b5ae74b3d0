"""The side door of a protocol twin: what a simulator can give and no real robot has. The client, and the bytes.

A driver never comes here. The door is reached through three seams only: the clock (advance a gated twin), a camera (pictures)
and the scene (where objects are, and where they shall be); tests inject faults through it. One message is two u32, the lengths
of a JSON header and of raw bytes, then both; each request has one reply. Nothing that arrives is executed or opened.
"""

from __future__ import annotations

import json
import socket
import struct
from math import isfinite
from typing import Any, NamedTuple

from user_gym.errors import BadOption, Closed, LinkLost, RobotFault

PORT = 1339  # on the address of a Franka twin, beside 1337 and 1338
MAX_HEADER, MAX_BODY = 1 << 16, 1 << 26  # bytes
_LENGTHS = struct.Struct("<II")


class TooLarge(ConnectionError):
    """The lengths of a message are beyond what is allowed."""


class Unreadable(ConnectionError):
    """A message came whole, but its header means nothing; the next one may be better."""


class Message(NamedTuple):
    """A request or a reply."""

    header: dict[str, Any]
    body: bytes = b""


def send(link: socket.socket, message: Message) -> None:
    """Write one message."""
    header = json.dumps(message.header).encode()
    link.sendall(_LENGTHS.pack(len(header), len(message.body)) + header + message.body)


def receive(link: socket.socket) -> Message:
    """Read one message.

    Raises:
        TooLarge: it would be larger than is allowed; nothing sensible can follow.
        Unreadable: its header is no JSON object of finite numbers, or nested too deeply.
        ConnectionError: the end of the stream.
    """
    header_size, body_size = _LENGTHS.unpack(_exactly(link, _LENGTHS.size))
    if header_size > MAX_HEADER or body_size > MAX_BODY:
        raise TooLarge(f"message of {header_size} + {body_size} bytes; allowed: {MAX_HEADER} + {MAX_BODY}")
    text, body = _exactly(link, header_size), _exactly(link, body_size)
    try:
        header = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"message whose header is no JSON that is understood here: {error}") from error
    if not isinstance(header, dict):
        raise Unreadable(f"message whose header is a {type(header).__name__}; allowed: an object")
    return Message(header, body)


def _refuse(word: str) -> float:
    raise ValueError(f"{word}; allowed: finite numbers")


def _finite(word: str) -> float:
    number = float(word)
    return number if isfinite(number) else _refuse(word)


def _exactly(link: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = link.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise ConnectionError("the other end closed the connection")
        parts += part
    return bytes(parts)


def endpoint(address: str) -> tuple[int, Any]:
    """Family and socket address of "host:port" or "unix:/path". Raises BadOption."""
    if address.startswith("unix:") and len(address) > len("unix:"):
        return socket.AF_UNIX, address.removeprefix("unix:")
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 <= int(port) < 65536):
        raise BadOption("side address", address, "'host:port' or 'unix:/path'")
    return socket.AF_INET, (host, int(port))


class Side:
    """A connection to a twin's side door. One thread at a time; `close` may be called twice.

    Where the twin was lost, the next question looks for it again: one that was started anew knows nothing of before.

    Args:
        address: "host:port" or "unix:/path".
        timeout: s, for a reply.
    """

    def __init__(self, address: str, timeout: float = 10.0) -> None:
        self.address, self.timeout = address, timeout
        self._endpoint = endpoint(address)
        self._link: socket.socket | None = None
        self._lost = False  # it was connected, and is not any more

    @property
    def lost(self) -> bool:
        """Whether there was a twin that has gone since: its answer to the last question did not come, or it hung up."""
        if self._link is None:
            return self._lost
        try:
            self._link.settimeout(0.0)
            return self._link.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def connect(self) -> None:
        """Open it; a second call does nothing. Raises LinkLost."""
        if self._link is not None:
            return
        family, place = self._endpoint
        link = socket.socket(family, socket.SOCK_STREAM)
        try:
            link.settimeout(self.timeout)
            link.connect(place)
            if family == socket.AF_INET:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            link.close()
            raise LinkLost(f"no twin answers at side address {self.address!r}: {error}; start one: user-gym twin") from error
        self._link, self._lost = link, False

    def ask(self, op: str, body: bytes = b"", **arguments: Any) -> Message:
        """One request and its reply.

        Raises:
            RobotFault: the twin refused; its own words.
            LinkLost: no reply, or none in time.
            Closed: not connected.
        """
        if self.lost:  # nothing of this question has been asked
            self._hang_up()
            self._lost = True  # also where it is not there yet
            self.connect()
        if self._link is None:
            raise Closed(f"side {self.address!r} is not connected; call connect()")
        try:
            self._link.settimeout(self.timeout)
            send(self._link, Message({"op": op, **arguments}, body))
            reply = receive(self._link)
        except OSError as error:
            self._hang_up()  # a late reply would be taken for the next one's
            self._lost = True
            raise LinkLost(f"twin at side address {self.address!r} does not answer {op!r}: {error}") from error
        if "error" in reply.header:
            raise RobotFault(f"twin at {self.address!r} refuses {op!r}: {reply.header['error']}")
        return reply

    def close(self) -> None:
        """Hang up."""
        self._lost = False
        self._hang_up()

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
