"""Messages between two processes of one host and user: a Unix socket without a file, and descriptors after a message.

    bytes that follow, u32 | ask or status, u8 | 0, 3 bytes | number, u64 | bytes of words, u32 | words | block

Words are JSON, and mostly empty. A block is the values of a `Form`. It knows no environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from user_gym.errors import BadBlock, PeerLost

_HEAD = struct.Struct("<IB3xQI")
_MOST = 1 << 26  # bytes of a message: those of larger observations lie in shared memory
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_ROOM = 1 << 12  # bytes asked for where it is not known how many will come
_NO_WORDS: Mapping[str, Any] = {}
_TIME = struct.Struct("ll")  # s, us: timeval of SO_RCVTIMEO, SO_SNDTIMEO


class Parcel(NamedTuple):
    """One message."""

    sort: int
    number: int
    words: Mapping[str, Any]
    block: bytes


class Pipe:
    """One end. One thread sends and receives.

    Args:
        connection: a connected stream socket; this object's from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(True)  # the kernel counts the time: one system call less for each message
        self._connection = connection
        self._timeout = 0.0  # s; 0: no limit
        self._left = b""

    @property
    def same_user(self) -> bool:
        """Whether the process at the other end is of the user of this one."""
        found = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return _CREDENTIALS.unpack(found)[1] == os.geteuid()

    def fileno(self) -> int:
        """Readable when something has come, and nothing waits in this object after each `receive`."""
        return self._connection.fileno()

    def wait(self, timeout: float) -> None:
        """How long a call may take from now on, s."""
        if timeout != self._timeout:
            self._timeout = timeout
            value = _TIME.pack(int(timeout), max(1, int(timeout % 1 * 1e6)))
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self._connection.setsockopt(socket.SOL_SOCKET, option, value)

    def send(self, sort: int, number: int, words: dict[str, Any] | None = None, block: Any = b"") -> None:
        """Send one. Raises PeerLost, after which this end is of no use."""
        text = json.dumps(words, separators=(",", ":")).encode() if words else b""
        head = _HEAD.pack(_HEAD.size - 4 + len(text) + len(block), sort, number, len(text))
        try:
            self._connection.sendall(b"".join((head, text, block)))
        except OSError as error:
            raise PeerLost(f"the other side takes no message: {error}") from error

    def pass_on(self, descriptor: int) -> None:
        """Let the other side have a descriptor, once it has said that it waits for it: with other bytes it could be lost.

        Raises:
            PeerLost: it is gone.
            BadBlock: it says something else.
        """
        self.send(0, 0, {"memory": True})
        if self.receive().sort:
            raise BadBlock("what follows an announcement", "an order", "that the descriptor is waited for")
        try:
            socket.send_fds(self._connection, [b"!"], [descriptor])
        except OSError as error:
            raise PeerLost(f"the other side takes no descriptor: {error}") from error

    def receive(self) -> Parcel:
        """The next one.

        Raises:
            PeerLost: the other side is gone, or nothing came in time; what came so far is kept for the next call.
            BadBlock: the other side breaks the rules.
        """
        data = self._left
        try:
            while len(data) < (total := _total(data)):
                more = self._connection.recv(max(_ROOM, total - len(data)))
                if not more:
                    raise PeerLost("the other side has closed its end")
                data = data + more if data else more
        except BlockingIOError:
            self._left = data
            raise PeerLost("nothing came in time") from TimeoutError()
        except OSError as error:
            raise PeerLost(f"the other side is gone: {error}") from error
        self._left = data[total:]
        _, sort, number, length = _HEAD.unpack_from(data)
        if not length:
            return Parcel(sort, number, _NO_WORDS, data[_HEAD.size : total])
        begin = _HEAD.size + length
        if begin > total:
            raise BadBlock("bytes of words", length, f"{total - _HEAD.size} at most")
        return Parcel(sort, number, _words(data[_HEAD.size : begin]), data[begin:total])

    def passed_on(self) -> int:
        """The descriptor that a message announced; the caller's. Raises PeerLost, and BadBlock where there is none."""
        self.send(0, 0)
        try:
            _, descriptors, _, _ = socket.recv_fds(self._connection, 1, 1)
        except OSError as error:
            raise PeerLost(f"the other side is gone: {error}") from error
        if not descriptors:
            raise BadBlock("what follows a message", "no descriptor", "the one that it announced")
        return descriptors[0]

    @property
    def waiting(self) -> bool:
        """Whether bytes of a further message are here already."""
        return bool(self._left)

    def close(self) -> None:
        """May be called twice; the other side notices."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _words(text: bytes) -> dict[str, Any]:
    try:
        words = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadBlock("words of a message", str(error), "JSON") from error
    if not isinstance(words, dict):
        raise BadBlock("words of a message", type(words).__name__, "an object")
    return words


def _total(data: bytes) -> int:
    """Bytes that the message beginning there has at least; all, once its head is there. Raises BadBlock."""
    if len(data) < _HEAD.size:
        return _HEAD.size
    total = 4 + int.from_bytes(data[:4], "little")
    if not _HEAD.size <= total <= _MOST:
        raise BadBlock("bytes of a message", total, f"{_HEAD.size}..{_MOST}")
    return total
