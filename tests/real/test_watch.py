"""What may interrupt a worker: it is counted, never lost, and never silent."""

import os
import signal
import threading
import time
from multiprocessing import Pipe

import pytest

from user_gym.errors import Closed, Halted
from user_gym.real.owner import Owner
from user_gym.real.watch import BREAK_OFF, ORPHANED, Watch
from user_gym.robots import stop


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """With an alarm that a test may break, and that it can wait for."""
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, BREAK_OFF)}
    ours, theirs = Pipe()
    rung = threading.Semaphore(0)
    owner = Owner(os.getpid(), link=theirs)
    owner.open()
    watch = Watch("toy", owner, rung.release)
    watch.rung = lambda: rung.acquire(timeout=5)
    watch.open()
    yield watch
    watch.close()
    ours.close()
    owner.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_only_the_stops_that_were_told_are_forgiven(watch) -> None:
    watch.check()
    for _ in range(2):
        stop.tell()
        assert watch.rung()
    watch.forgive(1)
    with pytest.raises(Halted, match="an operator said stop"):
        watch.check()
    watch.forgive(2)
    watch.check()


def test_the_death_of_the_parent_is_never_forgiven(watch) -> None:
    watch.end(ORPHANED)
    assert watch.rung()
    watch.forgive(100)
    assert watch.orphaned
    with pytest.raises(Halted, match="the program that drove it is gone"):
        watch.check()


def test_the_parents_wish_to_close_breaks_off_and_is_no_death(watch) -> None:
    os.kill(os.getpid(), BREAK_OFF)
    assert watch.rung()
    with pytest.raises(Closed, match="closed meanwhile"):
        watch.check()
    assert not watch.orphaned


def test_an_alarm_that_fails_ends_neither_the_watch_nor_the_reason(watch, caplog) -> None:
    alarm, watch._alarm = watch._alarm, lambda: alarm() or 1 / 0
    for _ in range(2):
        stop.tell()
        assert watch.rung()
    assert watch.stops == 2
    assert "could not be interrupted" in caplog.text


def test_a_watch_that_breaks_says_so_and_ends_the_worker(watch, monkeypatch, caplog) -> None:
    monkeypatch.setattr(watch._ear, "read", lambda: 1 / 0)
    stop.tell()
    assert watch.rung()
    assert watch.orphaned
    with pytest.raises(Halted, match="its watch broke"):
        watch.check()
    assert "ZeroDivisionError" in caplog.text


def test_a_bell_that_nobody_hears_blocks_nothing(watch) -> None:
    began = time.monotonic()
    for _ in range(2000):
        watch._alert()
    assert time.monotonic() - began < 5


def test_a_signal_rings_the_alarm(watch) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert watch.rung()
    watch.forgive(1)
    with pytest.raises(Halted, match="SIGTERM"):
        watch.check()
