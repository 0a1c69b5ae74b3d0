"""What a hub lets pass between clients and edges, without a network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from user_gym.errors import BadBlock
from user_gym.system.link.hub.switchboard import Switchboard
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.remote.asks import Ask
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message


class Edge:
    def __init__(self, name):
        self.name, self.connection, self.sent, self.outcome = name, object(), [], None

    def send(self, message):
        self.sent.append(message)

    def waiting(self, lane):
        return len(self.sent)

    def answer(self, lease, number, **words):
        self.outcome(self, Message(Kind.OUTCOME, {"lease": lease, **words}, {}, number))


class Client:
    def __init__(self, name):
        self.name, self.heard = name, []

    def reply(self, message):
        self.heard.append(message)


@pytest.fixture
def parts(tmp_path):
    edges = {name: Edge(name) for name in ("e1", "e2")}
    board = Switchboard(edges, Audit(tmp_path / "audit.jsonl"))
    for edge in edges.values():
        board.arrived(edge, hello(serves={"arm": ["A-v0", "B-v0"]}))
    ann, bob = Client("ann#1"), Client("bob#1")
    board.joined(ann)
    board.joined(bob)
    return board, edges, ann, bob


def hello(**words):
    return Message(Kind.HELLO, words)


def order(number, **words):
    return Message(Kind.ORDER, {**words, "ask": int(words["ask"])}, {}, number)


def leased(board, edges, client, edge="e1", number=1):
    board.order(client, order(number, ask=1, edge=edge, ids=["B-v0"], place="p", options={"obs": "state"}))
    opened = edges[edge].sent[-1]
    return opened, opened.words["lease"]


def test_an_edge_is_told_of_a_lease_and_its_answer_reaches_the_client(parts):
    board, edges, ann, _ = parts
    opened, lease = leased(board, edges, ann)
    assert opened.words == {
        "ask": Ask.OPEN, "lease": lease, "robot": "arm", "client": "ann#1", "id": "B-v0", "options": {"obs": "state"},
        "source": "e1/arm",
    }  # fmt: skip
    edges["e1"].answer(lease, 1, form=["float"])
    assert [(m.number, m.words["form"]) for m in ann.heard] == [(1, ["float"])]


def test_an_edge_cannot_answer_for_another_ones_robot(parts):
    board, edges, ann, _ = parts
    _, lease = leased(board, edges, ann)
    edges["e2"].answer(lease, 1)
    edges["e1"].answer("0" * 32, 1)
    assert not ann.heard


def test_a_client_cannot_order_another_ones_robot_nor_speak_as_the_hub(parts):
    board, edges, ann, bob = parts
    _, lease = leased(board, edges, ann)
    count = len(edges["e1"].sent)
    for ask in (Ask.STEP, Ask.RESET, Ask.RELEASE):
        board.order(bob, order(5, ask=ask, lease=lease))
        assert bob.heard[-1].words["error"][0] == "NotAdmitted"
    for ask in (Ask.OPEN, Ask.CLOSE, Ask.HOLD, 99):
        with pytest.raises(BadBlock, match="ask of a client"):
            board.order(ann, order(6, ask=ask, lease=lease))
    assert len(edges["e1"].sent) == count


def test_orders_that_an_edge_does_not_answer_are_bounded(parts):
    board, edges, ann, _ = parts
    _, lease = leased(board, edges, ann)
    edges["e1"].answer(lease, 1)
    for number in range(2, 20):
        board.order(ann, order(number, ask=Ask.STEP, lease=lease))
    assert sum(m.words["ask"] == Ask.STEP for m in edges["e1"].sent) == 8
    assert ann.heard[-1].words["error"][0] == "Busy"
    edges["e1"].answer(lease, 2)
    board.order(ann, order(20, ask=Ask.STEP, lease=lease))
    assert edges["e1"].sent[-1].number == 20


def test_an_edge_that_came_back_owes_no_answers(parts):
    board, edges, ann, _ = parts
    _, lease = leased(board, edges, ann)
    for number in range(2, 9):
        board.order(ann, order(number, ask=Ask.STEP, lease=lease))
    board.arrived(edges["e1"], hello(serves={"arm": ["B-v0"]}))
    board.order(ann, order(30, ask=Ask.STEP, lease=lease))
    assert edges["e1"].sent[-1].number == 30


def test_an_edge_that_is_away_is_said_at_once(parts):
    board, edges, ann, _ = parts
    _, lease = leased(board, edges, ann)
    edges["e1"].connection = None
    board.order(ann, order(7, ask=Ask.STEP, lease=lease))
    assert ann.heard[-1].words["error"] == ["PeerLost", "edge 'e1' is not connected"]
    board.order(ann, order(8, ask=1, edge="", ids=["A-v0"], place="q"))
    assert edges["e2"].sent[-1].words["id"] == "A-v0"


def test_a_client_that_left_has_its_robot_held_and_one_that_came_back_goes_on(parts):
    board, edges, ann, _ = parts
    _, lease = leased(board, edges, ann)
    board.left(ann)
    assert edges["e1"].sent[-1].words == {"ask": Ask.HOLD, "lease": lease, "robot": "arm"}
    again = Client("ann#1")
    board.joined(again)
    board.left(ann)  # the old connection is noticed late
    board.order(again, order(9, ask=Ask.STEP, lease=lease))
    assert edges["e1"].sent[-1].number == 9


def test_refusals_and_grants_are_in_the_diary(parts, tmp_path):
    board, edges, ann, bob = parts
    _, lease = leased(board, edges, ann)
    board.order(bob, order(2, ask=1, edge="e1/arm", ids=["A-v0"], place="p"))
    board.order(ann, order(3, ask=Ask.RELEASE, lease=lease))
    assert edges["e1"].sent[-1].words["ask"] == Ask.CLOSE
    notes = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(note["what"], note["who"]) for note in notes] == [
        ("lease granted", "ann#1"), ("lease refused", "bob#1"), ("lease ended", "ann#1"),
    ]  # fmt: skip
    assert "by ann#1" in notes[1]["why"]


@pytest.mark.parametrize(
    "words",
    [
        {"serves": []},
        {"serves": {"a b": ["A-v0"]}},
        {"serves": {"arm": []}},
        {"serves": {"arm": [1]}},
        {"serves": {"arm": ["x" * 201]}},
        {"serves": {f"arm-{i}": ["A-v0"] for i in range(65)}},
        {"serves": {"arm": ["A-v0"]}, "leases": {"other": ["1", "2"]}},
        {"serves": {"arm": ["A-v0"]}, "leases": {"arm": ["1"]}},
    ],
)
def test_an_edge_that_says_nonsense_of_what_it_serves_is_refused(parts, words):
    board, edges, _, _ = parts
    with pytest.raises(BadBlock):
        board.arrived(edges["e1"], hello(**words))


def test_only_a_word_that_one_attends_has_no_number_and_not_many_of_them_wait(parts):
    board, edges, ann, _ = parts
    _, lease = leased(board, edges, ann)
    for ask in (Ask.STEP, Ask.RESET, Ask.CHUNK):
        with pytest.raises(BadBlock, match="number of an order"):
            board.order(ann, order(0, ask=ask, lease=lease))
    bulky = Message(Kind.ORDER, {"ask": int(Ask.ATTEND), "lease": lease}, {"block": np.zeros(9, np.uint8)})
    with pytest.raises(BadBlock, match="number of an order"):
        board.order(ann, bulky)
    for _ in range(50):
        board.order(ann, order(0, ask=Ask.ATTEND, lease=lease))
    assert len(edges["e1"].sent) == 8


def test_a_robot_that_another_one_is_leased_in_the_place_of_is_closed_and_both_ends_are_noted(parts, tmp_path):
    board, edges, ann, bob = parts
    _, first = leased(board, edges, ann)
    leased(board, edges, ann, "e2")
    assert [m.words["ask"] for m in edges["e1"].sent] == [Ask.OPEN, Ask.CLOSE]
    assert edges["e1"].sent[-1].words["lease"] == first
    leased(board, edges, ann, "e2")
    assert [m.words["ask"] for m in edges["e2"].sent] == [Ask.OPEN, Ask.OPEN]
    leased(board, edges, bob, "e1")
    notes = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    ends = [(n["robot"], n["why"]) for n in notes if n["what"] == "lease ended"]
    assert ends == [("e1/arm", "another robot is leased in its place"), ("e2/arm", "leased anew")]
