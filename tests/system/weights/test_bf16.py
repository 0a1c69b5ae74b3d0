"""All 65,536 patterns of a bfloat16, and the way there from float32."""

import numpy as np
import pytest

from user_gym.system.weights.bf16 import BF16, from_ordered, narrow, ordered, widen

ALL = np.arange(1 << 16).astype(np.uint16)
SPECIAL = np.array(
    [0, 0x80000000, 1, 0x80000001, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFFFFFFF, 0x7FFFFFFF, 0x7F7FFFFF, 0xFF7FFFFF,
     0x00007FFF, 0x00008000, 0x00008001, 0x00018000, 0x3F808000, 0x3F818000, 0x3F807FFF, 0x7FC00000, 0x7F80FFFF, 0x007FFFFF],
    np.uint32,
)  # fmt: skip


def narrowed(bits):
    out = np.empty(len(bits), np.uint16)
    narrow(bits.view(np.float32), out)
    return out


def samples():
    rng = np.random.default_rng(0)
    return np.concatenate([SPECIAL, rng.integers(0, 1 << 32, 200_003, np.uint32), (ALL.astype(np.uint32) << 16) + 0x8000])


def test_the_order_of_all_patterns_is_undone():
    assert np.array_equal(from_ordered(ordered(ALL)), ALL)
    assert len(set(ordered(ALL).tolist())) == 1 << 16


def test_the_order_is_that_of_the_values():
    values = widen(ALL[np.argsort(ordered(ALL))])
    finite = values[~np.isnan(values)]
    assert (np.diff(finite[np.isfinite(finite)]) >= 0).all()
    assert finite[0] == -np.inf
    assert finite[-1] == np.inf
    assert np.isnan(values[[0, -1]]).all()
    assert int(ordered(np.array([0], np.uint16))[0]) - int(ordered(np.array([0x8000], np.uint16))[0]) == 1


def test_every_pattern_survives_the_way_to_float32_and_back():
    there = widen(ALL)
    back = narrowed(there.view(np.uint32))
    nan = np.isnan(there)
    assert np.array_equal(back[~nan], ALL[~nan])
    assert np.array_equal(back[nan], ALL[nan] | 0x40), "a NaN keeps sign and payload, and is quiet"


def test_rounding_is_to_nearest_even_as_torch_does_it():
    torch = pytest.importorskip("torch")
    bits = samples()
    theirs = torch.from_numpy(bits.view(np.float32)).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    nan = np.isnan(bits.view(np.float32))
    assert np.array_equal(narrowed(bits)[~nan], theirs[~nan])


def test_a_nan_stays_a_nan_and_nothing_else_becomes_one():
    bits = samples()
    assert np.array_equal(np.isnan(widen(narrowed(bits))), np.isnan(bits.view(np.float32)))


def test_an_array_says_that_it_is_bfloat16():
    array = np.array([0x3F80], np.uint16).view(BF16)
    assert array.dtype == BF16 != np.uint16
    assert widen(array)[0] == 1.0
