"""One connection over real sockets: order, rights, resumption, dead peers, and senders that break the rules."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ends import Ends

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.link.stream import connection
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.wire.fragments import NO_TRANSFER, Fragment, Note, Opening, Sort
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import Lane
from user_gym.system.link.wire.message import Message

ID = b"sixteen bytes id"


def block(size, seed=0):
    return Message(Kind.BLOCK, {"seed": seed}, {"block": np.random.default_rng(seed).integers(0, 255, size, np.uint8)})


def same(message, size, seed=0):
    return np.array_equal(message.arrays["block"], block(size, seed).arrays["block"])


def test_messages_of_any_size_arrive_in_both_directions():
    with Ends() as ends:
        for size in (0, 1, 1 << 19, 3_000_001):
            ends.send(ends.edge, block(size))
        ends.send(ends.hub, Message(Kind.WEIGHTS, {}, {"blob": np.arange(1 << 20, dtype=np.uint8)}))
        ends.hub.wait(lambda: len(ends.hub.came) == 4)
        ends.edge.wait(lambda: len(ends.edge.came) == 1)
        assert all(same(message, size) for (message, _), size in zip(ends.hub.came, (0, 1, 1 << 19, 3_000_001), strict=True))


def test_many_messages_keep_their_order():
    with Ends() as ends:
        for number in range(500):
            ends.send(ends.edge, Message(Kind.REQUEST, {"n": number}))
        ends.hub.wait(lambda: len(ends.hub.came) == 500)
        assert [message.words["n"] for message, _ in ends.hub.came] == list(range(500))


def test_a_stop_overtakes_megabytes_on_a_slow_link():
    with Ends(rate=2.5e6, delay=0.015, buffer=5.0) as ends:  # a router that would hold 12 MB
        ends.send(ends.hub, Message(Kind.WEIGHTS, {}, {"blob": np.zeros(6_000_000, np.uint8)}))
        ends.edge.wait(lambda: bool(ends.edge.connection and ends.edge.connection.received > 1_000_000))
        began = time.monotonic()
        ends.send(ends.hub, Message(Kind.STOP))
        ends.edge.wait(lambda: bool(ends.edge.of(Kind.STOP)))
        took = time.monotonic() - began
        assert not ends.edge.of(Kind.WEIGHTS)
        assert took < 0.5  # behind all of it: 2 s
        ends.edge.wait(lambda: bool(ends.edge.of(Kind.WEIGHTS)))


def test_a_rate_bounds_bulk_and_not_what_is_urgent():
    with Ends(edge_options={"rate": 1e6}) as ends:
        began = time.monotonic()
        ends.send(ends.edge, block(400_000))
        ends.send(ends.edge, Message(Kind.REQUEST, {}, {"x": np.zeros(2_000_000, np.uint8)}))
        ends.hub.wait(lambda: len(ends.hub.came) == 2)
        assert [message.kind for message, _ in ends.hub.came] == [Kind.REQUEST, Kind.BLOCK]
        assert ends.hub.came[1][1] - began > 0.3


def test_a_side_reads_no_faster_than_it_wants_to():
    with Ends(hub_options={"most_rate": 1e6}) as ends:
        began = time.monotonic()
        for seed in range(8):
            ends.send(ends.edge, block(100_000, seed))
        ends.hub.wait(lambda: len(ends.hub.came) == 8)
        assert time.monotonic() - began > 0.6


def test_a_transfer_that_a_reset_tore_goes_on_where_it_ended():
    size = 4_000_000
    with Ends(rate=5e6) as ends:
        ends.send(ends.edge, block(size), transfer=ID)
        ends.hub.wait(lambda: bool(ends.hub.connection and ends.hub.connection.received > size // 2))
        ends.relay.reset()
        ends.edge.wait(lambda: isinstance(ends.edge.ended, PeerLost))
        ends.hub.wait(lambda: ends.hub.ended is not None)
        kept = ends.hub.assembly.torn[ID]
        assert kept > size // 3
        ends.connect()
        ends.send(ends.edge, block(size), transfer=ID)
        ends.hub.wait(lambda: bool(ends.hub.came))
        assert same(ends.hub.came[0][0], size)
        assert ends.hub.connection is not None
        assert ends.hub.connection.received < size - kept + 100_000


@pytest.mark.parametrize("what", ["halve", "cut"])
def test_a_dead_connection_is_noticed_on_both_sides(what):
    options = {"patience": 0.6}
    with Ends(options, options) as ends:
        ends.send(ends.edge, Message(Kind.REQUEST))
        ends.hub.wait(lambda: bool(ends.hub.came))
        began = time.monotonic()
        getattr(ends.relay, what)()
        for end in (ends.edge, ends.hub):
            end.wait(lambda end=end: end.ended is not None)
            assert isinstance(end.ended, PeerLost)
        assert 0.3 < time.monotonic() - began < 3.0


def test_an_idle_connection_lives_on():
    options = {"patience": 0.6}
    with Ends(options, options) as ends:
        ends.edge.wait(lambda: bool(ends.edge.connection and ends.edge.connection.round_trip))
        with pytest.raises(AssertionError):
            ends.edge.wait(lambda: ends.edge.ended is not None, timeout=1.5)
        assert ends.hub.ended is None


def test_who_is_heard_is_not_asked_all_the_time(monkeypatch):
    asked = []
    noted = Connection._noted
    monkeypatch.setattr(Connection, "_noted", lambda self, note: (asked.append((self, note.sort)), noted(self, note))[1])
    options = {"patience": 0.6}
    with Ends(options, options) as ends:
        began = time.monotonic()
        while time.monotonic() - began < 1.2:
            came = len(ends.hub.came), len(ends.edge.came)
            ends.send(ends.edge, Message(Kind.REQUEST))
            ends.send(ends.hub, Message(Kind.REQUEST))
            ends.hub.wait(lambda came=came: len(ends.hub.came) > came[0])
            ends.edge.wait(lambda came=came: len(ends.edge.came) > came[1])
        pings = [end for end, sort in asked if sort is Sort.PING]
        assert 4 <= len(pings) <= 8  # of 40 looks: each side's first, and one for the round trip in every 0.6 s


def test_the_round_trip_is_measured():
    with Ends(delay=0.05) as ends:
        ends.edge.wait(lambda: bool(ends.edge.connection and ends.edge.connection.round_trip))
        assert ends.edge.connection is not None
        assert 0.1 <= (ends.edge.connection.round_trip or 0.0) < 0.6


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"GET / HTTP/1.1", "head of a fragment"),
        (Fragment(Lane.WEIGHTS, Opening(8, 0, NO_TRANSFER), True, bytes(8)).pack(), "lane WEIGHTS"),
        (Fragment(Lane.EXPERIENCE, Opening(1 << 40, 0, NO_TRANSFER), False, bytes(8)).pack(), "lane EXPERIENCE"),
        (Fragment(Lane.CALL, Opening(8, 0, NO_TRANSFER), True, b"no words").pack(), "bytes of a message"),
        (Note(Sort.SEEN, 7).pack(), "bytes seen"),
    ],
    ids=["noise", "a lane that is not its own", "more than is allowed", "no message", "seen what was never sent"],
)
def test_a_side_that_breaks_the_rules_is_cut_off(raw, words):
    with Ends() as ends:
        assert ends.edge.connection is not None
        stream = ends.edge.connection._stream
        ends._loop.start(stream.write(raw)).result(10.0)
        ends.hub.wait(lambda: ends.hub.ended is not None)
        assert isinstance(ends.hub.ended, BadBlock)
        assert words in str(ends.hub.ended)
        ends.edge.wait(lambda: ends.edge.ended is not None)
        assert isinstance(ends.edge.ended, PeerLost)


def test_leaving_is_no_error():
    with Ends() as ends:
        ends.close()
        assert ends.edge.ended == "closed"
        ends.hub.wait(lambda: ends.hub.ended is not None)


def test_who_is_not_listened_to_is_not_taken_for_dead():
    """A rate so low that a fragment has to be paid for longer than silence is allowed."""
    patient = {"patience": 0.4}
    with Ends(hub_options={"most_rate": 50_000, **patient}, edge_options=patient) as ends:
        began = time.monotonic()
        ends.send(ends.edge, block(100_000))
        ends.hub.wait(lambda: bool(ends.hub.came) or ends.hub.ended is not None)
        assert time.monotonic() - began > 2 * 0.4
        assert (ends.hub.ended, ends.edge.ended) == (None, None)
        assert same(ends.hub.came[0][0], 100_000)


@pytest.mark.parametrize("bulk", [0, 3_000_000])
def test_a_goodbye_arrives_before_the_connection_ends_whatever_else_waits(bulk, monkeypatch):
    monkeypatch.setattr(connection, "_LAST", 10.0)
    with Ends(rate=2e6, delay=0.1) as ends:
        if bulk:
            ends.send(ends.edge, block(bulk))
            ends.hub.wait(lambda: bool(ends.hub.connection and ends.hub.connection.received > 100_000))
        for number in range(100):
            ends.send(ends.edge, Message(Kind.REQUEST, {"n": number, "pad": "x" * 1000}))
        began = time.monotonic()
        ends.leave(ends.edge, Message(Kind.BYE))
        ends.edge.wait(lambda: ends.edge.ended == "closed")
        assert time.monotonic() - began < 5.0
        ends.hub.wait(lambda: ends.hub.ended == "closed")
        assert len(ends.hub.of(Kind.REQUEST)) == 100
        assert not ends.hub.of(Kind.BLOCK)


def test_a_goodbye_to_who_does_not_listen_takes_a_moment():
    with Ends() as ends:
        ends.relay.cut()
        began = time.monotonic()
        ends.leave(ends.edge, Message(Kind.BYE))
        ends.edge.wait(lambda: ends.edge.ended == "closed")
        assert time.monotonic() - began < 3.0
