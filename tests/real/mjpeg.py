"""A camera on the network: motion JPEG over HTTP on a loopback address, which can be cut off and come back."""

import itertools
import os
import socket
import threading

import numpy as np

COUNT = itertools.count()
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


class Stream:
    """Frames 96 x 64: a grey ramp with a bright column that moves on. A connection gets a frame every 20 ms."""

    def __init__(self):
        pid, n = os.getpid(), next(COUNT)
        self.host, self.port = f"127.{64 + n % 64}.{pid >> 8 & 255}.{pid & 255}", 0
        self.stop = threading.Event()
        self.threads = []
        self.plug()

    @property
    def url(self):
        return f"http://{self.host}:{self.port}/stream"

    def plug(self):
        self.stop = threading.Event()
        self.listener = socket.create_server((self.host, self.port))
        self.port = self.listener.getsockname()[1]
        self.listener.settimeout(0.05)
        self.threads = [threading.Thread(target=self._accept, name="stream")]
        self.threads[0].start()

    def unplug(self):
        self.stop.set()
        while self.threads:
            self.threads.pop().join(10)
        self.listener.close()

    def _accept(self):
        served = []
        while not self.stop.is_set():
            try:
                link, _ = self.listener.accept()
            except TimeoutError:
                continue
            served.append(threading.Thread(target=self._serve, args=(link,), name="stream of one"))
            served[-1].start()
        for thread in served:
            thread.join(10)

    def _serve(self, link):
        import cv2

        with link:
            try:
                link.recv(4096)
                link.sendall(HEAD)
                for n in itertools.count():
                    jpeg = cv2.imencode(".jpg", scene(n)[..., ::-1])[1].tobytes()
                    link.sendall(
                        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n"
                    )
                    if self.stop.wait(0.02):
                        return
            except OSError:
                return


def scene(n):
    """Frame (64, 96, 3) number n: red grows downward, blue stays 40, a green column wanders to the right."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[..., 0] = np.linspace(30, 220, 64)[:, None]
    image[..., 2] = 40
    left = 4 * n % 96
    image[:, left : left + 12, 1] = 200
    return image
