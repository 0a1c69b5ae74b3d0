"""`GET /metrics` for Prometheus, in a thread of its own. It serves the newest record, nothing else, and changes nothing.

One request at a time, each bounded in bytes and in seconds: who sends slowly keeps others waiting for at most `_PATIENCE`.
"""

from __future__ import annotations

import io
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer
from threading import Thread
from typing import Any

from user_gym.core import whole
from user_gym.errors import BadOption, Busy
from user_gym.system.metrics import exposition
from user_gym.system.metrics.record import RunRecord

_LONGEST = 8192  # bytes of a request; Prometheus sends about 300
_PATIENCE = 1.0  # s for a request to arrive, and again for its answer to leave


class Endpoint:
    """A `Sink`: http://host:port/metrics.

    Args:
        port: 0: a free one; see `url`.
        host: address to listen at. Figures of a run are no secret of weight, but whoever reaches this address reads them.
        period: s between two records; a scrape is answered with the newest.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", period: float = 1.0) -> None:
        if whole("metrics port", port, 0, "0 .. 65535; 0: a free one") > 65535:
            raise BadOption("metrics port", port, "0 .. 65535; 0: a free one")
        self.period = period
        self._address = (host, port)
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Where it is, once it is open."""
        host, port = self._address if self._server is None else self._server.server_address[:2]
        return f"http://{host}:{port}/metrics"

    def open(self) -> None:
        """Listen. Raises Busy where the port is taken."""
        if self._server is not None:
            return
        try:
            self._server = _Server(self._address, _Handler)
        except OSError as error:
            raise Busy(f"{self.url} cannot be served: {error}; choose another metrics port, or 0 for a free one") from error
        self._thread = Thread(target=self._server.serve_forever, args=(0.25,), name="metrics", daemon=True)
        self._thread.start()

    def write(self, record: RunRecord) -> None:
        """Serve this record from now on."""
        assert self._server is not None
        self._server.record = record

    def close(self) -> None:
        """As `Sink.close`."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self._thread.join(2 * _PATIENCE + 1.0)
            server.server_close()


class _Server(HTTPServer):
    record: RunRecord | None = None

    def server_bind(self) -> None:
        """As TCPServer's; HTTPServer would ask DNS for a name that nobody needs."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event of the run."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "user-gym", ""
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BytesIO(_head(self.connection))
        self.connection.settimeout(_PATIENCE)  # of all of an answer: sendall counts it once

    def do_GET(self) -> None:
        """Answer a scrape."""
        assert isinstance(self.server, _Server)
        record = self.server.record
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "only /metrics is here")
        elif record is None:
            self.send_error(503, "no record yet")
        else:
            body = exposition.text(record)
            self.send_response(200)
            self.send_header("Content-Type", exposition.CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A scrape is no event of the run."""


def _head(connection: socket.socket) -> bytes:
    """The request up to its empty line. Nothing if it does not come whole in time: there is no answer then."""
    due, head = time.monotonic() + _PATIENCE, b""
    while b"\r\n\r\n" not in head:
        left = due - time.monotonic()
        if left <= 0 or len(head) >= _LONGEST:
            return b""
        connection.settimeout(left)
        try:
            more = connection.recv(_LONGEST - len(head))
        except TimeoutError:
            return b""
        if not more:
            return b""
        head += more
    return head
