"""Each sink gets records as often as it wants, and none that fails harms the run or the others."""

from __future__ import annotations

import logging

import pytest
from records import record

from user_gym.errors import Busy
from user_gym.system.metrics import Recorder
from user_gym.system.virtual import VirtualClock


class Kept:
    """A sink that keeps what it gets, and fails on demand."""

    def __init__(self, period: float = 1.0) -> None:
        self.period, self.steps, self.is_open, self.error = period, [], False, None

    def open(self) -> None:
        self.is_open = True

    def write(self, record) -> None:
        assert self.is_open
        if self.error is not None:
            raise self.error
        self.steps.append(record.env_steps)

    def close(self) -> None:
        self.is_open = False


def test_each_sink_gets_records_at_its_own_pace_and_the_last_one_in_any_case() -> None:
    clock, often, rarely = VirtualClock(), Kept(1.0), Kept(10.0)
    with Recorder([often, rarely], clock) as recorder:
        for second in range(12):
            assert recorder.due
            recorder.write(record(env_steps=second))
            assert not recorder.due
            clock.sleep_until(second + 1.0)
        recorder.write(record(env_steps=99))
        recorder.write(record(env_steps=100, ended=True))
    assert often.steps == [*range(12), 99, 100]
    assert rarely.steps == [0, 10, 100]
    assert not often.is_open


def test_nothing_is_due_where_nobody_listens() -> None:
    with Recorder([]) as recorder:
        assert not recorder.due
        recorder.write(record())


def test_a_sink_that_fails_is_said_once_and_goes_on_when_it_is_mended(caplog: pytest.LogCaptureFixture) -> None:
    clock, bad, good = VirtualClock(), Kept(), Kept()
    with caplog.at_level(logging.ERROR), Recorder([bad, good], clock) as recorder:
        for second in range(6):
            bad.error = OSError(28, "No space left on device") if second in (1, 2, 4) else None
            recorder.write(record(env_steps=second))
            clock.sleep_until(second + 1.0)
    assert (good.steps, bad.steps) == ([0, 1, 2, 3, 4, 5], [0, 3, 5])
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["Kept shows nothing until this is mended"] * 2


def test_what_is_no_failure_of_the_disk_or_the_net_is_raised() -> None:
    bad = Kept()
    bad.error = TypeError("a bug")
    with pytest.raises(TypeError, match="a bug"), Recorder([bad]) as recorder:
        recorder.write(record())
    assert not bad.is_open


def test_where_one_sink_cannot_begin_none_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken() -> None:
        raise Busy("the port is taken")

    first, second = Kept(), Kept()
    monkeypatch.setattr(second, "open", taken)
    with pytest.raises(Busy, match="taken"), Recorder([first, second]):
        pytest.fail("not reached")
    assert not first.is_open
