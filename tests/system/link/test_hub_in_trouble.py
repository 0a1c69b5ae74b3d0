"""A hub whose own folder fails it, and operators who want the same at the same moment."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import closing
from typing import Any

import pytest
from fleet import TIMEOUT, Fleet, episode, wait

from user_gym.errors import NotAdmitted, PeerLost
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub.caller import Caller
from user_gym.system.link.hub.hands import Hands
from user_gym.system.link.hub.session import Session
from user_gym.system.link.identity.audit import NAME, Audit
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.identity.roster import OPERATOR, Member
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

PATIENCE = {"patience": 1.0}
TAKE = Message(Kind.REQUEST, {"ask": "take over", "edge": "e1", "robot": "arm"})


@pytest.fixture
def folder(tmp_path):
    return HubFolder(tmp_path / "hub")


@pytest.fixture
def fleet(tmp_path, folder):
    bundle = folder.enroll("e1", "127.0.0.1:1")
    with Fleet(tmp_path, {"folder": folder, **PATIENCE}, PATIENCE) as made:
        made.edge = made.begin_edge("e1", ("arm",), bundle=bundle)  # type: ignore[attr-defined]
        yield made


def test_who_is_revoked_after_the_books_could_not_be_read_for_a_while_is_put_out(fleet, folder, caplog):
    books = folder.path / "roster.json"
    whole = books.read_bytes()
    books.write_bytes(b"[")
    wait(lambda: "whether those who are in may stay is not known" in caplog.text)
    assert fleet.hub.edges()[0].connected
    books.write_bytes(whole)
    folder.revoke("e1")
    wait(lambda: isinstance(fleet.edge.failure, NotAdmitted), 5.0)


def test_a_diary_that_cannot_be_written_keeps_nobody_out_and_no_robot_moving(fleet, folder, caplog):
    diary = folder.path / NAME
    diary.rename(folder.path / "before")
    diary.mkdir()  # as on a full disk, writing fails
    assert fleet.hub.stop(by="somebody") == {"e1": "stopped"}
    assert '"what": "stopped", "who": "somebody"' in caplog.text
    fleet.relay.reset()
    wait(lambda: caplog.text.count('"what": "let in"') == 1)
    fleet.edge.wait(TIMEOUT)


def test_a_hub_that_drops_whom_it_has_let_in_is_dialled_less_and_less_often(fleet, monkeypatch):
    async def drop(self, message):
        raise PeerLost("dropped")

    monkeypatch.setattr(Session, "_deliver", drop)
    fleet.relay.reset()  # who is here keeps what delivers
    before = fleet.edge._welcomes
    time.sleep(4.0)
    assert 1 <= fleet.edge._welcomes - before <= 12  # else 40


def test_a_second_machine_under_the_name_of_one_that_is_here_is_turned_away(tmp_path):
    """Both begin with episode 0: blocks of one would be taken for repetitions of the other's."""
    with Fleet(tmp_path) as fleet, Spool.open(tmp_path / "elsewhere") as spool:
        first = fleet.begin_edge("e1")
        second = Edge(fleet.relay.address, spool, name="e1", robots=["arm"])
        with second, pytest.raises(NotAdmitted, match=r"'e1' is here already, .* with another spool"):
            second.wait(TIMEOUT)
        for chunk in episode("e1", "arm", 0):
            first.outlet.put(chunk)
        assert first.flush(TIMEOUT)
        fleet.end_edge("e1")
        wait(lambda: not fleet.hub.edges()[0].connected)
        with Edge(fleet.relay.address, spool, name="e1", robots=["arm"]) as second:
            second.wait(TIMEOUT)
            assert second.next_episode("arm") == 1


