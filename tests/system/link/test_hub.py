"""What a hub and its edges say to each other besides experience: weights, stops, questions, and who may stay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fleet import TIMEOUT, Fleet, wait

from user_gym.errors import BadOption, NotAdmitted, PeerLost, UnknownName
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub import Hub, delivery
from user_gym.system.link.hub.store import Room
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message
from user_gym.system.weights import Broadcaster, Receiver

PATIENCE = {"patience": 1.0}


def arrays(value, size=1000):
    return {"mean": np.full(size, value, np.float32)}


def held(receiver):
    newest = receiver.newest()
    assert newest is not None
    return newest.arrays["mean"]


@pytest.fixture
def published():
    return Broadcaster()


@pytest.fixture
def fleet(tmp_path, published):
    with Fleet(tmp_path, {**PATIENCE, "weights": published}, PATIENCE) as made:
        yield made


def test_the_newest_weights_reach_every_edge(fleet, published):
    receivers = [Receiver("toy", finite=True) for _ in range(3)]
    for number, receiver in enumerate(receivers):
        fleet.begin_edge(f"e{number}", receiver=receiver)
    for version in range(3):
        published.publish(arrays(version), "toy")
        for receiver in receivers:
            wait(lambda receiver=receiver, version=version: receiver.held and receiver.held.version == version)
            np.testing.assert_array_equal(held(receiver), arrays(version)["mean"])
    wait(lambda: [status.version for status in fleet.hub.edges()] == [2, 2, 2])


def test_an_edge_that_wants_no_weights_gets_none(fleet, published):
    fleet.begin_edge("e1")
    receiver = Receiver("toy")
    fleet.begin_edge("e2", receiver=receiver)
    published.publish(arrays(1), "toy")
    wait(lambda: receiver.held)
    wait(lambda: [status.version for status in fleet.hub.edges()] == [-1, 0])


def test_weights_of_another_policy_are_refused_and_the_ones_before_stay(fleet, published):
    receiver = Receiver("other", finite=True)
    fleet.begin_edge(receiver=receiver)
    published.publish(arrays(1), "toy")
    wait(lambda: "spec_hash" in fleet.hub.edges()[0].complaint)
    assert receiver.newest() is None
    assert not fleet.hub._sessions["e1"].delivery.wants  # nor is it sent the next ones, which would be refused as well


def test_weights_that_are_too_long_for_the_link_are_not_sent_and_somebody_hears_of_it(fleet, published, monkeypatch):
    monkeypatch.setattr(delivery, "_MOST", 1000)
    receiver = Receiver("toy")
    fleet.begin_edge(receiver=receiver)
    published.publish(arrays(1), "toy")
    wait(lambda: "are not sent" in fleet.hub.edges()[0].complaint)
    assert receiver.held is None


def test_weights_that_are_not_finite_are_not_sent_and_the_next_ones_are(fleet, published, caplog):
    receiver = Receiver("toy", finite=True)
    fleet.begin_edge(receiver=receiver)
    published.publish(arrays(1), "toy")
    wait(lambda: receiver.held)
    published.publish(arrays(np.nan), "toy")
    wait(lambda: "not finite" in caplog.text)
    assert receiver.held is not None
    assert receiver.held.version == 0
    published.publish(arrays(3), "toy")
    wait(lambda: receiver.held and receiver.held.version == 2)


def test_an_edge_refuses_weights_that_are_not_finite_whatever_the_hub_does(fleet, published):
    receiver = Receiver("toy", finite=True)
    fleet.begin_edge(receiver=receiver)
    fleet.hub._encoder._finite = False  # a hostile hub
    published.publish(arrays(np.inf), "toy")
    wait(lambda: "not finite" in fleet.hub.edges()[0].complaint)
    assert receiver.newest() is None
    published.publish(arrays(3), "toy")
    wait(lambda: receiver.held and receiver.held.version == 1)
    wait(lambda: not fleet.hub.edges()[0].complaint)


def test_weights_come_again_after_an_outage_and_after_a_restart_of_the_hub(fleet, published):
    receiver = Receiver("toy", finite=True)
    fleet.begin_edge(receiver=receiver)
    published.publish(arrays(0), "toy")
    wait(lambda: receiver.held)
    fleet.relay.reset()
    published.publish(arrays(1), "toy")
    wait(lambda: receiver.held and receiver.held.version == 1)
    fleet.end_hub()
    fleet.begin_hub()
    published.publish(arrays(2), "toy")
    wait(lambda: receiver.held and receiver.held.version == 2)
    np.testing.assert_array_equal(held(receiver), arrays(2)["mean"])


def test_weights_torn_by_a_reset_are_resumed(tmp_path, published):
    with Fleet(tmp_path, {**PATIENCE, "weights": published}, PATIENCE, rate=4e6) as fleet:
        receiver = Receiver("toy", finite=True)
        edge = fleet.begin_edge(receiver=receiver)
        published.publish({"mean": np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)}, "toy")  # 4 MB
        wait(lambda: edge._visit and edge._visit.connection and edge._visit.connection.received > 2_000_000)
        fleet.relay.reset()
        wait(lambda: receiver.held)
        assert edge._visit is not None
        assert edge._visit.connection is not None
        assert edge._visit.connection.received < 2_700_000


def test_a_stop_reaches_every_edge_and_says_so(fleet):
    told = []
    for name in ("e1", "e2"):
        fleet.begin_edge(name, stop=lambda by, name=name: told.append((name, by)))
    assert fleet.hub.stop(by="operator") == {"e1": "stopped", "e2": "stopped"}
    assert sorted(told) == [("e1", "operator"), ("e2", "operator")]
    assert fleet.hub.stop("e1", by="operator") == {"e1": "stopped"}
    with pytest.raises(UnknownName, match="known: e1, e2"):
        fleet.hub.stop("e3", by="operator")


def test_a_stop_that_failed_or_was_not_heard_is_never_reported_as_done(fleet):
    def fail(by):
        raise OSError("no driver listens")

    fleet.begin_edge("e1", stop=fail)
    assert fleet.hub.stop(by="operator") == {"e1": "NOT stopped: no driver listens"}
    fleet.relay.cut()
    assert "no answer" in fleet.hub.stop(by="operator", timeout=0.2)["e1"]
    fleet.relay.restore()


def test_an_edge_says_how_it_is(fleet):
    edge = fleet.begin_edge(facts=lambda: {"robots": {"arm": "healthy"}})
    wait(lambda: fleet.hub.edges()[0].facts.get("robots") == {"arm": "healthy"})
    status = fleet.hub.edges()[0]
    assert status.facts["unacknowledged"] == 0
    wait(lambda: fleet.hub.edges()[0].round_trip is not None)
    assert edge.failure is None


def test_questions_are_answered_and_unanswered_ones_have_a_deadline(fleet):
    def ask(number, timeout=TIMEOUT):
        return fleet.hub.call("e1", Message(Kind.REQUEST, {}, {"n": np.array(number)}), timeout).arrays["twice"]

    fleet.begin_edge("e1", answer=lambda asked: Message(Kind.REPLY, {}, {"twice": np.array(2 * asked.arrays["n"])}))
    assert ask(21) == 42
    fleet.relay.cut()
    with pytest.raises(PeerLost, match="no answer"):
        ask(1, 0.1)
    fleet.relay.restore()
    assert ask(5) == 10  # and not the late answer to another question
    assert fleet.hub._sessions["e1"].calls.late == 1
    with pytest.raises(UnknownName):
        fleet.hub.call("e9", Message(Kind.REQUEST), 1.0)


@pytest.fixture
def folder(tmp_path):
    return HubFolder(tmp_path / "hub")


def secured(fleet, folder, name):
    bundle = folder.enroll(name, fleet.relay.address)
    return fleet.begin_edge(name, bundle=bundle, wait_for_hub=False)


@pytest.fixture
def guarded(tmp_path, folder):
    folder.enroll("somebody", "127.0.0.1:1")
    with Fleet(tmp_path, {**PATIENCE, "folder": folder}, PATIENCE) as made:
        yield made


def test_an_edge_with_a_bundle_works_through_tls(guarded, folder):
    edge = secured(guarded, folder, "e1")
    edge.wait(TIMEOUT)
    assert guarded.hub.stop(by="operator") == {"e1": "stopped"}


def test_an_edge_that_is_revoked_is_put_out_within_a_second_or_so(guarded, folder):
    edge = secured(guarded, folder, "e1")
    edge.wait(TIMEOUT)
    folder.revoke("e1")
    wait(lambda: isinstance(edge.failure, NotAdmitted), 5.0)
    assert not guarded.hub.edges()[0].connected
    noted = [json.loads(line)["what"] for line in (folder.path / "audit.jsonl").read_text().splitlines()]
    assert noted == ["enrolled", "enrolled", "let in", "revoked", "put out", "turned away"]


def test_an_edge_is_nobody_but_who_its_bundle_says(guarded, folder):
    edge = secured(guarded, folder, "e1")
    edge.wait(TIMEOUT)
    liar = secured(guarded, folder, "e2")
    liar.wait(TIMEOUT)
    guarded.end_edge("e2")
    with Spool.open(Path(folder.path) / "s") as spool:
        lying = Edge(guarded.relay.address, spool, bundle=folder.enroll("e3", guarded.relay.address))
        lying.name, lying._home = "e1", replace(lying._home, name="e1", sources=[])
        with lying, pytest.raises(NotAdmitted, match="this bundle is of 'e3'"):
            lying.wait(TIMEOUT)


def test_two_hubs_cannot_listen_at_one_port():
    with Hub() as hub, pytest.raises(BadOption, match="nobody else listens"):
        Hub(f"127.0.0.1:{hub.port}").open()


def test_a_hub_closes_twice(fleet):
    fleet.begin_edge()
    fleet.hub.close()
    fleet.hub.close()


def test_the_store_is_asked_for_the_room_of_the_robots_that_are_here(fleet):
    asked = []

    class Asked:
        def __init__(self, store):
            self.unfit, self.newest, self.extend = store.unfit, store.newest, store.extend

        def room(self, robots):
            asked.append(robots)
            return Room(0, False)

    fleet.hub._store = Asked(fleet.hub._store)
    fleet.begin_edge("e1", ("a", "b"))
    fleet.begin_edge("e2")
    assert asked[-1] == 3
    fleet.end_edge("e1")
    wait(lambda: not fleet.hub.edges()[0].connected)
    fleet.hub.tell()
    wait(lambda: asked[-1] == 1)
