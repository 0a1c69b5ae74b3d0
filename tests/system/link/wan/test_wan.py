"""Two namespaces with a bad network between them, as processes in them see it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from user_gym.errors import Closed
from user_gym.system.link.wan import Line, Wan, obstacle
from user_gym.system.link.wan.wan import CLOUD, ROUTER, SITE

OBSTACLE = obstacle()
pytestmark = pytest.mark.skipif(bool(OBSTACLE), reason=OBSTACLE)

TIMEOUT = 20.0  # s
SLACK = 0.3  # s that a busy machine may add
ECHO = """
import socket, sys
from threading import Thread

def serve(one):
    try:
        while data := one.recv(1 << 16):
            one.sendall(data)
    except OSError:
        pass

listener = socket.create_server(("0.0.0.0", 7000))
print("ready", flush=True)
while True:
    one, address = listener.accept()
    print(address[0], flush=True)
    Thread(target=serve, args=(one,), daemon=True).start()
"""


@pytest.fixture(scope="module")
def usual():
    """One for all tests that leave it as it was; its forwarder takes a second to begin."""
    with Wan(Line(delay=0.02), Line(delay=0.03)) as wan:
        yield wan


class Echo:
    """In the cloud: sends back what comes, and says from where."""

    def __init__(self, place):
        self._process = place.start([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
        assert self.line() == "ready"

    def line(self):
        return self._process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()


def dialled(place, address=CLOUD, port=7000):
    return place.within(lambda: socket.create_connection((address, port), TIMEOUT))


def exchanged(one, data):
    """s until all of it is back."""
    began = time.monotonic()
    one.sendall(data)
    left = len(data)
    while left:
        left -= len(one.recv(1 << 16))
    return time.monotonic() - began


def test_the_delay_is_that_of_both_ways_and_the_cloud_sees_the_router(usual):
    with Echo(usual.cloud) as echo, dialled(usual.site) as one:
        assert echo.line() == ROUTER
        trips = [exchanged(one, b"x") for _ in range(5)]
        assert min(trips) >= 0.05
        assert min(trips) < 0.05 + SLACK
        assert usual.carried[0].carried > 0


def test_without_nat_each_sees_the_other():
    with Wan(Line(), nat=False) as wan, Echo(wan.cloud) as echo, dialled(wan.site):
        assert echo.line() == SITE


def test_nobody_comes_in_from_the_cloud(usual):
    with usual.site.within(lambda: socket.create_server(("0.0.0.0", 7000))):
        for address in (SITE, ROUTER):
            with pytest.raises(OSError):
                usual.cloud.within(lambda address=address: socket.create_connection((address, 7000), 0.3))


def test_a_rate_is_kept_with_the_queue_of_a_router():
    with Wan(Line(rate=1e6), Line()) as wan, Echo(wan.cloud), dialled(wan.site) as one:
        assert exchanged(one, bytes(300_000)) >= 0.2  # the queue before the line took up to 0.1 s of it at once


def test_tcp_comes_through_loss():
    with Wan(Line(loss=0.05, seed=1)) as wan, Echo(wan.cloud), dialled(wan.site) as one:
        exchanged(one, bytes(50_000))
        up, down = wan.carried
        assert up.lost + down.lost > 0


def test_after_an_outage_the_connection_goes_on(usual):
    with Echo(usual.cloud), dialled(usual.site) as one:
        exchanged(one, b"before")
        usual.cut()
        one.sendall(b"meanwhile")
        one.settimeout(0.2)
        with pytest.raises(TimeoutError):
            one.recv(1)
        usual.restore()
        one.settimeout(TIMEOUT)
        assert one.recv(100) == b"meanwhile"


def test_a_router_that_was_restarted_ends_connections_and_new_ones_work(usual):
    with Echo(usual.cloud), dialled(usual.site) as one:
        exchanged(one, b"before")
        usual.forget()
        one.sendall(b"lost")
        with pytest.raises(ConnectionResetError):
            one.recv(1)  # the cloud knows nothing of a connection from that port
        with dialled(usual.site) as two:
            exchanged(two, b"after")


def test_a_closed_one_says_so_and_closes_twice():
    wan = Wan(Line())
    with pytest.raises(Closed):
        wan.cut()
    wan.open()
    wan.close()
    wan.close()
    with pytest.raises(Closed):
        wan.cut()
