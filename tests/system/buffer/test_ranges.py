"""A set of numbers kept as ranges is that set."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from user_gym.system.buffer.ranges import Ranges

steps = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=12)


def laid_out(gaps):
    at, firsts, counts = 0, [], []
    for gap, count in gaps:
        at += gap
        firsts.append(at)
        counts.append(count)
        at += count
    return np.array(firsts, np.int64), np.array(counts, np.int64)


def same(ranges, numbers):
    expected = np.array(sorted(numbers), np.int64)
    assert len(ranges) == len(expected)
    np.testing.assert_array_equal(ranges.at(np.arange(len(expected))), expected)
    np.testing.assert_array_equal(np.flatnonzero(ranges.contains(np.arange(-3, 200))) - 3, expected)
    firsts, counts = ranges.ranges
    assert (firsts[1:] > (firsts + counts)[:-1]).all()


@given(steps, st.integers(0, 12), st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), max_size=4))
def test_it_holds_what_a_set_would(gaps, one_by_one, removed):
    firsts, counts = laid_out(gaps)
    ranges, numbers = Ranges(), set()
    for first, count in zip(firsts[:one_by_one].tolist(), counts[:one_by_one].tolist(), strict=True):
        ranges.append(first, count)
    ranges.extend(firsts[one_by_one:], counts[one_by_one:])
    for first, count in zip(firsts.tolist(), counts.tolist(), strict=True):
        numbers |= set(range(first, first + count))
    same(ranges, numbers)
    for first, count in removed:
        ranges.remove(first, count)
        numbers -= set(range(first, first + count))
        same(ranges, numbers)
    ranges.append(200, 3)
    assert len(ranges) == len(numbers) + 3


def test_draws_are_uniform_over_all_ranges():
    ranges = Ranges()
    ranges.extend(np.array([0, 10, 100]), np.array([1, 3, 6]))
    _, counts = np.unique(ranges.draw(50_000, np.random.default_rng(0)), return_counts=True)
    assert len(counts) == 10
    assert ((counts - 5000) ** 2 / 5000).sum() < 27.9  # chi-square, 9 degrees of freedom: 1 in 1000
