"""A CAN bus between processes of one machine that needs no kernel module: a Unix socket of packets, one raw frame each.

The other end is whoever serves the path; a CAN twin does, and passes every frame on to all other members, as a bus would.
Installed packages register this class with python-can as the interface "seqpacket", so that foreign programs join with
`can.Bus(interface="seqpacket", channel=PATH)`. Importing this module needs python-can.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any

import can

from user_gym.errors import BadOption
from user_gym.robots.wire import can_frame
from user_gym.robots.wire.can_message import from_message, to_message

SEND_PATIENCE = 1.0  # s that a full socket may stay full where the caller names no limit


class SeqpacketBus(can.BusABC):
    """A member of the bus served at a path.

    Args:
        channel: path of the socket.
        kwargs: what python-can gives to every bus, such as `can_filters`.

    Raises:
        can.CanInitializationError: nobody serves the path.
    """

    def __init__(self, channel: str, **kwargs: Any) -> None:
        self.channel_info = f"seqpacket:{channel}"
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._link.connect(channel)
        except OSError as error:
            self._link.close()
            raise can.CanInitializationError(f"no bus is served at {channel!r}: {error}") from error
        self._link.setblocking(False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._link, select.POLLIN)
        self._writable.register(self._link, select.POLLOUT)
        self._receive = self._link.recv
        super().__init__(channel=channel, **kwargs)

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Put a frame on the bus. Raises CanOperationError where the bus is gone or stays full."""
        packet = can_frame.pack(from_message(msg))
        try:
            try:
                self._link.send(packet)
            except BlockingIOError:
                self._writable.poll(1000 * (SEND_PATIENCE if timeout is None else timeout))
                self._link.send(packet)
        except OSError as error:
            raise can.CanOperationError(f"{self.channel_info} takes no frame: {error}") from error

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        try:
            packet = self._receive(can_frame.SIZE + 1)
        except BlockingIOError:
            if timeout == 0 or not self._readable.poll(None if timeout is None else 1000 * timeout):
                return None, False
            packet = self._again()
        except OSError as error:
            raise can.CanOperationError(f"{self.channel_info} gives no frame: {error}") from error
        if not packet:
            raise can.CanOperationError(f"{self.channel_info} was closed by its other end")
        try:
            frame = can_frame.unpack(packet)
        except BadOption as error:
            raise can.CanOperationError(f"{self.channel_info}: {error}") from error
        return to_message(frame, time.time(), self.channel_info), False

    def _again(self) -> bytes:
        try:
            return self._receive(can_frame.SIZE + 1)
        except OSError as error:
            raise can.CanOperationError(f"{self.channel_info} gives no frame: {error}") from error

    def fileno(self) -> int:
        """Of the socket, for `select`."""
        return self._link.fileno()

    def shutdown(self) -> None:
        """Leave the bus. May be called twice."""
        super().shutdown()
        self._link.close()
