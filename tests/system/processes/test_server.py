"""The two ends of a connection, when one of them cannot go on."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import stat
import threading

import pytest

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.processes import wire
from user_gym.system.processes.caller import SocketCaller
from user_gym.system.processes.server import Server

PATIENCE = 20.0


class Echo:
    ended = 0

    def answer(self, message):
        return {"said": message.words["say"] * message.words.get("times", 1)}

    def end(self):
        Echo.ended += 1


@pytest.fixture
def served(tmp_path):
    server = Server(tmp_path / "s.sock", Echo).open()
    yield server, tmp_path / "s.sock"
    server.close()


def until(what):
    for _ in range(int(PATIENCE / 0.01)):
        if what():
            return
        threading.Event().wait(0.01)
    raise AssertionError("waited in vain")


@contextlib.contextmanager
def no_descriptor_left():
    """This process can open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)  # all below are taken
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_server_that_can_let_nobody_in_any_more_says_why(served):
    server, path = served
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as guest:
        with no_descriptor_left():
            guest.connect(str(path))
            until(lambda: server.failure is not None)
        assert server.failure.errno == errno.EMFILE


def test_after_an_answer_that_is_none_a_caller_begins_anew(served, monkeypatch):
    _, path = served
    caller = SocketCaller(path)
    assert caller.call({"say": "x"}) == {"said": "x"}
    with monkeypatch.context() as patch:
        patch.setattr(wire, "MOST_WORDS", 40)  # the answer is too long, and stays in the socket
        with pytest.raises(BadBlock, match="size of a message"):
            caller.call({"say": "y", "times": 40})
    assert not caller.connected
    assert caller.call({"say": "z"}) == {"said": "z"}
    caller.close()


def test_a_session_ends_with_its_connection_and_only_this_user_may_connect(served):
    _, path = served
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    caller, before = SocketCaller(path), Echo.ended
    assert caller.call({"say": "x"}) == {"said": "x"}
    assert Echo.ended == before
    caller.close()
    until(lambda: Echo.ended == before + 1)


def test_what_answering_raises_is_kept_for_the_one_that_owns_the_server(served):
    server, path = served
    caller = SocketCaller(path)
    with pytest.raises(PeerLost):
        caller.call({"nothing": "to say"})
    until(lambda: server.failure is not None)
    assert isinstance(server.failure, KeyError)


def test_a_socket_that_a_dead_server_left_is_replaced(tmp_path):
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    server = Server(path, Echo).open()
    caller = SocketCaller(path)
    assert caller.call({"say": "x"}) == {"said": "x"}
    caller.close()
    server.close()
    assert not path.exists()


def test_a_server_that_was_closed_has_not_failed(served):
    server, path = served
    caller = SocketCaller(path)
    assert caller.call({"say": "x"}) == {"said": "x"}
    caller.close()
    server.close()
    assert server.failure is None
