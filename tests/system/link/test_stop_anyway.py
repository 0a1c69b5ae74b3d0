"""What must work when something else does not: a stop while threads wait, and the end of a wait for a hub that has left."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest
from fleet import TIMEOUT

from user_gym.errors import PeerLost
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.edge.hand import RemoteHand
from user_gym.system.link.edge.hands import Hands
from user_gym.system.link.hub import Hub
from user_gym.system.link.take_over import TakeOver
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message


@contextmanager
def one_edge(path, **edge):
    with (
        Hub() as hub,
        Spool.open(path / "spool", durability="kill") as spool,
        Edge(f"127.0.0.1:{hub.port}", spool, name="e1", robots=("arm",), **edge) as running,
    ):
        running.wait(TIMEOUT)
        yield hub


def test_a_stop_reaches_robots_when_all_other_threads_of_an_edge_wait(tmp_path):
    told, gate = [], Event()

    def answer(asked):
        gate.wait(TIMEOUT)
        return Message(Kind.REPLY, {})

    with one_edge(tmp_path, stop=told.append, answer=answer) as hub, ThreadPoolExecutor(40) as pool:
        calls = [pool.submit(hub.call, "e1", Message(Kind.REQUEST, {}), 1.0) for _ in range(40)]
        assert all(isinstance(call.exception(TIMEOUT), PeerLost) for call in calls)
        try:
            assert hub.stop(by="boss") == {"e1": "stopped"}
            assert told == ["boss"]
        finally:
            gate.set()


def test_who_waits_for_a_robot_hears_at_once_that_the_hub_has_left(tmp_path, monkeypatch):
    at_once, asked = Hands.hear, Event()

    def hear(self, message, connection):
        asked.set()
        asyncio.get_running_loop().call_later(0.5, at_once, self, message, connection)

    monkeypatch.setattr(Hands, "hear", hear)
    with one_edge(tmp_path, hands=[RemoteHand("e1/arm", 3)]) as hub, ThreadPoolExecutor(1) as pool:
        taken = TakeOver(f"127.0.0.1:{hub.port}", None, "e1", "arm")
        entered = pool.submit(taken.__enter__)
        assert asked.wait(TIMEOUT)
        assert taken._loop is not None
        begun = time.monotonic()
        taken._loop.soon(taken._leave)
        with pytest.raises(PeerLost, match="before it answered"):
            entered.result(TIMEOUT)
        assert time.monotonic() < begun + 10.0
