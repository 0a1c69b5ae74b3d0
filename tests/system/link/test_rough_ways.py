"""Ways that are not a plain connection: a proxy, names that resolve, long silences, and what a whole exchange may not do."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time
from contextlib import suppress
from threading import Thread

import numpy as np
import pytest
from fleet import TIMEOUT, Fleet, episode, wait

from user_gym.system.link.edge.edge import State
from user_gym.system.weights import Broadcaster, Receiver


class Proxy:
    """Speaks HTTP CONNECT, and nothing else; whatever host is asked for, it leads to `target`."""

    def __init__(self, target):
        self.target, self.asked = target, []

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, near):
        with near, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += near.recv(1 << 12)
            self.asked.append(request.split()[1].decode())
            host, port = self.target.split(":")
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = Thread(target=self._carry, args=(far, near), daemon=True)
                back.start()
                self._carry(near, far)
                back.join(5.0)

    def _carry(self, one, other):
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


def test_an_edge_behind_a_proxy_goes_through_http_connect(tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from user_gym.system.link.edge import Edge, Spool\n"
        "with Spool.open(Path(sys.argv[1])) as spool, Edge('hub.invalid:5870', spool, name='e1', insecure=True) as edge:\n"
        "    edge.wait(20.0)\n"
    )
    with Fleet(tmp_path) as fleet, Proxy(fleet.relay.address) as proxy:
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment["https_proxy"] = environment["http_proxy"] = proxy.url
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "spool")], env=environment, timeout=60.0, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert proxy.asked == ["hub.invalid:5870"]
        assert [status.name for status in fleet.hub.edges()] == ["e1"]


def test_an_edge_is_in_again_soon_after_the_network_is(tmp_path):
    """Not at once: an attempt may be under way whose packets the kernel repeats later and later."""
    options = {"patience": 0.5}
    with Fleet(tmp_path, options, options) as fleet:
        edge = fleet.begin_edge()
        for silence in (1.0, 2.5):
            fleet.relay.cut()
            wait(lambda: edge.state is State.DIALLING)
            time.sleep(silence)  # a network that is silent for so long: there is nothing to wait for
            began = time.monotonic()
            fleet.relay.restore()
            wait(lambda: edge.state is State.CONNECTED, 5.0)
            assert time.monotonic() - began < 4.0


def test_nothing_is_unpickled_in_a_whole_exchange(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("something from the network is unpickled")

    published, receiver = Broadcaster(), Receiver("toy", finite=True)
    with Fleet(tmp_path, {"weights": published}) as fleet:
        for name in ("load", "loads", "Unpickler", "_Unpickler"):
            monkeypatch.setattr(pickle, name, forbidden)
        monkeypatch.setattr(np, "load", forbidden)
        edge = fleet.begin_edge(receiver=receiver)
        published.publish({"mean": np.ones(10, np.float32)}, "toy")
        for chunk in episode("e1", "arm", 0, picture=5_000):
            edge.outlet.put(chunk)
        assert edge.flush(TIMEOUT)
        wait(lambda: receiver.held)
        assert fleet.hub.stop(by="me") == {"e1": "stopped"}
        fleet.check("e1/arm", 1)
        assert edge.failure is None
        assert fleet.hub.failure is None


@pytest.mark.slow
def test_half_a_minute_of_silence_loses_nothing(tmp_path):
    with Fleet(tmp_path, rate=2.5e6, delay=0.03) as fleet:
        edge = fleet.begin_edge()
        for number in range(30):
            if number == 5:
                fleet.relay.cut()
            if number == 25:
                time.sleep(25.0)
                fleet.relay.restore()
            for chunk in episode("e1", "arm", number, picture=10_000):
                edge.outlet.put(chunk)
            time.sleep(0.2)
        assert edge.flush(60.0)
        fleet.check("e1/arm", 30)
