"""Raw episodes from an edge's disk to the hub and to an operator: real sockets, real files, and every kind of loss."""

from __future__ import annotations

import json

import pytest
from fleet import TIMEOUT, Fleet, episode, wait
from streams import SOURCE, blocks, fill, number_of

from user_gym.cli.main import main
from user_gym.errors import BadOption, NotAdmitted
from user_gym.system.link.fetch import fetch
from user_gym.system.link.hub import fetching
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.identity.roster import OPERATOR
from user_gym.system.link.operator import ask
from user_gym.system.link.raw import Archive
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

SIZE = 120  # pixels of a side: a block has 216 kB
PATIENCE = {"patience": 1.0}


@pytest.fixture
def folder(tmp_path):
    return HubFolder(tmp_path / "hub")


@pytest.fixture
def archives(tmp_path):
    """Of the edge, of the hub, and of the operator."""
    made = [Archive.open(tmp_path / name, spare_bytes=0) for name in ("raw-edge", "raw-hub", "raw-boss")]
    yield made
    for one in made:
        one.close()


@pytest.fixture
def fleet(tmp_path, folder, archives):
    """A hub with TLS, an edge that recorded two episodes, and one that records nothing."""
    for number in range(2):
        fill(archives[0], number, size=SIZE)
    bundles = {name: folder.enroll(name, "127.0.0.1:1") for name in ("e1", "e2")}
    with Fleet(tmp_path, {"folder": folder, "archive": archives[1], **PATIENCE}, PATIENCE) as made:
        made.begin_edge("e1", bundle=bundles["e1"], archive=archives[0])
        made.begin_edge("e2", bundle=bundles["e2"])
        made.bundles = bundles  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def boss(folder, fleet):
    return folder.enroll("boss", fleet.relay.address, role=OPERATOR)


def numbers(kept, number=0, source=SOURCE):
    return [number_of(picture) for picture in kept.stream(source, number, "wrist").columns["image"]]


def noted(folder, what):
    rows = [json.loads(line) for line in (folder.path / "audit.jsonl").read_text().splitlines()]
    return [row for row in rows if row["what"] == what]


def test_an_episode_comes_to_the_hub_and_to_the_operator_and_it_is_noted(fleet, boss, archives, folder):
    done = fetch(None, boss, SOURCE, 1, archives[2])
    assert (done.state, done.blocks, done.of) == ("done", 4, 4)
    for kept in archives[1:]:
        assert numbers(kept, 1) == list(range(20))
        assert kept.is_whole(SOURCE, 1)
        assert [one.episode for one in kept.episodes()] == [1]
    (row,) = noted(folder, "fetched")
    assert (row["who"], row["source"], row["episode"], row["blocks"]) == ("boss", SOURCE, 1, 4)
    provenance = json.loads((archives[1].folder / "provenance.jsonl").read_text())
    assert (provenance["who"], provenance["source"], provenance["bytes"]) == ("boss", SOURCE, done.bytes)
    assert [row["episode"] for row in noted(folder, "lent")] == ["1"]
    assert len(noted(folder, "fetch")) == 1


def test_what_is_at_the_hub_is_not_asked_for_again(fleet, boss, archives):
    fetch(None, boss, SOURCE, 0)
    fleet.end_edge("e1")
    assert fetch(None, boss, SOURCE, 0, archives[2]).state == "done"
    assert numbers(archives[2]) == list(range(20))


@pytest.mark.parametrize(
    ("source", "number", "words"),
    [
        (SOURCE, 7, "unknown raw episode of e1/arm 7; known: 0, 1"),
        ("e1/other", 0, "unknown source of raw episodes 'e1/other'; known: e1/arm"),
        ("e2/arm", 0, "nothing is recorded here"),
        ("e9/arm", 0, "of an edge that came to this hub: e1, e2"),
        ("boss/arm", 0, "of an edge that came to this hub: e1, e2"),
    ],
)
def test_what_is_not_there_is_said_and_nothing_is_kept(fleet, boss, archives, folder, source, number, words):
    for _ in range(2):  # a fetch that failed is tried anew when it is asked for anew
        with pytest.raises(BadOption, match=words):
            fetch(None, boss, source, number, archives[2])
    assert archives[1].episodes() == archives[2].episodes() == ()


def test_a_hub_without_an_archive_says_how_to_get_one(tmp_path, archives):
    with Fleet(tmp_path) as fleet:
        fleet.begin_edge("e1", archive=archives[0])
        with pytest.raises(BadOption, match="--raw DIR"):
            fetch(fleet.relay.address, None, SOURCE, 0)


def test_an_episode_that_is_being_recorded_is_not_lent(fleet, boss, archives):
    archives[0].append(blocks(5)[0])
    with pytest.raises(BadOption, match="is not over; ask again when it is"):
        fetch(None, boss, SOURCE, 5)
    archives[0].finish(SOURCE, 5)
    assert fetch(None, boss, SOURCE, 5).blocks == 1


