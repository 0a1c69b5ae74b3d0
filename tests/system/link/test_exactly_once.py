"""Experience from edge to hub, through outages and restarts of either end: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
from threading import Event, Thread

import pytest
from fleet import TIMEOUT, Fleet, episode, wait

from user_gym.errors import BadChunk, BadOption, Closed, NotAdmitted, PeerLost
from user_gym.system.link.edge import Edge, Spool, outlet
from user_gym.system.link.edge.edge import State
from user_gym.system.link.hub import Hub, session
from user_gym.system.link.hub.store import Room

PATIENCE = {"patience": 1.0}


@pytest.fixture
def fleet(tmp_path):
    with Fleet(tmp_path, PATIENCE, PATIENCE) as made:
        yield made


def collect(edge, robot="arm", begin=0, end=5, **options):
    for number in range(begin, end):
        for chunk in episode(edge.name, robot, number, **options):
            edge.outlet.put(chunk)
            edge.outlet.insert(len(chunk))


def test_what_an_edge_collects_is_in_the_hubs_buffer(fleet):
    edge = fleet.begin_edge()
    collect(edge)
    assert edge.flush(TIMEOUT)
    fleet.check("e1/arm", 5)
    (status,) = fleet.hub.edges()
    assert (status.name, status.connected, status.blocks, status.steps, status.repeated) == ("e1", True, 15, 60, 0)
    assert edge.state is State.CONNECTED


def test_two_robots_of_one_edge_and_two_edges_share_a_hub(fleet):
    edges = [fleet.begin_edge("e1", ("left", "right")), fleet.begin_edge("e2", ("left",))]
    threads = [Thread(target=collect, args=(edges[k], robot)) for k, robot in ((0, "left"), (0, "right"), (1, "left"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert all(edge.flush(TIMEOUT) for edge in edges)
    for source in ("e1/left", "e1/right", "e2/left"):
        fleet.check(source, 5)


def test_the_robot_goes_on_through_an_outage_and_all_arrives_afterwards(fleet):
    edge = fleet.begin_edge()
    collect(edge, end=2)
    assert edge.flush(TIMEOUT)
    fleet.relay.cut()
    collect(edge, begin=2, end=6)
    wait(lambda: edge.state is State.DIALLING)
    assert not edge.flush(0.0)
    fleet.relay.restore()
    assert edge.flush(TIMEOUT)
    fleet.check("e1/arm", 6)


@pytest.mark.parametrize("what", ["reset", "halve"])
def test_connections_that_break_or_die_lose_nothing(fleet, what):
    edge = fleet.begin_edge()
    for number in range(6):
        collect(edge, begin=number, end=number + 1, picture=20_000)
        if number % 2:
            getattr(fleet.relay, what)()
    assert edge.flush(TIMEOUT)
    fleet.check("e1/arm", 6)


def test_a_hub_that_is_restarted_goes_on_where_it_was(fleet):
    edge = fleet.begin_edge()
    collect(edge, end=2)
    fleet.end_hub()
    collect(edge, begin=2, end=4)
    fleet.begin_hub()
    assert edge.flush(TIMEOUT)
    fleet.check("e1/arm", 4)


def test_an_edge_that_is_restarted_goes_on_where_it_was(fleet):
    fleet.relay.cut()
    edge = fleet.begin_edge(wait_for_hub=False)
    edge.outlet.allow(1 << 40, False)
    collect(edge, end=3)
    fleet.end_edge("e1")
    fleet.relay.restore()
    edge = fleet.begin_edge()
    assert edge.next_episode("arm") == 3
    collect(edge, begin=3, end=5)
    assert edge.flush(TIMEOUT)
    fleet.check("e1/arm", 5)


def test_an_edge_that_lost_its_spool_learns_from_the_hub_which_numbers_are_free(fleet):
    edge = fleet.begin_edge()
    collect(edge, end=3)
    assert edge.flush(TIMEOUT)
    fleet.end_edge("e1")
    for path in (fleet.path / "spool-e1").iterdir():
        path.unlink()
    edge = fleet.begin_edge()
    assert edge.next_episode("arm") == 3


def test_what_the_hub_has_is_not_sent_again_after_a_restart_of_the_edge(fleet):
    edge = fleet.begin_edge()
    collect(edge, end=3)
    assert edge.flush(TIMEOUT)
    fleet.end_edge("e1")
    fleet.begin_edge()
    assert fleet.edges["e1"].flush(TIMEOUT)
    (status,) = fleet.hub.edges()
    assert status.repeated == 0


def test_a_hub_that_lost_its_last_acknowledgements_gets_them_asked_again(tmp_path):
    """The connection ends between commit and acknowledgement: the block is sent twice and stored once."""
    with Fleet(tmp_path, PATIENCE, PATIENCE, delay=0.2) as fleet:
        edge = fleet.begin_edge()
        collect(edge, end=2)
        wait(lambda: len(fleet.buffer) > 0)
        fleet.relay.reset()
        assert edge.flush(TIMEOUT)
        fleet.check("e1/arm", 2)


def test_a_block_torn_by_a_reset_is_resumed_and_not_sent_from_the_start(tmp_path):
    with Fleet(tmp_path, PATIENCE, PATIENCE, rate=4e6) as fleet:
        edge = fleet.begin_edge()
        collect(edge, end=1, chunks=1, picture=1_300_000)  # three rows of noise: 3.9 MB
        wait(lambda: fleet.hub.edges()[0].received > 2_000_000)
        fleet.relay.reset()
        assert edge.flush(TIMEOUT)
        assert fleet.hub.edges()[0].received < 2_700_000
        fleet.check("e1/arm", 1, chunks=1)


@pytest.mark.slow
def test_random_breaks_and_restarts_of_both_ends_lose_nothing(fleet):
    rng, edge = random.Random(5), fleet.begin_edge()
    for number in range(40):
        collect(edge, begin=number, end=number + 1, picture=5_000)
        match rng.randrange(8):
            case 0:
                fleet.relay.reset()
            case 1:
                fleet.relay.halve()
            case 2:
                fleet.end_hub()
                fleet.begin_hub()
            case 3:
                fleet.end_edge("e1")
                edge = fleet.begin_edge()
                assert edge.next_episode("arm") == number + 1
    assert edge.flush(60.0)
    fleet.check("e1/arm", 40)


def test_an_edge_comes_in_once_and_the_newer_connection_counts(fleet):
    old = fleet.begin_edge()
    with Edge(fleet.relay.address, fleet._spools["e1"], name="e1", robots=("arm",)) as new:  # as after a half-open one
        new.wait(TIMEOUT)
        wait(lambda: old.state is State.DIALLING or old.lost)


def test_an_edge_cannot_bring_what_is_not_its_own(fleet):
    edge = fleet.begin_edge()
    with pytest.raises(BadChunk, match="e1/ROBOT"):
        edge.outlet.put(episode("e2", "arm", 0)[0])
    (foreign,) = episode("e2", "arm", 0, chunks=1)
    edge.outlet._edge = "e2"  # a hostile edge asks nobody
    edge.outlet.put(foreign)
    wait(lambda: edge.outlet._failure)
    with pytest.raises(BadChunk, match="brings its own data"):
        edge.outlet.put(foreign)
    assert len(fleet.buffer) == 0
    assert fleet.hub.edges()[0].refused == 1


def test_a_block_that_is_too_long_for_the_link_is_refused_where_it_is_made(fleet, monkeypatch):
    monkeypatch.setattr(outlet, "_MOST", 10_000)
    edge = fleet.begin_edge()
    edge.outlet.put(episode("e1", "arm", 0, chunks=1, picture=20_000)[0])
    wait(lambda: edge.outlet._failure)
    with pytest.raises(BadChunk, match="make its chunks shorter"):
        edge.outlet.insert(1)


def test_blocks_that_do_not_fit_are_refused_and_kept_aside_and_others_go_on(fleet):
    good, bad = fleet.begin_edge("good"), fleet.begin_edge("bad")
    collect(good, end=1)
    assert good.flush(TIMEOUT)
    (other,) = episode("bad", "arm", 0, chunks=1)
    other.obs["state"] = other.obs["state"].astype("f8")  # type: ignore[index]
    bad.outlet.put(other)
    wait(lambda: bad.outlet._failure)
    assert (fleet.path / "spool-bad" / "refused.segment").exists()
    collect(good, begin=1, end=2)
    assert good.flush(TIMEOUT)
    fleet.check("good/arm", 2)


def test_an_edge_that_dials_again_and_again_does_not_fill_the_hubs_memory(fleet, monkeypatch):
    monkeypatch.setattr(session, "UNDER_WAY", 50_000)
    gate, store = Event(), fleet.hub._intake._store

    class Slow:
        newest, room = store.newest, store.room

        def extend(self, blocks):
            gate.wait(TIMEOUT)
            return store.extend(blocks)

    fleet.hub._intake._store = Slow()
    edge = fleet.begin_edge()
    collect(edge, end=10, picture=4_000)  # 30 blocks of some 13 KB
    kept = fleet.hub._sessions["e1"]
    for _ in range(3):
        wait(lambda: kept._pending > 25_000 and edge.state is State.CONNECTED)
        before = edge._welcomes
        fleet.relay.reset()
        wait(lambda before=before: edge._welcomes > before)
        assert kept._pending <= 50_000 + 20_000
    assert edge.failure is None
    gate.set()
    assert edge.flush(TIMEOUT)
    assert not kept.status().complaint
    fleet.check("e1/arm", 10)


def test_a_run_that_has_enough_tells_the_robots(tmp_path, fleet):
    class Limited:
        def __init__(self, store):
            self._store, self.unfit, self.newest, self.extend = store, store.unfit, store.newest, store.extend

        def room(self, edges):
            return Room(8, len(fleet.buffer) >= 24)

    fleet.hub._store = fleet.hub._intake._store = Limited(fleet.hub._store)
    edge = fleet.begin_edge()
    with pytest.raises(Closed, match="all the steps"):
        collect(edge, end=50)
    assert edge.outlet.enough
    assert edge.flush(TIMEOUT)
    assert 24 <= len(fleet.buffer) <= 40


def test_robots_that_wait_for_a_learner_hear_when_they_may_go_on_and_when_it_is_enough(fleet):
    said = [Room(-1, False)]

    class Behind:
        def __init__(self, store):
            self.unfit, self.newest, self.extend = store.unfit, store.newest, store.extend

        def room(self, robots):
            return said[0]

    fleet.hub._store = fleet.hub._intake._store = Behind(fleet.hub._store)
    edge = fleet.begin_edge("e1", ("a", "b"))
    assert edge.outlet._room == -1
    for now, told in ((Room(5, False), 10), (Room(-1, False), 10), (Room(0, False), 10), (Room(0, True), 0)):
        said[0] = now
        fleet.hub.tell()  # only what matters to somebody who waits is sent
        wait(lambda told=told: edge.outlet._room == told)
    assert edge.outlet.enough
    assert edge.state is State.CONNECTED


def test_nobody_waits_for_a_hub_that_is_not_there(tmp_path):
    with Spool.open(tmp_path / "spool") as spool, Edge("127.0.0.1:1", spool, name="e1") as edge:
        with pytest.raises(PeerLost, match="was not reached"):
            edge.wait(0.3)
        assert edge.state is State.DIALLING
    assert edge.state is State.CLOSED


def test_off_loopback_both_ends_insist_on_tls(tmp_path):
    with pytest.raises(BadOption, match="user-gym hub enroll"):
        Hub("0.0.0.0:0")
    with Spool.open(tmp_path / "spool") as spool, pytest.raises(BadOption, match="user-gym hub enroll"):
        Edge("192.0.2.1:5870", spool, name="e1")


def test_an_edge_that_is_not_let_in_says_so_to_its_robots(tmp_path):
    with Fleet(tmp_path, {"most_edges": 1}) as fleet:
        fleet.begin_edge("e1")
        late = fleet.begin_edge("e2", wait_for_hub=False)
        with pytest.raises(NotAdmitted, match="knows 1 edges"):
            late.wait(TIMEOUT)
        assert late.state is State.FAILED
        with pytest.raises(NotAdmitted):
            late.outlet.put(episode("e2", "arm", 0)[0])
