"""An HTTP server in a thread of its own, from `open` to `close`: what a run shows to browsers and scrapers, and asks of people.

A subclass says who answers (`handler`), and whether requests are answered beside each other (`server`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from types import MappingProxyType
from typing import Any, ClassVar

from user_gym.core import whole
from user_gym.errors import BadOption, Busy

PATIENCE = 1.0  # s that a client may be silent within a request
_GLANCE = 0.1  # s; the longest that `close` goes unnoticed
_PORTS = "0 .. 65535; 0: a free one"


class Server(HTTPServer):
    """Answers one request after the other.

    Attributes:
        site: what its handlers answer for.
    """

    site: Any

    def server_bind(self) -> None:
        """As TCPServer's; HTTPServer would ask DNS for a name that nobody needs."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event of the run."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class ThreadedServer(ThreadingMixIn, Server):
    """Answers each connection in a thread of its own."""

    daemon_threads, block_on_close = True, False


class Handler(BaseHTTPRequestHandler):
    """Answers a request for a site; errors are plain text, and nothing is logged."""

    server_version, sys_version = "user-gym", ""
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def answer(self, kind: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """Send 200, a body of this content type, and further headers."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A request is no event of the run."""


class Site:
    """What is served.

    Args:
        port: 0: a free one; see `url`.
        host: address to listen at.

    Raises:
        BadOption: no such port.
    """

    name: ClassVar[str]  # what a bad port is said to be of
    path: ClassVar[str] = ""  # of `url`
    handler: ClassVar[type[Handler]]
    server: ClassVar[type[Server]] = Server

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        if whole(f"{self.name} port", port, 0, _PORTS) > 65535:
            raise BadOption(f"{self.name} port", port, _PORTS)
        self._address = (host, port)
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it is, once it is open."""
        host, port = self._address if self._server is None else self._server.server_address[:2]
        return f"http://{host}:{port}{self.path}"

    def open(self) -> None:
        """Listen. Raises Busy where the port is taken."""
        if self._server is not None:
            return
        try:
            self._server = self.server(self._address, self.handler)
        except OSError as error:
            raise Busy(f"{self.url} cannot be served: {error}; choose another {self.name} port, or 0 for a free one") from error
        self._server.site = self
        self._thread = Thread(target=self._server.serve_forever, args=(_GLANCE,), name=self.name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more. May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self._thread.join(2 * PATIENCE + 1.0)
            server.server_close()
