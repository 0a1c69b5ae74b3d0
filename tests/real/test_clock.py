"""The wall's clock: absolute deadlines, overruns counted, no squeezing."""

import time

import pytest

from user_gym.real.clock import WallClock


class Wall:
    """A wall clock that tests move."""

    def __init__(self, monkeypatch):
        self.now, self.slept = 100.0, []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def wall(monkeypatch):
    return Wall(monkeypatch)


def test_ticks_are_on_time_whatever_the_work_between_them_takes(wall) -> None:
    clock = WallClock()
    clock.start()
    for work in (0.03, 0.07, 0.0):
        wall.now += work
        clock.tick(0.1)
    assert wall.now == pytest.approx(100.3)
    assert wall.slept == pytest.approx([0.07, 0.03, 0.1])
    assert clock.overruns == 0


def test_a_late_tick_returns_at_once_counts_and_the_next_period_is_whole(wall) -> None:
    clock = WallClock()
    clock.start()
    wall.now += 0.25
    clock.tick(0.1)
    assert wall.slept == []
    assert clock.overruns == 1
    clock.tick(0.1)
    assert wall.slept == pytest.approx([0.1])
    assert clock.overruns == 1


def test_its_time_always_runs_and_closing_is_nothing() -> None:
    clock = WallClock()
    clock.connect()
    clock.check()
    with clock.free():
        pass
    clock.close()
    clock.close()
