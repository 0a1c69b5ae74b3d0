"""The endpoint answers a scrape over a real socket, and nothing that anybody sends does more than wait a moment."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from records import record

from user_gym.errors import BadOption, Busy
from user_gym.system.metrics import Endpoint, endpoint


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(endpoint, "PATIENCE", 0.3)
    made = Endpoint(0)
    made.open()
    yield made
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "metrics"]


def address(served: Endpoint) -> tuple[str, int]:
    parts = urlsplit(served.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def ask(served: Endpoint, path: str = "/metrics", method: str = "GET") -> tuple[int, str, bytes]:
    connection = HTTPConnection(*address(served), timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    result = answer.status, answer.getheader("Content-Type", ""), answer.read()
    connection.close()
    return result


def test_a_scrape_gets_the_newest_record(served: Endpoint) -> None:
    assert served.url.startswith("http://127.0.0.1:")
    for steps in (1, 2):
        served.write(record(env_steps=steps))
    status, kind, body = ask(served)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert families["user_gym_env_steps"].samples[0].value == 2
    assert ask(served, "/metrics?debug=1")[0] == 200


def test_before_the_first_record_there_is_none(served: Endpoint) -> None:
    status, _, body = ask(served)
    assert (status, body) == (503, b"503 no record yet\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/../etc", "/etc/passwd", "*"])
def test_no_other_path_is_served(served: Endpoint, path: str) -> None:
    served.write(record())
    assert ask(served, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_no_other_method_is_served(served: Endpoint, method: str) -> None:
    assert ask(served, "/metrics", method)[0] == 501


@pytest.mark.parametrize(
    "sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: x", b"GET /" + b"x" * 9000, b"\r\n\r\n", b"\0\xff" * 50 + b"\r\n\r\n"]
)
def test_a_request_that_is_none_keeps_the_next_one_waiting_for_a_moment_only(served: Endpoint, sent: bytes) -> None:
    served.write(record())
    with socket.create_connection(address(served), timeout=10) as slow:
        slow.sendall(sent)
        assert ask(served)[0] == 200
        with contextlib.suppress(ConnectionResetError):  # it may be closed with bytes unread
            assert b"user_gym_" not in slow.recv(1 << 16)


def test_a_client_that_never_reads_keeps_nobody_waiting(served: Endpoint) -> None:
    served.write(record(robots=record().robots[:1] * 10_000))  # more than the kernel keeps for a reader
    with socket.create_connection(address(served), timeout=10) as deaf:
        deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        served.write(record())
        assert ask(served)[0] == 200


def test_a_port_that_is_taken_is_named(served: Endpoint) -> None:
    _, port = address(served)
    with pytest.raises(Busy, match=rf"127.0.0.1:{port}/metrics cannot be served: .*; choose another metrics port, or 0"):
        Endpoint(port).open()


def test_a_port_is_free_again_after_close(served: Endpoint) -> None:
    _, port = address(served)
    served.write(record())
    ask(served)
    served.close()
    served.close()
    again = Endpoint(port)
    again.open()
    again.open()
    assert ask(again)[0] == 503
    again.close()


@pytest.mark.parametrize("port", [-1, 65536, "80", 80.0, True])
def test_a_port_that_is_none_is_refused(port) -> None:
    with pytest.raises(BadOption, match=r"metrics port .*allowed: 0 .. 65535"):
        Endpoint(port)