def test_an_edge_cannot_fetch_nor_be_asked_by_another_edge(fleet, boss, archives, folder):
    with pytest.raises(NotAdmitted, match="'e2' is no operator"):
        fetch(fleet.relay.address, fleet.bundles["e2"], SOURCE, 0)
    asked = {"source": SOURCE, "episode": 0}
    for number, said in enumerate(({"ask": "fetch", **asked}, {"ask": "raw", "sequence": 0, **asked})):
        edge = fleet.edges["e2"]
        wait(lambda edge=edge: edge._visit is not None and edge._visit.connection is not None)
        edge._loop.soon(edge._visit.connection.send, Message(Kind.REQUEST, said, number=7 + number))
        wait(lambda number=number: len(noted(folder, "broke the rules")) > number)
    assert archives[1].episodes() == ()


def test_an_edge_that_brings_raw_blocks_that_nobody_asked_for_is_put_out(fleet, archives, folder):
    import numpy as np

    edge = fleet.edges["e1"]
    data = np.frombuffer(blocks(0)[0].data, np.uint8)
    edge._loop.soon(edge._visit.connection.send, Message(Kind.RAW, {}, {"block": data}))
    wait(lambda: noted(folder, "broke the rules"))
    assert "one that was asked for" in noted(folder, "broke the rules")[0]["why"]
    assert archives[1].episodes() == ()


@pytest.mark.parametrize("what", ["reset", "halve"])
def test_connections_that_break_or_die_cost_nothing_but_time(tmp_path, archives, what):
    made = fill(archives[0], 8, count=8, size=SIZE)
    total = sum(len(block.data) for block in made)
    with Fleet(tmp_path, {"archive": archives[1], **PATIENCE}, {"raw_rate": 1e6, **PATIENCE}) as fleet:
        fleet.begin_edge("e1", archive=archives[0])
        address = f"127.0.0.1:{fleet.hub.port}"  # an operator's way is not broken
        ask(address, None, {"ask": "fetch", "source": SOURCE, "episode": 8})
        for share in (0.2, 0.5, 0.8):
            wait(lambda share=share: fleet.relay.carried[0] > share * total)
            getattr(fleet.relay, what)()
        assert fetch(address, None, SOURCE, 8).state == "done"
        assert numbers(archives[1], 8) == list(range(40))


def test_experience_goes_before_raw_episodes_on_a_thin_line(tmp_path, archives):
    rate = 400_000.0  # bytes per second
    with Fleet(tmp_path, {"archive": archives[1]}, {"rate": rate}) as fleet:
        fill(archives[0], 0, count=12, size=SIZE)  # 2.6 MB: 6.5 s
        edge = fleet.begin_edge("e1", archive=archives[0])
        ask(fleet.relay.address, None, {"ask": "fetch", "source": SOURCE, "episode": 0})
        wait(lambda: archives[1].episodes(), TIMEOUT)
        for number in range(3):
            for chunk in episode("e1", "arm", number, picture=20_000):
                edge.outlet.put(chunk)
        assert edge.flush(TIMEOUT)  # 0.9 MB
        assert not archives[1].is_whole(SOURCE, 0)


def test_raw_episodes_keep_to_their_own_rate(tmp_path, archives):
    import time

    with Fleet(tmp_path, {"archive": archives[1]}) as fleet:
        fill(archives[0], 0, size=SIZE)
        fleet.begin_edge("e1", archive=archives[0], raw_rate=4e5)
        began = time.monotonic()
        done = fetch(fleet.relay.address, None, SOURCE, 0)
        assert done.bytes / (time.monotonic() - began) < 5e5


def test_the_commands_fetch_and_list(tmp_path, fleet, boss, archives, capsys):
    boss.save(tmp_path / "boss.bundle")
    archives[2].close()
    way = ["--bundle", f"{tmp_path}/boss.bundle"]
    assert main(["hub", "fetch", SOURCE, "1", "--to", f"{tmp_path}/raw-boss", *way]) == 0
    assert "episode 1 of e1/arm: 4 blocks" in capsys.readouterr().out
    with Archive.open(tmp_path / "raw-boss", read_only=True) as mine:
        assert numbers(mine, 1) == list(range(20))
    assert main(["hub", "fetch", SOURCE, "9", *way]) == 2
    assert "unknown raw episode of e1/arm 9; known: 0, 1" in capsys.readouterr().err


def test_many_fetches_from_one_edge_share_its_line_and_never_cut_it(tmp_path, archives):
    for number in range(4):
        fill(archives[0], number, size=SIZE)
    with Fleet(tmp_path, {"archive": archives[1], **PATIENCE}, PATIENCE) as fleet:
        edge = fleet.begin_edge("e1", archive=archives[0], raw_rate=2e6)
        since = fleet.hub.edges()[0].since
        for number in range(4):
            ask(fleet.relay.address, None, {"ask": "fetch", "source": SOURCE, "episode": number})
        wait(lambda: all(archives[1].is_whole(SOURCE, number) for number in range(4)), TIMEOUT)
        assert fleet.hub.edges()[0].since == since
        assert edge.failure is None


def test_a_fetch_from_an_edge_that_stays_away_ends_and_leaves_its_place_to_others(fleet, boss, monkeypatch):
    monkeypatch.setattr(fetching, "_AWAY", 0.5)
    fleet.end_edge("e1")
    with pytest.raises(BadOption, match=r"edge 'e1' has been away for 0\.5 s; ask again when it is back"):
        fetch(None, boss, SOURCE, 1)
