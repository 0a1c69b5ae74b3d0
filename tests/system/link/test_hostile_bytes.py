"""Whatever bytes come, the parsers answer with a message or with BadBlock; nothing is unpickled, and memory stays small."""

from __future__ import annotations

import pickle
import random
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_gym.errors import BadBlock
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.fragments import NO_TRANSFER, Fragment, Note, Opening, Parcel, Sort
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import FRAGMENT, FROM_EDGE, FROM_HUB, Lane
from user_gym.system.link.wire.message import Message

SOUND = b"".join(
    Message(
        Kind.REPLY,
        {"sources": {"a": [3, 4]}, "text": "x" * 40},
        {"state": np.arange(12, dtype=np.float32), "picture": np.zeros((4, 4, 3), np.uint8)},
        5,
    ).pack()
)
PIECES = [
    Fragment(Lane.CALL, Opening(len(SOUND), 0, NO_TRANSFER), False, SOUND[:50]).pack(),
    Note(Sort.SEEN, 9).pack(),
    Note(Sort.PING, 9).pack() + Fragment(Lane.CALL, None, True, SOUND[50:]).pack(),
]


def flipped(rng: random.Random, data: bytes) -> bytes:
    """The same with a few bytes changed, cut off, or said twice."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0:
                changed[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 1:
                del changed[at : at + rng.randrange(1, 9)]
            case 2:
                changed[at : at + 1] = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))])
            case _:
                changed[at : at + 1] = rng.randbytes(1)
    return bytes(changed)


def take(assembly: Assembly, pieces: list[bytes]) -> None:
    for piece in pieces:
        fragment = Parcel.parse(piece).fragment
        whole = None if fragment is None else assembly.add(fragment)
        if whole is not None:
            Message.parse(whole)


def hammer(seed: int, inputs: int) -> int:
    """Feed changed bytes; how many were refused."""
    rng, refused = random.Random(seed), 0
    for number in range(inputs):
        try:
            if number % 2:
                Message.parse(flipped(rng, SOUND))
            else:
                take(Assembly(FROM_EDGE), [flipped(rng, piece) if rng.random() < 0.5 else piece for piece in PIECES])
        except BadBlock:
            refused += 1
    return refused


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_are_refused(data):
    for parse in (Message.parse, Parcel.parse):
        with suppress(BadBlock):
            parse(data)


@given(st.lists(st.tuples(st.sampled_from(Lane), st.booleans(), st.booleans(), st.binary(max_size=40)), max_size=12), st.data())
def test_fragments_in_any_order_never_make_an_assembly_hold_more_than_came(pieces, data):
    assembly, came = Assembly(FROM_HUB), 0
    for lane, first, last, payload in pieces:
        total, offset = data.draw(st.integers(0, 1 << 33)), data.draw(st.integers(0, 50))
        came += len(payload)
        try:
            whole = assembly.add(Fragment(lane, Opening(total, offset, NO_TRANSFER) if first else None, last, payload))
        except BadBlock:
            continue
        assert whole is None or len(whole) <= came
    assembly.tear()
    assert sum(assembly.torn.values()) <= came


def test_many_changed_messages_are_refused_or_read_in_bounded_memory(monkeypatch):
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("foreign bytes are unpickled")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    monkeypatch.setattr(np, "load", forbidden)
    tracemalloc.start()
    try:
        refused = hammer(1, 4_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 2_000 < refused <= 4_000
    assert peak < 4 << 20


@pytest.mark.slow
def test_a_million_changed_messages_are_refused_or_read():
    assert hammer(2, 1_000_000) > 500_000


def test_a_message_that_claims_much_takes_memory_only_as_it_comes():
    assembly = Assembly(FROM_HUB)
    tracemalloc.start()
    try:
        assembly.add(Fragment(Lane.WEIGHTS, Opening(1 << 32, 0, NO_TRANSFER), False, b"x"))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("lane", "limits"), [(Lane.WEIGHTS, FROM_EDGE), (Lane.EXPERIENCE, FROM_HUB)])
def test_what_a_side_may_not_send_is_refused_with_its_first_fragment(lane, limits):
    with pytest.raises(BadBlock, match=f"lane {lane.name}"):
        Assembly(limits).add(Fragment(lane, Opening(1, 0, NO_TRANSFER), True, b"x"))


def test_a_message_above_the_limit_of_its_lane_is_refused_before_its_bytes_come():
    limit = FROM_EDGE[Lane.EXPERIENCE]
    with pytest.raises(BadBlock, match=f"1..{limit}"):
        Assembly(FROM_EDGE).add(Fragment(Lane.EXPERIENCE, Opening(limit + 1, 0, NO_TRANSFER), False, b"x"))


def test_a_fragment_that_is_too_long_is_refused():
    with pytest.raises(BadBlock, match="number of bytes of a fragment"):
        Parcel.parse(Fragment(Lane.CALL, Opening(FRAGMENT + 1, 0, NO_TRANSFER), True, bytes(FRAGMENT + 1)).pack())
