"""Messages that share one stream: lanes, resumption, and the rules that a sender has to keep."""

from __future__ import annotations

import numpy as np
import pytest

from user_gym.errors import BadBlock
from user_gym.system.link.stream.outgoing import Outgoing
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.fragments import NO_TRANSFER, Fragment, Note, Opening, Parcel, Sort
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import FROM_EDGE, FROM_HUB, Lane
from user_gym.system.link.wire.message import Message

ID = b"sixteen bytes id"


def block(size=1000, seed=0):
    return Message(Kind.BLOCK, {}, {"block": np.random.default_rng(seed).integers(0, 255, size, np.uint8)})


def sent(outgoing, most=100, count=10_000):
    """Fragments in the order in which they leave."""
    out = []
    while (lane := outgoing.first) is not None and len(out) < count:
        out.append(Parcel.parse(outgoing.take(lane, most).pack()).fragment)
    return out


def received(assembly, pieces):
    return [Message.parse(whole) for piece in pieces if (whole := assembly.add(piece)) is not None]


def test_a_message_in_fragments_arrives_as_it_was():
    outgoing = Outgoing({})
    outgoing.put(block())
    (message,) = received(Assembly(FROM_EDGE), sent(outgoing))
    np.testing.assert_array_equal(message.arrays["block"], block().arrays["block"])


NOTES = [Note(Sort.PING, 2**64 - 1), Note(Sort.SEEN, 7), Note(Sort.PONG, 0)]


@pytest.mark.parametrize("count", range(4))
def test_notes_come_back_alone_and_before_a_fragment(count):
    notes, packed = NOTES[:count], b"".join(note.pack() for note in NOTES[:count])
    if notes:
        assert Parcel.parse(packed) == (notes, None)
    outgoing = Outgoing({})
    outgoing.put(block())
    piece = outgoing.take(Lane.EXPERIENCE, 1 << 20)
    found = Parcel.parse(packed + piece.pack())
    assert found.notes == notes
    assert (found.fragment.opening, bytes(found.fragment.data)) == (piece.opening, b"".join(piece.pieces))
    assert piece.pack(packed) == packed + piece.pack()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        Note(Sort.PING, 1).pack()[:-1],
        Note(Sort.PING, 1).pack() * 4,
        b"\xff\x03" + bytes(10),
        b"\xff\x00\x01\x00" + bytes(8),
    ],
)
def test_other_notes_are_refused(data):
    with pytest.raises(BadBlock, match=r"note|fragment"):
        Parcel.parse(data)


def test_what_is_urgent_overtakes_between_two_fragments():
    outgoing, assembly = Outgoing({}), Assembly(FROM_EDGE)
    outgoing.put(block())
    pieces = sent(outgoing, count=3)
    for kind in (Kind.REQUEST, Kind.BEAT, Kind.STOPPED):
        outgoing.put(Message(kind))
    pieces += sent(outgoing)
    assert [message.kind for message in received(assembly, pieces)] == [Kind.STOPPED, Kind.BEAT, Kind.REQUEST, Kind.BLOCK]


def test_lanes_have_the_rights_that_are_promised():
    outgoing = Outgoing({})
    for kind in (Kind.RAW, Kind.BLOCK, Kind.WEIGHTS, Kind.REQUEST, Kind.BEAT, Kind.STOP):
        outgoing.put(Message(kind))
    assert [piece.lane for piece in sent(outgoing, most=1000)] == sorted(Lane)


def test_the_newest_takes_the_place_of_what_was_not_begun():
    outgoing = Outgoing({})
    for version in range(3):
        outgoing.put(Message(Kind.WEIGHTS, {"version": version, "text": "x" * 200}), newest=True)
    pieces = sent(outgoing, count=1)
    for version in range(3, 6):
        outgoing.put(Message(Kind.WEIGHTS, {"version": version}), newest=True)
    arrived = received(Assembly(FROM_HUB), pieces + sent(outgoing))
    assert [message.words["version"] for message in arrived] == [2, 5]


def test_a_torn_transfer_goes_on_where_it_ended():
    first, assembly = Outgoing({}), Assembly(FROM_EDGE)
    first.put(block(), ID)
    assert received(assembly, sent(first, count=4)) == []
    assembly.tear()
    assert assembly.torn == {ID: 400}
    second = Outgoing(assembly.torn)
    second.put(block(), ID)
    pieces = sent(second)
    assert pieces[0].opening == Opening(sum(len(p.data) for p in pieces) + 400, 400, ID)
    (message,) = received(assembly, pieces)
    np.testing.assert_array_equal(message.arrays["block"], block().arrays["block"])
    assert not assembly.torn


def test_a_transfer_torn_twice_goes_on_twice():
    assembly, arrived = Assembly(FROM_EDGE), []
    for _ in range(3):
        outgoing = Outgoing(assembly.torn)
        outgoing.put(block(), ID)
        arrived = received(assembly, sent(outgoing, count=4))
        assembly.tear()
    (message,) = arrived
    np.testing.assert_array_equal(message.arrays["block"], block().arrays["block"])


def test_what_the_sender_does_not_go_on_with_is_given_up():
    first, assembly = Outgoing({}), Assembly(FROM_EDGE)
    first.put(block(), ID)
    received(assembly, sent(first, count=4))
    assembly.tear()
    other = Outgoing(assembly.torn)
    other.put(block(seed=1), b"another sixteen.")
    (message,) = received(assembly, sent(other))
    np.testing.assert_array_equal(message.arrays["block"], block(seed=1).arrays["block"])
    assert not assembly.torn


def test_messages_without_a_name_are_not_resumed():
    outgoing, assembly = Outgoing({}), Assembly(FROM_EDGE)
    outgoing.put(block())
    received(assembly, sent(outgoing, count=2))
    assembly.tear()
    assert not assembly.torn


@pytest.mark.parametrize(
    "pieces",
    [
        [Fragment(Lane.CALL, None, True, b"x")],
        [Fragment(Lane.CALL, Opening(0, 0, NO_TRANSFER), True, b"")],
        [
            Fragment(Lane.CALL, Opening(9, 0, NO_TRANSFER), False, b"x"),
            Fragment(Lane.CALL, Opening(9, 0, NO_TRANSFER), False, b"x"),
        ],
        [Fragment(Lane.CALL, Opening(2, 0, NO_TRANSFER), True, b"x")],
        [Fragment(Lane.CALL, Opening(2, 0, NO_TRANSFER), False, b"xx")],
        [Fragment(Lane.CALL, Opening(2, 0, NO_TRANSFER), True, b"xxx")],
        [Fragment(Lane.CALL, Opening(2, 0, NO_TRANSFER), False, b"")],
        [Fragment(Lane.CALL, Opening(9, 1, ID), False, b"x")],
    ],
    ids=["unopened", "empty", "opened twice", "short", "not said to be last", "long", "without bytes", "resumes nothing"],
)
def test_a_sender_that_breaks_the_rules_is_refused(pieces):
    assembly = Assembly(FROM_EDGE)
    with pytest.raises(BadBlock):
        received(assembly, pieces)


def test_an_offset_other_than_was_said_is_refused():
    outgoing, assembly = Outgoing({}), Assembly(FROM_EDGE)
    outgoing.put(block(), ID)
    received(assembly, sent(outgoing, count=4))
    assembly.tear()
    wrong = Outgoing({ID: 300})
    wrong.put(block(), ID)
    with pytest.raises(BadBlock, match="offset"):
        received(assembly, sent(wrong))
