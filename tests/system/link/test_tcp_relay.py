"""A bad network in user space, measured with plain sockets."""

from __future__ import annotations

import gc
import socket
import struct
import time
from contextlib import ExitStack
from threading import Thread

import pytest

from user_gym.errors import BadOption
from user_gym.system.link.relay import Relay

HOST = "127.0.0.1"
SLACK = 0.5  # s that a busy machine may add


class Echo:
    """Sends back what comes, on any number of connections."""

    def __enter__(self):
        self._listener = socket.create_server((HOST, 0))
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10.0)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
            except OSError:
                return


@pytest.fixture
def network():
    """Makes relays to an echo, and clients of them."""
    with ExitStack() as stack:
        echo = stack.enter_context(Echo())

        def make(**options):
            return stack.enter_context(Relay(echo.address, **options))

        def client(relay):
            host, port = relay.address.split(":")
            return stack.enter_context(socket.create_connection((host, int(port)), 10.0))

        yield make, client


def exchanged(client, data):
    """s until all of it is back."""
    began = time.monotonic()
    sender = Thread(target=client.sendall, args=(data,))
    sender.start()
    got = b""
    while len(got) < len(data):
        part = client.recv(1 << 16)
        assert part, "the other side has ended"
        got += part
    sender.join()
    assert got == data
    return time.monotonic() - began


def silent(client, seconds=0.1):
    client.settimeout(seconds)
    try:
        with pytest.raises(TimeoutError):
            client.recv(1)
    finally:
        client.settimeout(10.0)
    return True


def test_bytes_come_as_they_were_later_by_the_delay(network):
    make, client = network
    one = client(make(delay=0.05))
    for _ in range(3):
        assert 0.1 <= exchanged(one, b"x" * 100) < 0.1 + SLACK


def test_a_rate_is_kept_and_shared_by_all_connections(network):
    make, client = network
    relay = make(rate=1e6)
    one, two = client(relay), client(relay)
    other = Thread(target=exchanged, args=(two, bytes(100_000)))
    began = time.monotonic()
    other.start()
    exchanged(one, bytes(100_000))
    other.join()
    assert 0.2 <= time.monotonic() - began < 0.3 + SLACK
    assert relay.carried == (200_000, 200_000)


def test_jitter_keeps_the_order(network):
    make, client = network
    data = bytes(range(256)) * 1000
    assert exchanged(client(make(jitter=0.01, seed=3)), data) > 0.0


def test_after_silence_nothing_is_lost(network):
    make, client = network
    relay = make()
    one = client(relay)
    exchanged(one, b"before")
    relay.cut()
    one.sendall(b"meanwhile")
    late = client(relay)  # the kernel takes it, nobody answers
    late.sendall(b"new")
    assert silent(one)
    assert silent(late)
    relay.restore()
    assert one.recv(100) == b"meanwhile"
    assert late.recv(100) == b"new"


def test_a_reset_ends_both_sides_and_new_connections_work(network):
    make, client = network
    relay = make()
    one = client(relay)
    exchanged(one, b"before")
    relay.reset()
    with pytest.raises(ConnectionResetError):
        one.recv(1)
    exchanged(client(relay), b"after")


def test_a_dead_connection_takes_all_and_says_nothing_while_new_ones_work(network):
    make, client = network
    relay = make()
    one = client(relay)
    exchanged(one, b"before")
    relay.halve()
    one.sendall(b"lost")
    assert silent(one)
    exchanged(client(relay), b"after")
    assert silent(one)


def test_an_end_is_passed_on(network):
    make, client = network
    one = client(make())
    exchanged(one, b"all")
    one.shutdown(socket.SHUT_WR)
    assert one.recv(1) == b""


def test_nobody_behind_it_ends_the_connection():
    with socket.create_server((HOST, 0)) as unused:
        port = unused.getsockname()[1]
    with Relay(f"{HOST}:{port}") as relay:
        host, own = relay.address.split(":")
        with socket.create_connection((host, int(own)), 10.0) as one:
            try:
                assert one.recv(1) == b""
            except ConnectionResetError:
                return  # an end as well


def test_a_side_that_resets_while_much_is_under_way_is_no_error_of_the_relay(caplog):
    with socket.create_server((HOST, 0)) as listener, Relay(f"{HOST}:{listener.getsockname()[1]}") as relay:
        host, port = relay.address.split(":")
        with socket.create_connection((host, int(port)), 10.0) as one:
            other, _ = listener.accept()
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.settimeout(0.3)
            with pytest.raises(TimeoutError):
                one.sendall(bytes(1 << 28))  # until all buffers on the way are full
            other.close()
            one.settimeout(10.0)
            with pytest.raises(ConnectionResetError):
                one.recv(1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_it_closes_twice_and_with_connections_open(network):
    make, client = network
    relay = make()
    one = client(relay)
    exchanged(one, b"x")
    relay.close()
    relay.close()
    assert one.recv(1) == b""


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("nowhere", {}),
        ("a:b", {}),
        ("a:1", {"delay": -1.0}),
        ("a:1", {"rate": 0.0}),
        ("a:1", {"jitter": float("nan")}),
        ("a:1", {"listen": "x"}),
    ],
)
def test_options_are_checked(target, options):
    with pytest.raises(BadOption):
        Relay(target, **options)


def test_a_port_that_is_taken_is_an_error():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadOption, match="address of this machine"):
            Relay("127.0.0.1:1", listen=f"{HOST}:{port}").open()


def test_a_relay_that_ends_lets_go_of_those_who_came_in_at_that_moment():
    with socket.create_server((HOST, 0), backlog=512) as target:
        for _ in range(20):
            with ExitStack() as clients, Relay(f"{HOST}:{target.getsockname()[1]}") as relay:
                host, port = relay.address.split(":")
                for _ in range(3):
                    clients.enter_context(socket.create_connection((host, int(port)), 10.0))
    gc.collect()  # a socket that nobody closed warns, and warnings are errors
