"""What comes in through the gate reaches the owner, once, and weights go out; all of it in this process, without a cluster."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("ray", reason="ray comes with the extra 'ray'")

from running import PATIENCE, plan_words
from toy_training import chunk

from user_gym.errors import BadBlock, PeerLost
from user_gym.system import Buffer
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.cluster.gate import LOST, Gate
from user_gym.system.cluster.inflow import Inflow
from user_gym.system.processes import RunFolder, from_words
from user_gym.system.processes.ledger import Ledger
from user_gym.system.processes.owner import Desk, Visit
from user_gym.system.processes.plan import OWNER
from user_gym.system.processes.server import Server
from user_gym.system.weights import SharedPublisher

HELLO = {"ask": "collector", "name": "left", "form": "f"}


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.begin(from_words(plan_words(steps=6)))
    return made


@contextmanager
def owning(folder):
    with Buffer.open(folder.buffer, durability="kill") as buffer:
        ledger = Ledger(folder.plan(), folder.owner_file)
        ledger.load(buffer)
        desk = Desk(ledger, buffer, threading.Event())
        server = Server(folder.socket(OWNER), lambda: Visit(desk)).open()
        try:
            yield desk
        finally:
            desk.stop.set()
            server.close()


@pytest.fixture
def gate(folder):
    made = Gate(folder)
    yield made
    made.close()


def block(sequence):
    return Encoder().encode(chunk(3, source="left", sequence=sequence, base=3 * sequence), follows=sequence > 0).data


def until(what):
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if what():
            return
        pause.wait(0.01)
    raise AssertionError("waited in vain")


def test_what_a_collector_asks_reaches_the_owner(folder, gate):
    with owning(folder) as desk:
        assert gate.ask("left", "1", True, HELLO, b"")["steps"] == 0
        gate.ask("left", "1", False, {"ask": "block"}, block(0))
        assert desk.ledger.steps == 3
        assert desk.present == 1
        gate.leave("left")
        until(lambda: desk.present == 0)


def test_who_came_again_has_the_place_and_what_its_earlier_process_sends_is_refused(folder, gate):
    with owning(folder) as desk:
        gate.ask("left", "1", True, HELLO, b"")
        gate.ask("left", "2", True, HELLO, b"")
        assert LOST in gate.ask("left", "1", False, {"ask": "block"}, block(0))
        assert desk.ledger.steps == 0
        assert LOST not in gate.ask("left", "2", False, {"ask": "block"}, block(0))
        assert desk.ledger.steps == 3


def test_with_another_owner_a_collector_has_to_introduce_itself_anew(folder, gate):
    with owning(folder):
        gate.ask("left", "1", True, HELLO, b"")
    assert LOST in gate.ask("left", "1", False, {"ask": "go", "wait": 0.0}, b"")
    assert LOST in gate.ask("left", "2", True, HELLO, b"")
    with owning(folder):
        assert LOST in gate.ask("left", "1", False, {"ask": "go", "wait": 0.0}, b"")
        assert LOST not in gate.ask("left", "3", True, HELLO, b"")


def test_a_run_that_has_all_its_steps_does_not_wait_for_a_robot_that_does_not_come(folder, gate):
    gate.absent("right")  # nobody listens: it is said again
    with owning(folder) as desk:
        gate.absent("right")
        assert not desk.ledger.robots["right"].ended  # it may come still
        gate.ask("left", "1", True, HELLO, b"")
        for sequence in range(2):
            gate.ask("left", "1", False, {"ask": "block"}, block(sequence))
        gate.ask("left", "1", False, {"ask": "bye", "done": True}, b"")
        assert not desk.ledger.closed
        gate.absent("right")
        assert desk.ledger.closed


def test_weights_arrive_whole_and_then_as_what_changed(folder, gate):
    arrays = {"large": np.arange(100_000, dtype=np.float32), "small": np.zeros(3, np.float32)}
    sent, lost = [], threading.Event()

    def fetch(held, rate):
        if lost.is_set():
            raise PeerLost("the owner is gone")
        blob, seconds = gate.weights(held, rate)
        if blob is not None:
            sent.append(len(blob))
        return blob, seconds

    with SharedPublisher(folder.digest) as publisher, Inflow(fetch, pause=0.001) as inflow:
        assert inflow.newest() is None
        publisher.publish(arrays, "spec")
        until(lambda: inflow.newest() is not None)
        arrays["small"] += 1
        lost.set()
        publisher.publish(arrays, "spec")
        assert inflow.newest().version == 0
        lost.clear()
        until(lambda: inflow.newest().version == 1)
        held = inflow.newest()
        assert held.spec_hash == "spec"
        assert all(np.array_equal(held.arrays[name], arrays[name]) for name in arrays)
    assert sent[0] > 400_000 > 1000 * 2 > sent[1]


def test_weights_that_are_none_are_said_to_who_acts():
    with Inflow(lambda held, rate: (b"none", 0.0), pause=0.001) as inflow:
        inflow._thread.join(PATIENCE)
        with pytest.raises(BadBlock, match="number of bytes of weights"):
            inflow.newest()
