"""Bytes of weights: every one of them is checked."""

import dataclasses

import pytest

from user_gym.errors import BadBlock
from user_gym.system.weights.blob import Blob, Held, Kind

BLOB = Blob(Kind.DIFFERENCE, Held(b"l" * 16, 7), 3, b"d" * 16, {"a": [1]}, b"payload")


def test_what_is_packed_comes_back():
    again = Blob.parse(BLOB.pack())
    assert dataclasses.replace(again, payload=bytes(again.payload)) == BLOB
    assert len(BLOB.pack()) == BLOB.nbytes


def test_every_flipped_bit_is_noticed():
    data = BLOB.pack()
    for at in range(len(data)):
        for bit in range(8):
            with pytest.raises(BadBlock):
                Blob.parse(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])


def test_too_few_and_too_many_bytes_are_noticed():
    data = BLOB.pack()
    for wrong in (*(data[:n] for n in range(len(data))), data + b"\0"):
        with pytest.raises(BadBlock):
            Blob.parse(wrong)


@pytest.mark.parametrize("changes", [{"base": 7}, {"base": -2}, {"held": Held(b"l" * 16, -1), "base": -1}, {"meta": [1]}])
def test_a_head_that_makes_no_sense_is_refused(changes):
    with pytest.raises(BadBlock):
        Blob.parse(dataclasses.replace(BLOB, **changes).pack())
