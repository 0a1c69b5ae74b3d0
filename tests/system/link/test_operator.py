"""Who may ask a hub, and what comes of it."""

from __future__ import annotations

import json
from threading import Event, Thread

import pytest
from fleet import TIMEOUT, Fleet, wait

from user_gym.cli.main import main
from user_gym.errors import BadOption, NotAdmitted, PeerLost
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.identity.roster import OPERATOR
from user_gym.system.link.operator import ask

STOP = {"ask": "stop", "edge": ""}


@pytest.fixture
def folder(tmp_path):
    return HubFolder(tmp_path / "hub")


@pytest.fixture
def fleet(tmp_path, folder):
    """A hub with TLS, two edges, and what their robots were told."""
    bundles = {name: folder.enroll(name, "127.0.0.1:1") for name in ("e1", "e2")}
    with Fleet(tmp_path, {"folder": folder}) as made:
        made.told = []  # type: ignore[attr-defined]
        for name, bundle in bundles.items():
            stop = lambda by, name=name: made.told.append((name, by))  # type: ignore[attr-defined] # noqa: E731
            made.begin_edge(name, bundle=bundle, stop=stop)
        yield made


def boss(folder, fleet):
    return folder.enroll("boss", fleet.relay.address, role=OPERATOR)


def noted(folder, what):
    rows = [json.loads(line) for line in (folder.path / "audit.jsonl").read_text().splitlines()]
    return [row for row in rows if row["what"] == what]


def test_an_operator_stops_all_robots_and_it_is_noted(folder, fleet):
    bundle = boss(folder, fleet)
    assert ask(None, bundle, STOP) == {"answers": {"e1": "stopped", "e2": "stopped"}}
    assert ask(None, bundle, {"ask": "stop", "edge": "e2"}) == {"answers": {"e2": "stopped"}}
    assert sorted(fleet.told) == [("e1", "boss"), ("e2", "boss"), ("e2", "boss")]
    assert [row["who"] for row in noted(folder, "stopped")] == ["boss", "boss"]


def test_an_operator_sees_the_edges_and_is_none(folder, fleet):
    edges = ask(None, boss(folder, fleet), {"ask": "edges"})["edges"]
    assert [edge["name"] for edge in edges] == ["e1", "e2"]
    assert all(edge["connected"] for edge in edges)
    wait(lambda: len(fleet.hub.edges()) == 2)


def test_an_edge_is_no_operator(folder, fleet):
    bundle = folder.enroll("e3", fleet.relay.address)
    with pytest.raises(NotAdmitted, match="'e3' is no operator"):
        ask(None, bundle, STOP)
    assert not fleet.told
    assert noted(folder, "turned away")


def test_an_edge_that_asks_all_the_same_is_denied_and_noted(folder, fleet):
    from user_gym.system.link.wire.kinds import Kind
    from user_gym.system.link.wire.message import Message

    edge = fleet.edges["e1"]
    edge._loop.soon(edge._visit.connection.send, Message(Kind.REQUEST, STOP, number=7))
    wait(lambda: noted(folder, "broke the rules"))
    assert not fleet.told


@pytest.mark.parametrize(("said", "words"), [({"ask": "stop", "edge": "e9"}, "known: e1, e2")])
def test_a_question_about_nobody_is_an_error(folder, fleet, said, words):
    with pytest.raises(BadOption, match=words):
        ask(None, boss(folder, fleet), said)


def test_a_question_that_makes_no_sense_ends_the_connection(folder, fleet):
    with pytest.raises(PeerLost):
        ask(None, boss(folder, fleet), {"ask": "dance"})


def test_nobody_asks_without_a_bundle_off_loopback():
    with pytest.raises(BadOption, match="--operator"):
        ask("192.0.2.1:1", None, STOP)


def test_the_commands_stop_and_list(folder, fleet, tmp_path, capsys):
    boss(folder, fleet).save(tmp_path / "boss.bundle")
    assert main(["hub", "stop", "--bundle", f"{tmp_path}/boss.bundle"]) == 0
    assert capsys.readouterr().out == "e1: its robots hold\ne2: its robots hold\n"
    assert main(["hub", "edges", "--bundle", f"{tmp_path}/boss.bundle"]) == 0
    assert "here since" in capsys.readouterr().out
    fleet.end_edge("e2")
    wait(lambda: not fleet.hub.edges()[1].connected, TIMEOUT)
    assert main(["hub", "stop", "--bundle", f"{tmp_path}/boss.bundle"]) == 1
    assert "e2: NOT known to hold: edge 'e2' is not connected" in capsys.readouterr().out
    assert main(["hub", "edges", "--json", "--bundle", f"{tmp_path}/boss.bundle"]) == 0
    assert [edge["connected"] for edge in json.loads(capsys.readouterr().out)] == [True, False]


def test_questions_of_one_operator_are_answered_each_on_its_own_connection(folder, fleet):
    """One bundle, two connections: neither puts the other one out, nor hears what the other one asked."""
    bundle, answers = boss(folder, fleet), {}
    held, stopping = Event(), Event()
    fleet.end_edge("e2")
    fleet.begin_edge(
        "e2", bundle=folder.enroll("e2", "127.0.0.1:1", renew=True), stop=lambda by: (stopping.set(), held.wait(5))
    )
    slow = Thread(target=lambda: answers.update(slow=ask(None, bundle, {"ask": "stop", "edge": "e2"})))
    slow.start()
    assert stopping.wait(TIMEOUT)
    assert ask(None, bundle, {"ask": "stop", "edge": "e1"}) == {"answers": {"e1": "stopped"}}
    held.set()
    slow.join(TIMEOUT)
    assert answers["slow"] == {"answers": {"e2": "stopped"}}


def test_raw_episodes_are_only_for_operators_of_that_edge(folder, fleet):
    few = folder.enroll("few", fleet.relay.address, role=OPERATOR, edges=["e2"])
    for said in (
        {"ask": "fetch", "source": "e1/arm", "episode": 0},
        {"ask": "raw", "source": "e1/arm", "episode": 0, "sequence": -1},
    ):
        with pytest.raises(BadOption, match="'few' may have raw episodes of e2; not of 'e1'"):
            ask(None, few, said)
    assert [row["source"] for row in noted(folder, "denied")] == ["e1/arm", "e1/arm"]
