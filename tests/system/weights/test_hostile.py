"""Damaged bytes, and differences whose CRCs are right and whose words lie: refused, and the weights before stay."""

import dataclasses

import pytest
from weight_cases import moved, policy, same

from user_gym.errors import BadBlock
from user_gym.system.weights import Broadcaster, Encoder, Narrowed, Receiver
from user_gym.system.weights.blob import Blob, Kind


def change(path, value):
    """Put a value into nested lists and dicts."""

    def apply(meta):
        at = meta
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return apply


LIES = [
    *(
        change(("changed",), value)
        for value in (None, 3, [3], [[0, 0]], [[0, 99]], [[1, 1], [0, 1]], [[True, 1]], [[-1, 2]], [])
    ),
    *(change(("press",), value) for value in (None, "lz4", ["zstd"], "zlib")),
    *(change(("segments",), value) for value in (None, [], [[]], {}, [1])),
    *(change(("segments", 0, k), value) for k in range(4) for value in (None, -1, 1 << 60, 1 << 99, 1.0, True, 0)),
    *(change(("segments", 0, 4), value) for value in (None, [[0, 1], [0, 1]], [[5, 1]], [])),
    *(change(("segments", 0, 5), value) for value in (None, [], [[256, 1]], [[3, -1]], [[0, 22032]], [["0", 1]])),
]


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_and_the_weights_before_stay(lie):
    broadcaster, receiver, view = Broadcaster(), Receiver(), None
    encoder, view = Encoder(Narrowed(broadcaster)), Narrowed(broadcaster)
    arrays = policy()
    broadcaster.publish(arrays, "h")
    receiver.apply(encoder.blob())
    before = dict(view.newest().arrays)
    broadcaster.publish(moved(arrays), "h")
    blob = Blob.parse(encoder.blob(receiver.held))
    lie(blob.meta)
    with pytest.raises(BadBlock):
        receiver.apply(dataclasses.replace(blob).pack())
    assert same(receiver.newest(), before)


@pytest.mark.parametrize("key", ["spec_hash", "tensors", "ties"])
def test_a_full_blob_must_say_what_its_digest_is_of(key):
    broadcaster = Broadcaster()
    broadcaster.publish(policy(), "h")
    blob = Blob.parse(Encoder(broadcaster).blob())
    with pytest.raises(BadBlock):
        Receiver().apply(dataclasses.replace(blob, meta=blob.meta | {key: blob.meta[key][:-1] if key != "ties" else {}}).pack())
    with pytest.raises(BadBlock):
        Receiver().apply(dataclasses.replace(blob, payload=blob.payload[:-1]).pack())


@pytest.mark.parametrize("kind", [Kind.FULL, Kind.DIFFERENCE])
def test_a_byte_that_was_damaged_anywhere_is_noticed_and_the_weights_before_stay(kind):
    broadcaster, receiver = Broadcaster(), Receiver()
    encoder, arrays = Encoder(Narrowed(broadcaster)), policy(n=3000)
    broadcaster.publish(arrays, "h")
    receiver.apply(encoder.blob())
    before = dict(receiver.newest().arrays)
    broadcaster.publish(moved(arrays), "h")
    data = encoder.blob(receiver.held if kind is Kind.DIFFERENCE else None)
    parsed = Blob.parse(data)
    assert parsed.kind is kind
    payload = len(data) - len(parsed.payload)
    for at in (*range(payload), *range(payload, len(data), 41), len(data) - 1):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(BadBlock):
            receiver.apply(damaged)
        with pytest.raises(BadBlock):
            receiver.apply(data[:at])
    assert same(receiver.newest(), before)
    receiver.apply(data)
    assert receiver.newest().version == 1


def test_a_difference_of_another_layout_or_policy_is_refused_though_it_names_the_base_that_is_held():
    broadcaster, receiver = Broadcaster(), Receiver()
    encoder, arrays = Encoder(broadcaster), policy()
    broadcaster.publish(arrays, "h")
    receiver.apply(encoder.blob())
    broadcaster.publish(moved(arrays), "h")
    blob = Blob.parse(encoder.blob(receiver.held))
    with pytest.raises(BadBlock, match="base of a difference"):
        receiver.apply(dataclasses.replace(blob, digest=bytes(16)).pack())
    assert receiver.newest().version == 0