@pytest.mark.parametrize("restarted", [False, True])
def test_a_machine_whose_numbers_another_one_has_used_meanwhile_loses_nothing_in_silence(tmp_path, folder, restarted):
    """Its blocks have the numbers that the other one's had: they would be taken for repetitions."""
    bundle = folder.enroll("e1", "127.0.0.1:1")
    first, second = (Spool.open(tmp_path / name, durability="kill") for name in ("first", "second"))
    with closing(first), closing(second), Fleet(tmp_path, {"folder": folder}) as fleet:

        def visit(spool, numbers, hub_is_there=True):
            with Edge(fleet.relay.address, spool, bundle=bundle, robots=["arm"]) as edge:
                if hub_is_there:
                    edge.wait(TIMEOUT)
                for number in numbers:
                    for chunk in episode("e1", "arm", number):
                        edge.outlet.put(chunk)
                assert edge.flush(TIMEOUT if hub_is_there else 0.0) == hub_is_there

        visit(first, [0])
        fleet.end_hub()
        visit(first, [1], hub_is_there=False)
        waiting = len(first)
        fleet.begin_hub()
        visit(second, [1, 2])
        if restarted:
            fleet.end_hub()
            fleet.begin_hub()
        with pytest.raises(NotAdmitted, match=rf"{waiting} blocks wait in this spool of 'e1', and another spool has gone on"):
            visit(first, [])
        assert len(first) == waiting > 0
        visit(second, [3])  # who went on, goes on


def test_robots_that_go_on_with_numbers_that_another_machine_used_meanwhile_are_turned_away(tmp_path, folder):
    """Nothing waits in its spool: but what they collect next would have the other one's numbers."""
    bundle = folder.enroll("e1", "127.0.0.1:1")
    options = {"folder": folder, **PATIENCE}, PATIENCE
    with Fleet(tmp_path, *options) as fleet, Spool.open(tmp_path / "second", durability="kill") as other:
        first = fleet.begin_edge("e1", bundle=bundle)
        fleet.relay.cut()
        wait(lambda: not fleet.hub.edges()[0].connected)
        with Edge(f"127.0.0.1:{fleet.hub.port}", other, bundle=bundle, robots=["arm"]) as second:
            second.wait(TIMEOUT)
            for chunk in episode("e1", "arm", 0):
                second.outlet.put(chunk)
            assert second.flush(TIMEOUT)
        wait(lambda: not fleet.hub.edges()[0].connected)
        fleet.relay.restore()
        wait(lambda: first.failure is not None)
        assert "another spool has gone on with its numbers" in str(first.failure)


def test_a_spool_keeps_its_name(tmp_path):
    found = []
    for folder in ("a", "a", "b"):
        with Spool.open(tmp_path / folder) as spool:
            found.append(spool.name)
    assert found[0] == found[1] != found[2]
    assert len(bytes.fromhex(found[0])) == 16


class _Edge:
    """A session that says what it was told, and answers when the test does."""

    name = "e1"

    def __init__(self):
        self.told, self.answer = [], asyncio.Event()
        self.says: Message | None = Message(Kind.REPLY, {"axes": 2})

    async def call(self, asked, timeout):
        self.told.append(asked.words["by"])
        await self.answer.wait()
        if self.says is None:
            raise PeerLost("no answer")
        return self.says

    def send(self, message):
        self.told.append(message.words["by"])


def operator(name) -> Any:
    return Caller(Member(name, OPERATOR, "", "", 0.0, 1e12), f"{name}#1", None)  # type: ignore[arg-type]


def test_of_two_operators_who_ask_at_once_one_has_the_robot(tmp_path):
    async def both():
        edge: Any = _Edge()
        hands = Hands({"e1": edge}, {}, Audit(tmp_path / NAME))
        first = asyncio.ensure_future(hands.take(operator("a"), TAKE))
        await asyncio.sleep(0)
        second = await hands.take(operator("b"), TAKE)
        edge.answer.set()
        return await first, second, edge.told

    first, second, told = asyncio.run(both())
    assert (first, second["error"], told) == ({"axes": 2}, "'a' has e1/arm already", ["a"])


@pytest.mark.parametrize("leaves", [True, False])
def test_a_robot_whose_operator_left_or_whose_edge_did_not_answer_is_let_go(tmp_path, leaves):
    async def go():
        edge: Any = _Edge()
        hands = Hands({"e1": edge}, {}, Audit(tmp_path / NAME))
        first = asyncio.ensure_future(hands.take(operator("a"), TAKE))
        await asyncio.sleep(0)
        if leaves:
            hands.gone("a#1")
        else:
            edge.says = None
        edge.answer.set()
        said = await first
        edge.says = Message(Kind.REPLY, {"axes": 2})
        return said, await hands.take(operator("b"), TAKE), edge.told

    said, later, told = asyncio.run(go())
    assert said["error"] == ("e1/arm was let go meanwhile" if leaves else "no answer")
    assert later == {"axes": 2}
    assert told == ["a", "", "b"]
    assert [json.loads(line)["who"] for line in (tmp_path / NAME).read_text().splitlines()] == ["b"]
