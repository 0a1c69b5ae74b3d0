"""Blocks of several edges on their way into a store that only counts."""

from __future__ import annotations

from threading import Condition, Event

from fleet import TIMEOUT, episode

from user_gym.core import Acknowledgement
from user_gym.system.buffer.appending import TRAINING
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.link.hub import intake
from user_gym.system.link.hub.intake import Intake


class Store:
    """Takes everything; says how many blocks each commit had."""

    def __init__(self):
        self.commits = []
        self.first = Event()

    def newest(self, source):
        return None

    def extend(self, blocks):
        self.commits.append(len(blocks))
        self.first.set()
        return [Acknowledgement(0, block.head.steps, False) for block in blocks]

    def room(self, edges):
        raise AssertionError("nobody asks here")


class Heard:
    """What was said of how many blocks."""

    def __init__(self):
        self.verdicts = []
        self._changed = Condition()

    def __call__(self, verdicts):
        with self._changed:
            self.verdicts += verdicts
            self._changed.notify_all()

    def wait(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.verdicts) >= count, TIMEOUT)


def block(edge, number):
    return Encoder().encode(episode(edge, "arm", number, chunks=1)[0], follows=False).data


def test_a_first_block_is_stored_at_once_and_those_that_come_soon_after_share_a_commit(monkeypatch):
    monkeypatch.setattr(intake, "_PACE", 1.0)
    store, heard = Store(), Heard()
    taken = Intake(store)
    taken.open()
    try:
        taken.submit("e1", TRAINING, block("e1", 99), heard)
        heard.wait(1)
        for number in range(5):  # to make the next one takes longer than to store one
            for edge in ("e1", "e2"):
                taken.submit(edge, TRAINING, block(edge, number), heard)
        heard.wait(11)
        assert store.commits == [1, 10]
        assert not [verdict.refused for verdict in heard.verdicts if verdict.refused]
    finally:
        taken.close()


def test_closing_does_not_wait_for_the_next_commit(monkeypatch):
    monkeypatch.setattr(intake, "_PACE", 3600.0)
    store, heard = Store(), Heard()
    taken = Intake(store)
    taken.open()
    taken.submit("e1", TRAINING, block("e1", 0), heard)
    heard.wait(1)
    taken.submit("e1", TRAINING, block("e1", 1), heard)
    taken.close()
    assert store.commits == [1]
    assert len(heard.verdicts) == 1


def test_all_that_is_to_be_told_of_a_commit_is_handed_over_together(monkeypatch):
    monkeypatch.setattr(intake, "_PACE", 1.0)
    store, heard, told = Store(), {edge: Heard() for edge in ("e1", "e2")}, []

    def tell(calls):
        told.append(len(calls))
        for call in calls:
            call()

    taken = Intake(store)
    taken.open(tell)
    try:
        taken.submit("e1", TRAINING, block("e1", 99), heard["e1"])
        heard["e1"].wait(1)
        for number in range(2):
            for edge in ("e1", "e2"):
                taken.submit(edge, TRAINING, block(edge, number), heard[edge])
        heard["e2"].wait(2)
        heard["e1"].wait(3)
        assert told == [1, 2]
    finally:
        taken.close()
