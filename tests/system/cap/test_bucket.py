"""A rate and one piece, in any window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_gym.errors import BadOption
from user_gym.system.cap import TokenBucket


@given(
    rate=st.floats(1.0, 1e12),
    begin=st.floats(-1e6, 1e6),
    steps=st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(1, 10**9)), min_size=1, max_size=30),
)
def test_any_window_has_at_most_its_rate_and_one_piece(rate, begin, steps):
    bucket = TokenBucket(rate)
    now, sent = begin, []
    for idle, count in steps:
        now += idle
        now += bucket.delay(now)
        bucket.take(count, now)
        sent.append((now, count))
    for first in range(len(sent)):
        total = 0
        for time, count in sent[first:]:
            assert total <= rate * (time - sent[first][0]) * (1 + 1e-6) + rate * 1e-6 + 1e-3
            total += count


def test_nothing_is_saved_up_while_nobody_sends():
    bucket = TokenBucket(100.0)
    bucket.take(100, 0.0)
    assert bucket.delay(1000.0) == 0.0
    bucket.take(100, 1000.0)
    assert bucket.delay(1000.0) == 1.0


def test_a_new_rate_holds_for_the_debt_that_is_left():
    bucket = TokenBucket(100.0)
    bucket.take(100, 0.0)
    bucket.change(10.0, 0.5)
    assert bucket.delay(0.5) == pytest.approx(5.0)


def test_a_clock_that_steps_back_gives_nothing():
    bucket = TokenBucket(100.0)
    bucket.take(100, 10.0)
    assert bucket.delay(5.0) == 1.0
    assert bucket.delay(10.5) == 0.5


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), "fast"])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(BadOption, match="rate"):
        TokenBucket(rate)
    with pytest.raises(BadOption, match="rate"):
        TokenBucket(1.0).change(rate, 0.0)
