"""The work of the owner's process, in this one: from the opening of the buffer to its last word."""

from __future__ import annotations

import threading
import time

import pytest
from running import PATIENCE, plan_words
from toy_training import chunk

from user_gym.errors import Busy
from user_gym.system import Buffer
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.processes import RunFolder, from_words, owner
from user_gym.system.processes.caller import SocketCaller
from user_gym.system.processes.link import Report
from user_gym.system.processes.plan import OWNER


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.begin(from_words(plan_words(steps=3, collectors=[{"name": "left", "env": "Toy-v0"}])))
    return made


class Moving(Report):
    """Counts how often the work moved."""

    moves = 0

    def moved(self):
        super().moved()
        self.moves += 1


class Owning:
    """It runs in a thread, until it returns or raises."""

    def __init__(self, folder):
        self.folder, self.report, self.stop = folder, Moving(), threading.Event()
        self.done = self.failure = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.done = owner.run(self.folder, OWNER, self.report, self.stop)
        except Exception as error:
            self.failure = error

    def caller(self):
        pause = threading.Event()
        while not (self.folder.socket(OWNER).exists() or self.failure):
            pause.wait(0.01)
        return SocketCaller(self.folder.socket(OWNER))

    def end(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        return self.done


def collected(caller):
    """The three steps of the run, and goodbye."""
    caller.call({"ask": "collector", "name": "left", "form": "f"})
    caller.call({"ask": "block"}, Encoder().encode(chunk(3, source="left")).data)
    caller.call({"ask": "bye"})


def test_it_ends_when_the_learner_has_learned_all_and_says_how(folder, monkeypatch):
    monkeypatch.setattr(owner, "_LAST", 0.2)
    owning = Owning(folder)
    caller = owning.caller()
    collected(caller)
    hello = {"ask": "learner", "form": "f", "updates": 0, "version": 4}
    assert caller.call(hello)["acted"] == 4
    moves, deadline = owning.report.moves, time.monotonic() + PATIENCE
    while owning.report.moves == moves:
        assert time.monotonic() < deadline
        owning.thread.join(0.01)
    assert caller.call({"ask": "updates", "updates": 3, "version": 7, "wait": 0.0})["closed"]
    assert caller.call({"ask": "learned", "updates": 3, "version": 7})["closed"]  # it hears the answer still
    caller.close()
    assert owning.end()
    finished = folder.finished()
    assert (finished["steps"], finished["updates"], finished["version"]) == (3, 3, 7)
    assert (owning.report.facts["state"], owning.report.facts["transitions"]) == ("stops", 3)


def test_a_block_that_cannot_be_stored_is_no_move_of_the_owner(folder, monkeypatch):
    monkeypatch.setattr(owner.Desk, "slow", True)
    owning = Owning(folder)
    owning.caller().close()
    owning.thread.join(0.5)
    assert owning.report.moves == 0
    owning.stop.set()
    assert not owning.end()


def test_told_to_stop_it_keeps_its_counters_and_is_not_done(folder):
    owning = Owning(folder)
    caller = owning.caller()
    caller.call({"ask": "learner", "form": "f", "updates": 5, "version": 6})
    owning.stop.set()
    assert not owning.end()
    caller.close()
    assert folder.finished() is None
    again = Owning(folder)
    caller = again.caller()
    assert caller.call({"ask": "learner", "form": "f", "updates": 5, "version": -1})["acted"] == 6
    caller.close()
    again.stop.set()
    again.end()


def test_what_a_connection_fails_by_ends_the_process(folder, monkeypatch):
    def broken(*_):
        raise RuntimeError("the index is gone")

    owning = Owning(folder)
    caller = owning.caller()
    monkeypatch.setattr(owner.Desk, "store", broken)
    caller.call({"ask": "collector", "name": "left", "form": "f"})
    with pytest.raises(ConnectionError):
        caller.call({"ask": "block"}, b"x")
    owning.end()
    assert str(owning.failure) == "the index is gone"


def test_it_waits_for_the_lock_of_an_owner_that_died_and_not_for_ever(folder, monkeypatch):
    with Buffer.open(folder.buffer):
        owning = Owning(folder)
        owning.thread.join(0.3)
        assert owning.thread.is_alive()
    owning.caller().close()
    owning.stop.set()
    owning.end()
    assert owning.failure is None
    monkeypatch.setattr(owner, "_BUSY", 0.2)
    with Buffer.open(folder.buffer):
        owning = Owning(folder)
        owning.end()
        assert isinstance(owning.failure, Busy)
