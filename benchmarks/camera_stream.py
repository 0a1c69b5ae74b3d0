"""A camera on the network that can be frozen: motion JPEG over HTTP on a loopback address."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import numpy as np

_PERIOD = 0.03  # s between two pictures
_BOUNDARY = "picture"


class Stream:
    """Serves one grey picture again and again, as long as `flowing` is set. `with` opens and closes it."""

    def __init__(self) -> None:
        import cv2

        self.flowing, self._ending = threading.Event(), threading.Event()
        self.flowing.set()
        picture = cv2.imencode(".jpg", np.full((96, 96, 3), 128, np.uint8))[1].tobytes()
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        part = head.encode() + picture + b"\r\n"
        flowing, ending = self.flowing, self._ending

        class Visitor(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
                self.end_headers()
                try:
                    while not ending.wait(_PERIOD):
                        if flowing.is_set():
                            self.wfile.write(part)
                except OSError:  # it hung up
                    return

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Visitor)
        self._thread = threading.Thread(target=self._server.serve_forever, name="camera stream")

    @property
    def camera(self) -> str:
        """Its address, as an environment takes it."""
        return f"opencv:http://127.0.0.1:{self._server.server_address[1]}/stream"

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
