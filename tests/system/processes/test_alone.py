"""A process that nobody looks after ends by itself; one that somebody does goes on, or ends when it is told."""

from __future__ import annotations

import threading
import time

import pytest

from user_gym.errors import PeerLost
from user_gym.system.processes import RunFolder, link
from user_gym.system.processes.link import Link, Report
from user_gym.system.processes.plan import PARENT, SUPERVISOR

PATIENCE = 20.0


class Supervisor:
    """What a caller reaches, or nobody."""

    def __init__(self, answer=None):
        self.answer, self.heard = answer, []

    def call(self, words, data=b""):
        if self.answer is None:
            raise PeerLost("nobody listens")
        self.heard.append(words)
        return self.answer

    def close(self):
        pass


@pytest.fixture
def linked(tmp_path, monkeypatch):
    """Make a link whose times are short; `there`: names that are held."""
    monkeypatch.setattr(link, "BEAT", 0.01)
    monkeypatch.setattr(link, "PATIENCE", 0.2)
    monkeypatch.setattr(link, "_DEAF", 0.4)
    made = []

    def make(supervisor, *there):
        monkeypatch.setattr(link, "holder", lambda _, name: "somebody" if name in there else None)
        monkeypatch.setattr(link, "SocketCaller", lambda *_, **__: supervisor)
        report, stop = Report(state="collects"), threading.Event()
        made.append(Link(RunFolder(tmp_path), "left", report, stop).open())
        return report, stop

    yield make
    for one in made:
        one.close()


def test_with_nobody_left_it_stops(linked):
    report, stop = linked(Supervisor())
    assert stop.wait(PATIENCE)
    assert report.alone


def test_a_supervisor_that_is_there_and_has_long_not_answered_is_nobody(linked):
    began = time.monotonic()
    report, stop = linked(Supervisor(), SUPERVISOR)
    assert stop.wait(PATIENCE)
    assert report.alone
    assert time.monotonic() - began > 0.5  # it had its time, and then the patience that all have, less a beat or two


def test_with_a_parent_it_goes_on_whatever_the_supervisor_does(linked):
    report, stop = linked(Supervisor(), PARENT)
    assert not stop.wait(1.0)
    assert not report.alone


def test_it_says_how_it_is_and_is_told_to_stop(linked):
    supervisor = Supervisor({"stop": False})
    report, stop = linked(supervisor)
    assert not stop.wait(0.5)
    report.set(state="quarantined")
    supervisor.answer = {"stop": True}
    assert stop.wait(PATIENCE)
    assert not report.alone
    assert supervisor.heard[0]["name"] == "left"
    assert supervisor.heard[0]["facts"]["state"] == "collects"
    assert supervisor.heard[-1]["facts"]["state"] == "quarantined"
