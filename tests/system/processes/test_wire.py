"""Messages over a socket, and bytes that are none."""

from __future__ import annotations

import socket
import struct

import pytest

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.processes import wire


@pytest.fixture
def ends():
    one, two = socket.socketpair()
    one.settimeout(10.0)
    two.settimeout(10.0)
    yield one, two
    one.close()
    two.close()


def test_words_and_bytes_arrive_as_they_were_sent(ends):
    wire.send(ends[0], {"ask": "block", "n": 3}, b"\x00\xff" * 100)
    assert wire.receive(ends[1]) == ({"ask": "block", "n": 3}, b"\x00\xff" * 100)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "first bytes"),
        (struct.pack("!4sIQ", b"UGM1", wire.MOST_WORDS + 1, 0), "size of a message"),
        (struct.pack("!4sIQ", b"UGM1", 2, wire.MOST_DATA + 1), "size of a message"),
        (struct.pack("!4sIQ", b"UGM1", 3, 0) + b"{x}", "words of a message"),
        (struct.pack("!4sIQ", b"UGM1", 2, 0) + b"[]", "words of a message"),
    ],
)
def test_what_is_no_message_is_refused_before_memory_is_taken(ends, data, words):
    ends[0].sendall(data)
    with pytest.raises(BadBlock, match=words):
        wire.receive(ends[1])


@pytest.mark.parametrize("part", [0, 1, 15, 16, 20, 60])
def test_a_side_that_leaves_in_the_middle_is_lost(ends, part):
    data = b'{"ask": 1}'
    ends[0].sendall((struct.pack("!4sIQ", b"UGM1", len(data), 100) + data + b"x" * 100)[:part])
    ends[0].close()
    with pytest.raises(PeerLost, match="closed the connection"):
        wire.receive(ends[1])
    with pytest.raises(PeerLost, match="does not take"):
        wire.send(ends[1], {}, b"x" * 10_000_000)
