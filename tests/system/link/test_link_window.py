"""How much is under way, on a link made of arithmetic."""

from __future__ import annotations

import heapq

import pytest

from user_gym.errors import BadBlock, BadOption
from user_gym.system.link.stream.pace import Pace
from user_gym.system.link.stream.window import LEAST, TARGET, Window


class Link:
    """A sender that always has more, a line of some rate and a delay, and a clock that jumps from event to event."""

    def __init__(self, rate, round_trip):
        self.rate, self.round_trip = rate, round_trip
        self.now = self.free = 0.0
        self.window = Window(clock=lambda: self.now)
        self.acks: list[tuple[float, int]] = []
        self.total = 0
        self.waits: list[float] = []

    def run(self, seconds):
        end, began = self.now + seconds, self.total
        self.waits = []
        while self.now < end:
            while size := self.window.fragment:
                self.window.sent(size)
                self.total += size
                self.free = max(self.free, self.now) + size / self.rate
                self.waits.append(self.free - self.now)
                heapq.heappush(self.acks, (self.free + self.round_trip, self.total))
            self.now, seen = heapq.heappop(self.acks)
            self.window.seen(seen)
        return (self.total - began) / seconds


@pytest.mark.parametrize("rate", [2.5e5, 2.5e6, 1.25e7, 1.25e8])
@pytest.mark.parametrize("round_trip", [0.001, 0.03, 0.06, 0.2])
def test_the_link_is_full_and_the_queue_short(rate, round_trip):
    link = Link(rate, round_trip)
    link.run(10.0)
    assert link.run(10.0) >= 0.95 * rate
    least = LEAST / rate  # what one smallest window takes, on a slow link
    assert max(link.waits) <= max(2.5 * TARGET, 1.5 * least)


def test_a_link_that_became_slow_is_not_flooded_for_long():
    link = Link(1.25e7, 0.03)
    link.run(10.0)
    link.rate = 6e5
    link.run(10.0)
    link.run(10.0)
    assert max(link.waits) <= 0.25


def test_a_link_that_became_fast_is_filled():
    link = Link(6e5, 0.03)
    link.run(10.0)
    link.rate = 1.25e7
    link.run(10.0)
    assert link.run(10.0) >= 0.9 * link.rate


def test_a_longer_way_is_noticed_and_filled():
    link = Link(2.5e6, 0.01)
    link.run(10.0)
    link.round_trip = 0.15
    link.run(90.0)
    assert link.run(10.0) >= 0.9 * link.rate


def test_a_sender_with_little_to_say_does_not_grow_its_window():
    now = 0.0
    window = Window(clock=lambda: now)
    before = window.size
    for k in range(1, 1000):
        window.sent(1000)
        now += 0.01
        window.seen(1000 * k)
    assert window.size == before


def test_where_nothing_is_under_way_a_small_block_goes_in_one_piece():
    window = Window()
    alone = window.fragment
    assert 20_000 < alone <= window.size // 2
    window.sent(alone)
    assert 0 < window.fragment < alone


@pytest.mark.parametrize("total", [-1, 5, 101])
def test_what_was_never_sent_cannot_have_been_seen(total):
    window = Window()
    window.sent(100)
    window.seen(10)
    with pytest.raises(BadBlock, match="bytes seen"):
        window.seen(total)


def test_a_rate_is_kept_over_time_and_lets_little_go_at_once():
    now = 0.0
    pace, spent = Pace(1e6, clock=lambda: now), 0
    now = 100.0  # nothing was sent for long
    end = now + 10.0
    while now < end:
        if wait := pace.wait():
            now += wait + 1e-9
            continue
        pace.spend(16_384)
        spent += 16_384
    assert spent == pytest.approx(1e7, rel=0.02)


def test_no_rate_is_no_limit():
    pace = Pace(None)
    pace.spend(1 << 40)
    assert pace.wait() == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), "fast"])
def test_a_rate_is_a_number_above_0(rate):
    with pytest.raises(BadOption, match="bytes per second"):
        Pace(rate)
