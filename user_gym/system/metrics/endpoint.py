"""`GET /metrics` for Prometheus, in a thread of its own. It serves the newest record, nothing else, and changes nothing.

One request at a time, each bounded in bytes and in seconds: who sends slowly keeps others waiting for at most `PATIENCE`.
"""

from __future__ import annotations

import io
import socket
import time

from user_gym.system.metrics import exposition
from user_gym.system.metrics.record import RunRecord
from user_gym.web import PATIENCE, Handler, Server, Site

_LONGEST = 8192  # bytes of a request; Prometheus sends about 300


class _Handler(Handler):
    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BytesIO(_head(self.connection))
        self.connection.settimeout(PATIENCE)  # of all of an answer: sendall counts it once

    def do_GET(self) -> None:
        """Answer a scrape."""
        assert isinstance(self.server, Server)
        record = self.server.site.record
        if self.path.partition("?")[0] != Endpoint.path:
            self.send_error(404, f"only {Endpoint.path} is here")
        elif record is None:
            self.send_error(503, "no record yet")
        else:
            self.answer(exposition.CONTENT_TYPE, exposition.text(record))


class Endpoint(Site):
    """A `Sink`: http://host:port/metrics.

    Args:
        port: 0: a free one; see `url`.
        host: address to listen at. Figures of a run are no secret of weight, but whoever reaches this address reads them.
        period: s between two records; a scrape is answered with the newest.

    Raises:
        BadOption: no such port.
    """

    name, path, handler = "metrics", "/metrics", _Handler

    def __init__(self, port: int, host: str = "127.0.0.1", period: float = 1.0) -> None:
        super().__init__(port, host)
        self.period = period
        self.record: RunRecord | None = None

    def write(self, record: RunRecord) -> None:
        """Serve this record from now on."""
        self.record = record

    def close(self) -> None:
        """As `Sink.close`."""
        super().close()
        self.record = None


def _head(connection: socket.socket) -> bytes:
    """The request up to its empty line. Nothing if it does not come whole in time: there is no answer then."""
    due, head = time.monotonic() + PATIENCE, b""
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
