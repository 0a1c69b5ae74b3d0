"""Which packets come out of a line, and when: on a clock that is only counted."""

from __future__ import annotations

import pytest

from user_gym.errors import BadOption
from user_gym.system.link.wan.line import Line, Traffic


def test_a_packet_takes_the_delay_and_its_share_of_the_rate():
    traffic = Traffic(Line(delay=0.03, rate=1000.0))
    assert traffic.due(100, 5.0) == pytest.approx(5.13)
    assert traffic.due(100, 5.0) == pytest.approx(5.23)
    assert traffic.due(100, 9.0) == pytest.approx(9.13)
    assert traffic.carried == 300


def test_a_full_queue_drops_and_an_emptier_one_takes_again():
    traffic = Traffic(Line(rate=1000.0, queue=0.25))
    assert [traffic.due(100, 0.0) is None for _ in range(5)] == [False, False, False, True, True]
    assert traffic.dropped == 2
    assert traffic.due(100, 0.1) == pytest.approx(0.4)


def test_the_order_is_kept_whatever_the_jitter():
    traffic = Traffic(Line(jitter=0.05, seed=3))
    due = [traffic.due(1, 0.001 * k) for k in range(200)]
    assert due == sorted(due)
    assert max(at - 0.001 * k for k, at in enumerate(due)) > 0.025


def test_the_stated_share_is_lost_and_the_same_packets_with_the_same_seed():
    def fate(seed):
        traffic = Traffic(Line(loss=0.05, seed=seed))
        return [traffic.due(1, 0.0) is None for _ in range(10_000)], traffic.lost

    lost, count = fate(1)
    assert 400 < count < 600
    assert sum(lost) == count
    assert fate(1) == (lost, count)
    assert fate(2)[0] != lost


def test_what_is_lost_on_the_way_has_taken_its_share_of_the_rate():
    traffic = Traffic(Line(rate=1000.0, loss=1.0, queue=0.25))
    for _ in range(3):
        assert traffic.due(100, 0.0) is None
    assert (traffic.lost, traffic.dropped) == (3, 0)
    assert traffic.due(100, 0.0) is None
    assert traffic.dropped == 1


@pytest.mark.parametrize(
    "options", [{"delay": -1.0}, {"jitter": float("nan")}, {"loss": 1.1}, {"rate": 0.0}, {"queue": 100.0}, {"rate": "fast"}]
)
def test_options_are_checked(options):
    with pytest.raises(BadOption, match=next(iter(options))):
        Line(**options)
