"""Collectors and the owner of the buffer, both in this process: what is sent arrives once, and waits where it has to."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
from owning import Place
from toy_training import chunk

from user_gym.errors import BadChunk, Closed, NoSpace, PeerLost, WrongRun
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.processes import ledger, owner
from user_gym.system.processes.link import LAST, Report
from user_gym.system.processes.owner import Visit
from user_gym.system.processes.turnstile import Turnstile
from user_gym.system.processes.wire import Message

PATIENCE = 20.0


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def made(sequence, steps=3, source="left", episode=0, end=False):
    over = [False] * (steps - 1) + [end]
    return chunk(steps, source=source, episode=episode, sequence=sequence, base=sequence * steps, truncated=np.array(over))


def until(what):
    deadline = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if what():
            return
        deadline.wait(0.01)
    raise AssertionError("waited in vain")


def test_what_is_put_is_stored_once_and_counted(place):
    with place.open() as desk:
        outbox, _, report = place.outbox()
        assert outbox.open() == (0, 0, False)
        for sequence in range(5):
            outbox.put(made(sequence, end=sequence == 4))
            outbox.insert(3)
        assert outbox.close(goodbye=False)
        assert len(desk.buffer) == desk.ledger.steps == 15
        assert desk.ledger.robots["left"].episodes == 1
        assert report.facts["acknowledged"] == [0, 4]
        again = place.outbox()[0]
        assert again.open() == (1, 15, False)
        again.close(goodbye=False)


def test_chunks_wait_for_an_owner_that_died_and_go_to_the_next_one(place):
    outbox, _, _ = place.outbox()
    with place.open() as desk:
        outbox.open()
        outbox.put(made(0))
        outbox.insert(3)
        until(lambda: desk.ledger.steps == 3)
    outbox.put(made(1))
    outbox.put(made(2))
    with place.open() as desk:
        assert outbox.close(goodbye=False)
        assert [desk.buffer.chunk(at).sequence for at in (0, 3, 6)] == [0, 1, 2]
        assert desk.ledger.steps == len(desk.buffer) == 9


def test_who_has_nothing_left_to_say_does_not_wait_for_an_owner_that_is_gone(place):
    outbox, _, _ = place.outbox()
    turnstile = Turnstile(place.path / "owner.sock", 1.0, {"form": "f"}, Report(), threading.Event())
    with place.open() as desk:
        outbox.open()
        turnstile.open(0)
        outbox.put(made(0))
        outbox.insert(3)
        until(lambda: outbox._under_way == 0)
        assert desk.ledger.steps == 3
    began = time.monotonic()
    assert outbox.close(goodbye=False)
    turnstile.close(finished=False)
    assert time.monotonic() - began < LAST[False]  # not one patience is waited out
    never, stop, _ = place.outbox("right")
    stop.set()
    assert never.open() is None
    assert never.close(goodbye=False)
    assert time.monotonic() - began < LAST[False]


def test_who_is_alone_soon_gives_up_an_owner_that_is_gone_and_says_what_is_lost(place, capfd):
    outbox, _, report = place.outbox()
    with place.open():
        outbox.open()
    outbox.put(made(0))
    report.alone = True
    began = time.monotonic()
    assert not outbox.close(goodbye=False)
    assert LAST[True] <= time.monotonic() - began < LAST[False]
    assert "1 chunks were not acknowledged" in capfd.readouterr().err


def test_a_chunk_whose_acknowledgement_was_lost_is_not_stored_twice(place, monkeypatch):
    with place.open() as desk:
        original, lost = desk.ledger.stored, []

        def stored(block, answer):
            original(block, answer)
            if not lost:
                lost.append(block)
                raise PeerLost("the owner dies before it answers")

        monkeypatch.setattr(desk.ledger, "stored", stored)
        outbox, _, _ = place.outbox()
        outbox.open()
        outbox.put(made(0))
        assert outbox.close(goodbye=False)
        assert lost
        assert len(desk.buffer) == desk.ledger.steps == 3


def test_on_a_full_disk_a_collector_waits_says_so_and_goes_on_when_there_is_room(place, monkeypatch):
    with place.open() as desk:
        full, original = threading.Event(), desk.buffer.append
        full.set()

        def append(block):
            if full.is_set():
                raise NoSpace("no room for segments/1: 0 bytes are free")
            return original(block)

        monkeypatch.setattr(desk.buffer, "append", append)
        outbox, _, report = place.outbox()
        outbox.open()
        outbox.put(made(0))
        until(lambda: "waits for the disk: no room" in report.facts.get("outbox", ""))
        assert desk.full
        assert len(desk.buffer) == 0
        full.clear()
        until(lambda: report.facts["outbox"] == "")
        assert desk.full == ""
        assert outbox.close(goodbye=False)
        assert len(desk.buffer) == 3


def test_a_robot_waits_for_a_learner_that_is_behind_and_no_longer(tmp_path):
    place = Place(tmp_path, tolerance=4, updates_per_step=1.0)
    with place.open() as desk:
        outbox, _, _ = place.outbox()
        outbox.open()
        outbox.put(made(0))
        outbox.insert(3)
        outbox.put(made(1))
        went_on = threading.Event()
        waiting = threading.Thread(target=lambda: (outbox.insert(3), went_on.set()), daemon=True)
        waiting.start()
        until(lambda: desk.ledger.steps == 6)
        assert not went_on.wait(0.3)
        desk.ledger.learner(2, 0)
        assert went_on.wait(PATIENCE)
        outbox.close(goodbye=False)


def test_what_a_killed_process_had_sent_does_not_come_between_those_of_the_next(place):
    with place.open() as desk:
        early, late = Visit(desk), Visit(desk)
        hello = {"ask": "collector", "name": "left", "form": "f"}
        block = Encoder().encode(made(0)).data
        assert early.answer(Message(hello))["episode"] == 0
        assert late.answer(Message(hello))["episode"] == 0
        with pytest.raises(PeerLost, match="has come again since"):
            early.answer(Message({"ask": "block"}, block))
        early.end()
        assert desk.present == 1
        assert late.answer(Message({"ask": "block"}, block))["enough"] is False
        assert len(desk.buffer) == 3


def test_the_run_has_enough_and_tells_each_robot(tmp_path):
    place = Place(tmp_path, steps=6)
    with place.open() as desk:
        outbox, _, _ = place.outbox()
        outbox.open()
        outbox.put(made(0))
        outbox.insert(3)
        outbox.put(made(1))
        with pytest.raises(Closed, match="all its steps"):
            outbox.insert(3)
        assert outbox.close(goodbye=True)
        assert desk.ledger.enough
        assert not desk.ledger.closed  # the other one has not let go
        other, _, _ = place.outbox("right")
        assert other.open().enough
        assert other.close(goodbye=True)
        assert desk.ledger.closed
    with place.open() as desk:  # and knows it still
        assert desk.ledger.closed


def test_a_robot_has_let_go_only_when_the_disk_says_so(tmp_path, monkeypatch):
    place = Place(tmp_path, steps=3)
    with place.open() as desk:
        original, tries = ledger.write_json, []

        def full(*arguments, **options):
            tries.append(desk.ledger.robots["left"].ended)
            if len(tries) < 3:
                raise NoSpace("no room for owner.json: 0 bytes are free")
            original(*arguments, **options)

        outbox, _, _ = place.outbox()
        outbox.open()
        outbox.put(made(0))
        until(lambda: outbox.enough)
        monkeypatch.setattr(ledger, "write_json", full)
        monkeypatch.setattr(desk.ledger, "_written", math.inf)  # no write but that of the end
        late = Visit(desk)
        late.answer(Message({"ask": "collector", "name": "left", "form": "f"}))
        assert "no room" in late.answer(Message({"ask": "bye"}))["full"]
        assert (desk.full, desk.ledger.robots["left"].ended) == ("no room for owner.json: 0 bytes are free", False)
        assert outbox.close(goodbye=True)  # it tried until there was room
        assert len(tries) == 3
        assert desk.full == ""
        monkeypatch.undo()
    with place.open() as desk:
        assert desk.ledger.robots["left"].ended


def test_who_is_none_of_the_run_or_of_another_kind_is_refused(place):
    with place.open():
        stranger, _, _ = place.outbox("middle")
        with pytest.raises(WrongRun, match="'middle' is none of this run's collectors: left, right"):
            stranger.open()
        first, _, _ = place.outbox("left", form="float32(2,)")
        first.open()
        unlike, _, _ = place.outbox("right", form="float32(3,)")
        with pytest.raises(WrongRun, match=r"'right' has float32\(3,\)"):
            unlike.open()
        first.put(made(0, source="right"))
        until(lambda: first._failure is not None)
        with pytest.raises(BadChunk, match="allowed: of 'left'"):
            first.put(made(1))
        first.close(goodbye=False)


def test_a_block_that_takes_for_ever_to_be_stored_is_no_progress_of_the_owner(place, monkeypatch):
    with place.open() as desk:
        entered, goes_on, original = threading.Event(), threading.Event(), desk.buffer.append

        def append(block):
            entered.set()
            assert goes_on.wait(PATIENCE)
            return original(block)

        monkeypatch.setattr(desk.buffer, "append", append)
        outbox, _, _ = place.outbox()
        outbox.open()
        outbox.put(made(0))
        assert entered.wait(PATIENCE)
        assert not desk.slow
        monkeypatch.setattr(owner, "_SLOW", 0.0)
        assert desk.slow
        goes_on.set()
        assert outbox.close(goodbye=False)
        assert not desk.slow


def test_a_block_that_is_no_policys_or_of_another_source_is_refused(place):
    with place.open() as desk:
        visit = Visit(desk)
        visit.answer(Message({"ask": "collector", "name": "left", "form": "f"}))
        for wrong in (chunk(3, source="left", kind="demo"), chunk(3, source="right")):
            said = visit.answer(Message({"ask": "block"}, Encoder().encode(wrong).data))
            assert "allowed: of 'left', policy" in said["refused"]
        assert len(desk.buffer) == 0


def test_pruned_steps_stay_counted(tmp_path):
    place = Place(tmp_path)
    with place.open() as desk:
        outbox, _, _ = place.outbox()
        outbox.open()
        for sequence in range(4):
            outbox.put(made(sequence))
        outbox.close(goodbye=False)
        desk.ledger.write()
        desk.buffer._store.prune(firsts=[0, 3])
    with place.open() as desk:
        assert len(desk.buffer) == 5  # and one more cannot be sampled: it begins with an observation that was pruned
        assert desk.ledger.steps == 12
