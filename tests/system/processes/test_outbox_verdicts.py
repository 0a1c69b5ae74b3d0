"""What a person says of episodes that are over never keeps a robot waiting, and what is lost of it is said."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from owning import Place
from toy_training import chunk

from user_gym.errors import PeerLost, WrongRun
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.processes import outbox as module
from user_gym.system.processes import owner
from user_gym.system.processes.owner import Visit
from user_gym.system.processes.wire import Message


def ended(source="left", **changes):
    return chunk(3, source=source, truncated=np.array([False, False, True]), **changes)


def test_however_many_verdicts_wait_for_an_owner_no_chunk_does_and_the_newest_counts(tmp_path, monkeypatch):
    written = []
    write = owner.write
    monkeypatch.setattr(owner, "write", lambda *args: written.append(args[2:]) or write(*args))
    place = Place(tmp_path)
    with place.open():
        outbox, _, _ = place.outbox()
        assert outbox.open() is not None
    outbox.put(ended())
    for k in range(300):
        outbox.tell(0, k % 2 == 0)
    for episode in range(1000, 1100):  # nobody has seen those
        outbox.tell(episode, True)
    outbox.tell(0, True)
    putting = threading.Thread(target=outbox.put, args=(ended(episode=1),), daemon=True)
    putting.start()
    putting.join(5.0)
    assert not putting.is_alive()
    with place.open() as desk:
        assert outbox.close(goodbye=False)
        zero = desk.buffer.view("episode = 0").numbers()
        assert desk.buffer.labels.at("verdict", zero).tolist() == [0, 0, 1]
        assert len(desk.buffer) == 6
    assert [said for said in written if said[0] == 0] == [(0, True)]


def test_a_verdict_that_is_under_way_stays_and_the_next_follows_it(tmp_path, monkeypatch):
    begun, go_on, written = threading.Event(), threading.Event(), []

    def write(*args):
        written.append(args[2:])
        begun.set()
        assert go_on.wait(10)
        return True

    monkeypatch.setattr(owner, "write", write)
    place = Place(tmp_path)
    with place.open():
        outbox, _, _ = place.outbox()
        assert outbox.open() is not None
        outbox.tell(0, True)
        assert begun.wait(10)
        outbox.tell(0, False)
        go_on.set()
        assert outbox.close(goodbye=False)
    assert written == [(0, True), (0, False)]


def test_a_verdict_for_an_owner_that_refused_is_lost_and_said(tmp_path, capsys):
    place = Place(tmp_path)
    with place.open():
        outbox, _, _ = place.outbox("nobody")
        with pytest.raises(WrongRun, match="'nobody' is none of"):
            outbox.open()
        outbox.tell(3, True)
        outbox.close(goodbye=False)
    assert "the verdict on episode 3 is not kept: 'nobody' is none of" in capsys.readouterr().err


def test_what_no_owner_took_is_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "LAST", {False: 0.0, True: 0.0})
    place = Place(tmp_path)
    for verdicts, words in ((0, "1 chunks were not"), (2, "1 chunks and 2 verdicts were not")):
        with place.open():
            outbox, _, _ = place.outbox()
            assert outbox.open() is not None
        outbox.put(ended())
        for episode in range(verdicts):
            outbox.tell(episode, True)
        assert not outbox.close(goodbye=False)
        assert words in capsys.readouterr().err


def test_verdicts_behind_a_chunk_that_the_owner_refuses_are_said_to_be_lost(tmp_path, capsys):
    place = Place(tmp_path)
    with place.open():
        outbox, _, _ = place.outbox()
        assert outbox.open() is not None
    outbox.put(ended(source="right"))
    outbox.tell(0, True)
    outbox.tell(1, True)
    with place.open():
        assert not outbox.close(goodbye=False)
    assert "1 chunks and 2 verdicts were not acknowledged: a block of 'right'" in capsys.readouterr().err


def test_what_a_killed_process_had_heard_of_a_person_does_not_take_the_place_of_a_later_word(tmp_path):
    with Place(tmp_path).open() as desk:
        early, late = Visit(desk), Visit(desk)
        for visit in (early, late):
            visit.answer(Message({"ask": "collector", "name": "left", "form": "f"}))
        late.answer(Message({"ask": "block"}, Encoder().encode(ended()).data))
        told = {"ask": "verdict", "episode": 0}
        assert late.answer(Message({**told, "success": True}))["kept"]
        with pytest.raises(PeerLost, match="has come again since"):
            early.answer(Message({**told, "success": False}))
        assert desk.buffer.labels.at("verdict", desk.buffer.numbers()).tolist() == [0, 0, 1]
