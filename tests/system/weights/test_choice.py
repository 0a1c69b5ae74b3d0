"""Whole or a difference, by the link's rate."""

import pytest

from user_gym.errors import BadOption
from user_gym.system.weights.blob import Kind
from user_gym.system.weights.choice import Choice, LinkRate

N = 1_000_000


def test_the_break_even_is_where_the_saved_bytes_take_as_long_as_the_work():
    choice = Choice(bytes_per_parameter=0.3, seconds_per_parameter=5e-9)
    even = 1.7 / 10e-9  # bytes per second
    assert choice.pick(2 * N, N, 0.99 * even) is Kind.DIFFERENCE
    assert choice.pick(2 * N, N, 1.01 * even) is Kind.FULL


def test_without_a_rate_or_without_bfloat16_the_fewest_bytes_are_best():
    assert Choice().pick(2 * N, N, None) is Kind.DIFFERENCE
    assert Choice().pick(4 * N, 0, 1e12) is Kind.DIFFERENCE


def test_what_was_measured_moves_the_break_even():
    choice = Choice(bytes_per_parameter=0.3, seconds_per_parameter=5e-9)
    for _ in range(20):
        choice.learn(N, int(1.9 * N), 5e-3)
    assert choice.pick(2 * N, N, 1e8) is Kind.FULL


def test_a_rate_follows_what_a_link_does_now():
    rate = LinkRate()
    assert rate.value is None
    rate.measure(1_000_000, 1.0)
    assert rate.value == 1e6
    for _ in range(30):
        rate.measure(1_000_000, 0.1)
    assert rate.value == pytest.approx(1e7, rel=0.01)
    with pytest.raises(BadOption):
        rate.measure(1, -1.0)
