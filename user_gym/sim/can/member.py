"""One member of a bus that a twin serves: how frames are read from its socket and written to it."""

from __future__ import annotations

import errno
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from user_gym.errors import BadOption
from user_gym.robots.wire import can_frame
from user_gym.robots.wire.can_frame import Frame

QUIET = 0.05  # s: a new socketcand client hears nothing before, unless it speaks
_MAX_LINE = 4096  # bytes of one socketcand command
_BUFFER = 1 << 20  # bytes, asked of the kernel for each member


class Member(ABC):
    """One member of a served bus."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        link.setblocking(False)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)

    @abstractmethod
    def frames(self, reject: Callable[[object], None]) -> Iterator[Frame]:
        """What has come, without waiting. Raises OSError where the member has left."""

    @abstractmethod
    def encode(self, frame: Frame) -> bytes:
        """Bytes for `link`; none where this member is not to hear it."""


class PacketMember(Member):
    """A packet is a frame."""

    def frames(self, reject: Callable[[object], None]) -> Iterator[Frame]:
        """Packets that are no frames go to `reject`."""
        receive = self.link.recv
        while True:
            try:
                packet = receive(can_frame.SIZE + 1)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # it left without reading all; what it sent before, a disable perhaps, comes after this
            if not packet:
                raise ConnectionResetError(errno.ECONNRESET, "the member left")
            try:
                yield can_frame.unpack(packet)
            except BadOption as error:
                reject(error)

    def encode(self, frame: Frame) -> bytes:
        """Always 16 bytes."""
        return can_frame.pack(frame)


class LineMember(Member):
    """Speaks the socketcand protocol: text in angle brackets. Only raw mode is offered."""

    def __init__(self, link: socket.socket, channel: str) -> None:
        super().__init__(link)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._channel, self._text = channel, b""
        # python-can takes "< ok >" only alone: frames that TCP joins to it would break its handshake.
        self._raw, self._hears_from = False, 0.0
        link.send(b"< hi >")

    def frames(self, reject: Callable[[object], None]) -> Iterator[Frame]:
        """Lines that say nothing go to `reject`."""
        while True:
            try:
                part = self.link.recv(_MAX_LINE)
            except BlockingIOError:
                return
            if not part:
                raise ConnectionResetError(errno.ECONNRESET, "the member left")
            *lines, self._text = (self._text + part).split(b">")
            if len(self._text) > _MAX_LINE:
                raise ConnectionAbortedError(errno.ECONNABORTED, "a line without end")
            for line in lines:
                yield from self._line(line, reject)

    def _line(self, line: bytes, reject: Callable[[object], None]) -> Iterator[Frame]:
        match line.replace(b"<", b"").split():
            case [b"open", channel]:
                self.link.send(b"< ok >" if channel == self._channel.encode() else b"< error no such bus >")
            case [b"rawmode"]:
                self._raw, self._hears_from = True, time.monotonic() + QUIET
                self.link.send(b"< ok >")
            case [b"echo"]:
                self.link.send(b"< echo >")
            case [b"send", word, size, *data]:
                try:
                    frame = Frame(int(word, 16), bytes(int(b, 16) for b in data), can_frame.EXTENDED if len(word) == 8 else 0)
                    if len(data) != int(size, 16) or len(data) > can_frame.MAX_DATA or len(word) not in (3, 8):
                        raise ValueError("length")
                    can_frame.pack(frame)
                except (ValueError, OverflowError, struct.error) as error:
                    reject(f"{line!r}: {error}")
                    return
                self._hears_from = 0.0
                yield frame
            case _:
                reject(line)

    def encode(self, frame: Frame) -> bytes:
        """A line, once it is in raw mode."""
        if not self._raw or time.monotonic() < self._hears_from:
            return b""
        stamp = time.time()
        if frame.flags & can_frame.ERROR:
            return f"< error {frame.id | frame.flags:03X} {stamp:.6f} >".encode()
        word = f"{frame.id:08X}" if frame.flags & can_frame.EXTENDED else f"{frame.id:03X}"
        return f"< frame {word} {stamp:.6f} {frame.data.hex()} >".encode()
