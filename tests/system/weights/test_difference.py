"""Differences are exact for every pattern, and small where little changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from user_gym.errors import BadBlock
from user_gym.system.weights.bf16 import narrow
from user_gym.system.weights.difference import BLOCK, decode, encode
from user_gym.system.weights.exponents import CHUNK

ALL = np.arange(1 << 16).astype(np.uint16)
SPECIAL = np.array([0, 0x8000, 1, 0x8001, 0x7F80, 0xFF80, 0x7F81, 0x7FFF, 0xFFFF, 0xFF81, 0x7FC0, 0x007F, 0x3F80], np.uint16)


def there_and_back(old, new, how="zstd"):
    made = encode(old, new, how)
    out = [np.full_like(array, 0xABCD) for array in new]
    decode(made, old, out, how)
    for ours, theirs in zip(out, new, strict=True):
        assert np.array_equal(ours, theirs)
    return sum(map(len, made[:3]))


def weights(n, seed=0, scale=0.05):
    bits = np.empty(n, np.uint16)
    narrow(np.random.default_rng(seed).normal(0, scale, n).astype(np.float32), bits)
    return bits


@pytest.mark.parametrize("how", ["zstd", "zlib"])
@pytest.mark.parametrize("shift", [0, 1, 2, 127, 0x8000, 0xFFFF, 12345])
def test_every_pattern_becomes_every_pattern_so_far_from_it(shift, how):
    there_and_back([ALL], [ALL + np.uint16(shift)], how)


def test_every_special_pattern_becomes_every_pattern_and_back():
    old, new = np.repeat(SPECIAL, len(ALL)), np.tile(ALL, len(SPECIAL))
    there_and_back([old], [new])
    there_and_back([new], [old])


def test_a_change_of_sign_alone_is_kept():
    there_and_back([ALL], [ALL ^ np.uint16(0x8000)])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, CHUNK - 1, CHUNK, CHUNK + 1, BLOCK - 1, BLOCK + 1, 3 * BLOCK + 7])
def test_any_number_of_parameters(n):
    old = weights(n)
    rng = np.random.default_rng(1)
    there_and_back([old], [old + rng.integers(-1, 2, n).astype(np.uint16)])  # all have codes
    there_and_back([old], [rng.integers(0, 1 << 16, n).astype(np.uint16)])  # none has


def test_several_arrays_share_one_stream():
    old = [weights(n, n) for n in (5, CHUNK + 3, 0, 1000)]
    rng = np.random.default_rng(2)
    there_and_back(old, [array + rng.integers(-2, 3, len(array)).astype(np.uint16) for array in old])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_pair_is_kept(data):
    n = data.draw(st.integers(0, 300))
    old, new = (data.draw(arrays(np.uint16, n)) for _ in range(2))
    there_and_back([old], [new], data.draw(st.sampled_from(["zstd", "zlib"])))


def test_blocks_with_and_without_codes_in_one_stream():
    old = weights(4 * BLOCK)
    new = old + np.uint16(1)
    small = (old & 0x7F80) < np.median(old & 0x7F80)  # their exponents come first
    new[small] += 1000
    made = encode([old], [new], "zstd")
    assert 0 < len(made.coded) < 4
    there_and_back([old], [new])


def test_nothing_changed_costs_next_to_nothing():
    assert there_and_back([weights(1 << 20)], [weights(1 << 20)]) < 1000


def test_order_of_exponents_makes_a_small_step_cheap():
    values = np.random.default_rng(0).normal(0, 0.05, 1 << 20).astype(np.float32)
    step = values + 3e-5 * np.random.default_rng(1).choice(np.array([-1, 1], np.float32), 1 << 20)
    old, new = np.empty((2, 1 << 20), np.uint16)
    narrow(values, old)
    narrow(step, new)
    assert there_and_back([old], [new]) / (1 << 20) < 0.18


def test_parts_that_say_something_else_are_refused():
    old = weights(3 * BLOCK)
    rng = np.random.default_rng(3)
    new = old + rng.choice(np.array([-300, -1, 0, 1], np.int16), len(old), p=[0.1, 0.2, 0.5, 0.2]).view(np.uint16)
    made = encode([old], [new], "zstd")
    totals = list(made.totals)
    totals[int(np.argmax(totals))] -= 1
    totals[3] += 1
    lies = [
        made._replace(others=made.others + 1),
        made._replace(others=-1),
        made._replace(others=len(old) + 1),
        made._replace(coded=made.coded[1:]),
        made._replace(codes=made.codes[:-3]),
        made._replace(codes=made.low),
        made._replace(low=b""),
        made._replace(totals=totals),
    ]
    for lie in lies:
        with pytest.raises(BadBlock):
            decode(lie, [old], [np.empty_like(new)], "zstd")
    with pytest.raises(BadBlock):
        decode(made, [old], [np.empty_like(new)], "zlib")
    with pytest.raises(BadBlock):
        decode(made, [weights(len(old), 9, scale=1.0)], [np.empty_like(new)], "zstd")
