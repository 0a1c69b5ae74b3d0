"""Messages as bytes, and bytes that are none."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from user_gym.errors import BadBlock, BadOption
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import Lane
from user_gym.system.link.wire.message import MOST_WORDS, Message


def packed(*arguments, **options):
    return b"".join(Message(*arguments, **options).pack())


def raw(words, body=b"", kind=8, head=b"UGL1"):
    """A message whose words are any bytes."""
    return struct.pack("<4sB3xI4xQ", head, kind, len(words), 7) + words + bytes(-len(words) % 8) + body


ARRAYS = {
    "picture": np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3),
    "state": np.array([1.5, -np.inf, np.nan], np.float32),
    "number": np.array(7, np.int64),
    "none": np.empty((0, 5), np.float16),
    "flags": np.array([True, False]),
    "every other": np.arange(10)[::2],
}


def test_words_numbers_and_arrays_arrive_as_they_were_sent():
    data = packed(Kind.REPLY, {"ok": True, "text": "grün \ud7ff 🤖", "n": [1, 2.5, None]}, ARRAYS, 2**63)
    message = Message.parse(data)
    assert (message.kind, message.number) == (Kind.REPLY, 2**63)
    assert message.words == {"ok": True, "text": "grün \ud7ff 🤖", "n": [1, 2.5, None]}
    assert list(message.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert message.arrays[name].dtype == array.dtype
        assert message.arrays[name].shape == array.shape
        np.testing.assert_array_equal(message.arrays[name], array)


def test_arrays_are_read_only_views_of_the_bytes_that_came():
    data = packed(Kind.BLOCK, {}, {"block": np.frombuffer(b"x" * 1000, np.uint8)})
    array = Message.parse(data).arrays["block"]
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_contiguous_arrays_are_sent_without_a_copy():
    array = np.zeros(1 << 20, np.uint8)
    pieces = Message(Kind.BLOCK, {}, {"block": array}).pack()
    assert any(np.shares_memory(np.frombuffer(piece, np.uint8), array) for piece in pieces if len(piece) == array.nbytes)


def test_every_kind_has_a_lane_and_a_stop_has_the_first():
    assert {kind.lane for kind in Kind} == set(Lane)
    assert min(Kind, key=lambda kind: kind.lane) is Kind.STOP


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "number of bytes"),
        (b"UGL1", "number of bytes"),
        (raw(b"[{},[]]", head=b"GET "), "first bytes"),
        (raw(b"[{},[]]", kind=0), "kind"),
        (raw(b"[{},[]]", kind=200), "kind"),
        (raw(b"[{},[]]")[:-1], "bytes of words"),
        (struct.pack("<4sB3xI4xQ", b"UGL1", 8, MOST_WORDS + 1, 0) + bytes(MOST_WORDS + 8), "bytes of words"),
        (raw(b"[{},[]"), "words"),
        (raw(b"{}"), "an object, and a list"),
        (raw(b"[[],[]]"), "an object, and a list"),
        (raw(b"[{},[],[]]"), "an object, and a list"),
        (raw(b'[{"a":NaN},[]]'), "NaN is no JSON"),
        (raw(b'[{"a":' + b"9" * 5000 + b"},[]]"), "JSON"),
        (raw(b"[" * 100_000), "words"),
        (raw(b'[{"a":"\\ud800"},[]]'), "halves"),
        (raw(b'[{"a":"\xff"},[]]'), "words"),
        (raw(b'[{},[["a","object",[1]]]]', bytes(8)), "array of a message"),
        (raw(b'[{},[["a","O",[1]]]]', bytes(8)), "array of a message"),
        (raw(b'[{},[["a","float64",[-1]]]]', bytes(8)), "array of a message"),
        (raw(b'[{},[["a","float64",[true]]]]', bytes(8)), "array of a message"),
        (raw(b'[{},[["a","float64",[1.0]]]]', bytes(8)), "array of a message"),
        (raw(b'[{},[["a","float64",[1,1,1,1,1,1,1,1,1]]]]', bytes(8)), "array of a message"),
        (raw(b'[{},[["a","float64",[0,1099511627776,1099511627776]]]]'), "array of a message"),
        (raw(b'[{},[["a","float64",[2]]]]', bytes(8)), "8 bytes or fewer"),
        (raw(b'[{},[["a","float64",[1000000000]]]]', bytes(8)), "8 bytes or fewer"),
        (raw(b'[{},[["a","uint8",[1]],["a","uint8",[1]]]]', bytes(16)), "a new name"),
        (raw(b"[{},[]]", bytes(8)), "as its arrays say"),
        (raw(json.dumps([{}, [["a", "uint8", [0]]] * 257]).encode()), "256 arrays at most"),
    ],
    ids=range(28),
)
def test_what_is_no_message_is_refused_in_words(data, words):
    with pytest.raises(BadBlock, match=words) as caught:
        Message.parse(data)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("words", "arrays"),
    [
        ({"a": float("nan")}, {}),
        ({"a": object()}, {}),
        ({"a": "\ud800"}, {}),
        ({"a": "x" * (MOST_WORDS + 1)}, {}),
        ({}, {"a": np.array([object()])}),
        ({}, {"a": np.zeros(2, "M8[s]")}),
        ({}, {"a": np.zeros(2, ">f4")}),
        ({}, {"a": np.zeros(2, "f4,i4")}),
        ({}, {"a" * 201: np.zeros(2)}),
        ({}, {str(n): np.zeros(1) for n in range(257)}),
    ],
)
def test_what_no_message_can_say_is_refused_where_it_is_sent(words, arrays):
    with pytest.raises(BadOption):
        Message(Kind.REQUEST, words, arrays).pack()


def test_equal_words_that_are_not_said_alike_arrive_as_they_were_sent():
    for value in (1, True, 1.0, 1, True):
        (found,) = Message.parse(b"".join(Message(Kind.REQUEST, {"x": value}).pack())).words.values()
        assert (found, type(found)) == (value, type(value))


def test_words_that_came_before_say_nothing_about_the_bytes_behind_them():
    data = b"".join(Message(Kind.REQUEST, {"ask": 7}, {"block": np.arange(16, dtype=np.uint8)}).pack())
    for _ in range(2):
        assert Message.parse(data).arrays["block"].tolist() == list(range(16))
        for other in (data[:-8], data + bytes(8)):
            with pytest.raises(BadBlock):
                Message.parse(other)
