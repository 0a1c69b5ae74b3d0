"""What becomes of a process that ended: when it is started again, and what its exit code says."""

from __future__ import annotations

import os
import signal

import pytest

from user_gym.errors import BadOption, NoSpace
from user_gym.system.processes import RunFolder, child, ends
from user_gym.system.processes.child import Child
from user_gym.system.processes.ends import Ends
from user_gym.system.processes.exits import DONE, FAILED, FULL, REFUSED, STOPPED, code_of
from user_gym.system.processes.link import Report


class Clock:
    """In place of the module time."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(ends, "time", made)
    return made


def waits(code, clock, times=12):
    """s until each next start, of a process that ends at once with this code; and its ends."""
    made, found = Ends(), []
    for _ in range(times):
        made.began()
        made.add(code)
        began = clock.now
        while not made.due:
            clock.now += 0.125
        found.append(clock.now - began)
    return found, made


def test_a_process_is_started_again_at_once_and_later_each_time_where_it_fails_by_itself(clock):
    found, made = waits(FAILED, clock)
    assert found[:7] == [0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert max(found) <= 30.0
    assert made.failures == 12


def test_who_was_killed_waits_a_second_at_most_and_has_not_failed(clock):
    found, made = waits(-signal.SIGKILL, clock)
    assert (found[2], max(found)) == (0.5, 1.0)
    assert made.failures == 0
    assert waits(FULL, clock)[1].failures == 0


def test_who_lived_long_has_recovered(clock):
    _, made = waits(FAILED, clock, 7)
    made.began()
    clock.now += 61.0
    made.add(FAILED)
    assert made.failures == 1
    assert made.due


def raising(error):
    def work():
        raise error

    return work


def test_exit_codes_say_what_is_to_become_of_a_process():
    for work, begun, code, state in (
        (lambda: True, False, DONE, "done"),
        (lambda: False, False, STOPPED, "stopped"),
        (raising(NoSpace("no room for x")), True, FULL, "disk full: no room for x"),
        (raising(MemoryError("64 GiB")), True, FAILED, "out of memory: 64 GiB"),
        (raising(BadOption("x", 1, "2")), False, REFUSED, "error: bad x 1"),
        (raising(BadOption("x", 1, "2")), True, FAILED, "failed: BadOption: bad x 1"),
        (raising(RuntimeError("odd")), False, FAILED, "failed: RuntimeError: odd"),
    ):
        report = Report()
        report.begun = begun
        assert code_of(work, report) == code
        assert report.facts["state"].startswith(state)
        assert report.facts.get("error", "").startswith("bad x" if code == REFUSED else "")


class Started:
    """A process that ends when it is told."""

    pid, returncode = os.getpid(), None

    def poll(self):
        return self.returncode


@pytest.fixture
def started(tmp_path, monkeypatch):
    process = Started()
    monkeypatch.setattr(child, "spawn", lambda *_: process)
    made = Child(RunFolder(tmp_path), "left", "left", 600.0)
    made.start()
    return made, process


def test_a_child_whose_work_is_done_is_not_due_and_one_that_ended_is(started):
    made, process = started
    assert not made.due
    assert made.ended() is None
    process.returncode = FAILED
    assert made.ended() == FAILED
    assert made.ended() is None  # it is said once
    assert made.due
    assert (made.failures, made.status["state"]) == (1, "waits to be started; ended with code 1")
    made.done = True
    assert not made.due
    assert made.status["state"] == "done"


@pytest.mark.parametrize("code", [STOPPED, -signal.SIGTERM])
def test_why_a_child_failed_is_not_forgotten_when_it_is_told_to_stop(started, monkeypatch, code):
    made, process = started
    monkeypatch.setattr(child.Identity, "send", lambda self, number: None)
    process.returncode = FAILED
    made.ended()
    process.returncode = None
    made.start()
    made.stop()
    process.returncode = code
    assert made.ended() == code
    assert made.status["last_end"] == "ended with code 1"


def test_why_a_child_was_killed_is_how_it_ended(started, monkeypatch):
    made, process = started
    sent = []
    monkeypatch.setattr(child.Identity, "send", lambda self, number: sent.append(number))
    made.kill("it hangs")
    process.returncode = -signal.SIGKILL
    assert made.ended() == -signal.SIGKILL
    assert (sent, made.last) == ([signal.SIGKILL], "killed: it hangs")
    made.start()
    process.returncode = None
    made.stop()
    assert (sent[-1], made.told) == (signal.SIGTERM, True)


def test_an_adopted_process_that_ends_may_have_done_anything(tmp_path, monkeypatch):
    there = child.Identity(2**22 + 1, 0, "")
    monkeypatch.setattr(child, "holder", lambda *_: there)
    made = Child(RunFolder(tmp_path), "left", "left", 600.0)
    assert made.adopt()
    assert made.ended() == -signal.SIGKILL
