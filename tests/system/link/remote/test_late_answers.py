"""Answers that come after their request was given up, and orders of leases that are over: each at its own narrowest place."""

from __future__ import annotations

import socket
from queue import SimpleQueue
from threading import Thread
from time import monotonic

import numpy as np
import pytest
from remote_parts import fleet, wait

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.link.remote.asks import Ask, Writer
from user_gym.system.link.remote.channel import SharedChannel
from user_gym.system.link.remote.memory import Memory
from user_gym.system.link.remote.pipe import Pipe
from user_gym.system.link.remote.uplink import Uplink
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message


class Silent(Uplink):
    def send(self, message):
        pass


def test_an_answer_that_came_at_the_very_end_of_its_time_is_not_the_next_ones():
    uplink, inbox = Silent("test"), SimpleQueue()
    first = uplink.order(lambda number: Message(Kind.ORDER, {}, {}, number), inbox)
    with pytest.raises(PeerLost, match="no answer in time"):
        uplink.wait(first, inbox, monotonic())
    inbox.put(Message(Kind.OUTCOME, {"of": "first"}, {}, first))  # it was on its way into the box
    second = uplink.order(lambda number: Message(Kind.ORDER, {}, {}, number), inbox)
    uplink.reply(Message(Kind.OUTCOME, {"of": "second"}, {}, second))
    assert uplink.wait(second, inbox, monotonic() + 5.0).words["of"] == "second"


@pytest.fixture
def pair():
    ours, theirs = map(Pipe, socket.socketpair())
    theirs.wait(5.0)
    channel = SharedChannel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


def answered(edge, memory, writer, number, value):
    _, words = writer.write(Ask.STEP, {"x": value}, lambda nbytes: memory.block)
    edge.send(0, number, {} if words is None else {"form": words})


def test_over_shared_memory_a_late_answer_is_dropped_and_counted(pair):
    channel, edge = pair
    memory = Memory.create(4096)
    first = channel.ask(Ask.STEP, {"a": np.zeros(2)})
    with pytest.raises(PeerLost, match=r"no answer within 0\.01 s"):
        channel.hear(Ask.STEP, first, 0.01)
    second = channel.ask(Ask.STEP, {"a": np.ones(2)})
    assert [edge.receive().number for _ in range(2)] == [first, second]

    def answer_both():
        edge.pass_on(memory.descriptor)
        for number, value in ((first, 1.0), (second, 2.0)):
            answered(edge, memory, Writer(), number, value)  # whose form the client has not heard yet

    answering = Thread(target=answer_both)
    answering.start()
    tree, _ = channel.hear(Ask.STEP, second, 5.0)
    answering.join(5.0)
    memory.close()
    assert channel.late == 1
    assert tree == {"x": 2.0}


@pytest.mark.parametrize("data", [b"\x01\x00\x00\x00" + bytes(16), b"\xff\xff\xff\xff" + bytes(16)])
def test_a_length_that_no_message_has_is_refused(pair, data):
    channel, edge = pair
    edge._connection.sendall(data)
    with pytest.raises(PeerLost, match="bytes of a message"):
        channel.hear(Ask.STEP, 1, 1.0)


@pytest.mark.parametrize("words", [b"[]", b"{", b'{"a":NaN'])
def test_words_that_are_no_object_are_refused(pair, words):
    channel, edge = pair
    edge._connection.sendall((16 + len(words)).to_bytes(4, "little") + bytes(12) + len(words).to_bytes(4, "little") + words)
    with pytest.raises(BadBlock, match="words of a message"):
        channel._pipe.receive()


def test_an_edge_obeys_no_lease_but_the_one_that_counts(tmp_path):
    with fleet(tmp_path) as running:
        env = running.env(channel="network")
        env.reset()
        heard = []
        for lease in ("", "0" * 32):
            order = Message(Kind.ORDER, {"ask": int(Ask.STEP), "lease": lease, "robot": "arm"}, {}, 5)
            running.host.order(order, heard.append)
        wait(lambda: len(heard) == 2)
        assert {message.words["error"][0] for message in heard} == {"NotAdmitted"}
        assert env.step(np.zeros(2, np.float32))[1] == 1.0
        with pytest.raises(BadBlock, match="ask of a hub"):
            running.host.order(Message(Kind.ORDER, {"ask": int(Ask.LEASE), "lease": "", "robot": "arm"}), heard.append)


def test_a_client_of_this_host_cannot_speak_as_the_hub(tmp_path):
    with fleet(tmp_path) as running:
        env = running.env(channel="shared memory")
        env.reset()
        env._way.channel._pipe.send(Ask.OPEN, 99, {"id": "RemoteToy-v0", "options": {}, "client": "wolf"})
        _, _, _, truncated, info = env.step(np.zeros(2, np.float32))
        assert truncated
        assert "LinkLost" in info["fault"]
        assert running.host._seats["arm"].client == env._way.uplink.name
