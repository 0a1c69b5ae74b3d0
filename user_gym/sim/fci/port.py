"""One TCP port of a control box: visitors, one of them its client. It frames messages and knows no call but Connect.

How a real box answers a second client is unknown. This one lets it connect, answers a Connect of another version with its own
version (so a probe disturbs nobody), and hangs up on a second client of its own version, and on bytes that are no message.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator

from user_gym.errors import BadOption
from user_gym.robots.wire.fci import ACCEPTED, CONNECT_REQUEST, CONNECT_VERSION, MAX_MESSAGE, OTHER_VERSION, Port

STRANGERS = 16  # visitors that have not said who they are; the oldest has to go
_PATIENCE = 1.0  # s that a visitor may take to accept a reply
_CONNECT = 0
_log = logging.getLogger(__name__)
Request = tuple[int, int, bytes]  # command, command_id, payload


class Visitor:
    """A TCP connection, and what has arrived of its next message."""

    def __init__(self, link: socket.socket, port: Port) -> None:
        self.link, self._port, self._bytes = link, port, bytearray()
        self.peer = link.getpeername()[0]

    def requests(self) -> Iterator[Request]:
        """Read what there is. Raises ConnectionError at the end of the stream or for bytes that are no message."""
        part = self.link.recv(65536)
        if not part:
            raise ConnectionError("hung up")
        self._bytes += part
        while (header := self._port.read(self._bytes)) is not None:
            if not self._port.header.size <= header.size <= MAX_MESSAGE:
                raise ConnectionError(f"a message of {header.size} bytes")
            if len(self._bytes) < header.size:
                return
            payload = bytes(self._bytes[self._port.header.size : header.size])
            del self._bytes[: header.size]
            yield header.command, header.command_id, payload


class ClientPort:
    """Listens, and serves one client at a time. All methods are for the twin's own thread.

    Args:
        address: IP address.
        number: of the TCP port.
        port: its framing.
        version: of the server.
        serve: called with each request of the client. Raises ConnectionError for one that is none.
        arrive: called with the address of a new client's UDP socket.
        leave: called when the client is gone.
    """

    def __init__(
        self,
        address: str,
        number: int,
        port: Port,
        version: int,
        serve: Callable[[Request], None],
        arrive: Callable[[tuple[str, int]], None],
        leave: Callable[[], None],
    ) -> None:
        self._place, self._port, self._version = (address, number), port, version
        self._serve, self._arrive, self._leave = serve, arrive, leave
        self._listener: socket.socket | None = None
        self._strangers: list[Visitor] = []
        self.client: Visitor | None = None
        self.udp: socket.socket | None = None

    def open(self) -> None:
        """Listen. Raises BadOption where the port is taken or the address is not this machine's."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._place)
            listener.listen()
            udp.bind((self._place[0], 0))
        except OSError as error:
            listener.close()
            udp.close()
            place = "{}:{}".format(*self._place)
            raise BadOption(
                "address", place, f"one of this machine with a free port {self._place[1]} ({error})",
                "another loopback address such as 127.0.0.78, or end what listens there",
            ) from error  # fmt: skip
        udp.setblocking(False)
        self._listener, self.udp = listener, udp

    @property
    def sockets(self) -> list[socket.socket]:
        """Whatever may become readable, but for the UDP socket."""
        links = [visitor.link for visitor in (*self._strangers, self.client) if visitor is not None]
        return links if self._listener is None else [self._listener, *links]

    def handle(self, ready: list[socket.socket]) -> None:
        """Serve those sockets that are readable."""
        if self._listener in ready:
            self._accept()
        for visitor in [*self._strangers, *([self.client] if self.client else [])]:
            if visitor.link in ready:
                try:
                    for request in visitor.requests():
                        if visitor is self.client:
                            self._serve(request)
                        else:
                            self._introduce(visitor, request)
                except OSError as error:
                    _log.debug("visitor of %s leaves: %s", self._place, error)
                    self._dismiss(visitor)

    def answer(self, command: int, command_id: int, status: int, rest: bytes = b"") -> None:
        """Reply to the client, if it is still there. Never raises: a client that is gone shows when it is read from."""
        if self.client is None:
            return
        try:
            self.client.link.sendall(self._port.reply(command, command_id, status, rest))
        except OSError as error:
            _log.debug("client of %s takes no reply: %s", self._place, error)

    def datagram(self, data: bytes | bytearray, place: tuple[str, int]) -> None:
        """Send to the client's UDP socket. Never raises: a client that is gone shows when it is read from."""
        if self.udp is None:
            return
        try:
            self.udp.sendto(data, place)
        except OSError as error:
            _log.debug("datagram to %s: %s", place, error)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            link, _ = self._listener.accept()
            link.settimeout(_PATIENCE)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            visitor = Visitor(link, self._port)
        except OSError as error:
            _log.debug("visitor of %s left at once: %s", self._place, error)
            return
        self._strangers.append(visitor)
        if len(self._strangers) > STRANGERS:
            self._dismiss(self._strangers[0])

    def _introduce(self, visitor: Visitor, request: Request) -> None:
        command, command_id, payload = request
        if command != _CONNECT or len(payload) != CONNECT_REQUEST.size:
            raise ConnectionError(f"it begins with command {command} and {len(payload)} bytes")
        version, udp_port = CONNECT_REQUEST.unpack(payload)
        own = CONNECT_VERSION.pack(self._version)
        if version != self._version:
            visitor.link.sendall(self._port.reply(command, command_id, OTHER_VERSION, own))
            raise ConnectionError(f"it speaks version {version}")
        if self.client is not None:
            raise ConnectionError("there is a client already")
        visitor.link.sendall(self._port.reply(command, command_id, ACCEPTED, own))
        self._strangers.remove(visitor)
        self.client = visitor
        self._arrive((visitor.peer, udp_port))

    def _dismiss(self, visitor: Visitor) -> None:
        visitor.link.close()
        if visitor is self.client:
            self.client = None
            self._leave()
        elif visitor in self._strangers:
            self._strangers.remove(visitor)

    def close(self) -> None:
        """Hang up on everybody. May be called twice."""
        for link in self.sockets:
            link.close()
        if self.udp is not None:
            self.udp.close()
        self._listener = self.udp = self.client = None
        self._strangers.clear()
