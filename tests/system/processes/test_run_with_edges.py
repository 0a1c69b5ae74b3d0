"""A run some of whose robots are elsewhere: edges as processes of their own, over real sockets, and all of them die."""

from __future__ import annotations

import re
import signal
import time

import numpy as np
import pytest
from edge_process import at_edges, robot
from running import plan_words
from toy_training import chunk

from user_gym.errors import BadBlock
from user_gym.system import Buffer
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.metrics import status
from user_gym.system.processes import from_words
from user_gym.system.processes.edges import Edges, answered
from user_gym.system.processes.ledger import Ledger
from user_gym.system.processes.wire import Message


def steps_of(run, source):
    return run.facts("owner").get("robots", {}).get(source, {}).get("steps", 0)


def states(run):
    """Of robots, as those who watch see them."""
    return {one.name: one.state.value for one in status.read(run.folder.status_file).robots}


def test_robots_elsewhere_collect_for_a_run_beside_its_own(runs, edges):
    plan = at_edges("left", "arm-1/a", "arm-1/b", "arm-2/c")
    plan["collectors"][0] = robot("left", kwargs={"step": 0.02})  # which is there long before the others
    run = runs(**plan, steps=3000).start()
    there = [edges(run, name) for name in ("arm-1", "arm-2")]
    run.until(lambda: all(steps_of(run, source) for source in ("left", "arm-1/a", "arm-1/b", "arm-2/c")), "all to collect")
    run.until(lambda: run.facts("arm-1/a").get("state") == "collects", "its word")
    run.until(lambda: states(run)["arm-2/c"] == "acting", "it to act")
    run.until(lambda: run.facts("arm-1/b").get("version", -1) >= 0, "its weights")
    assert run.facts("hub")["state"] == "listens"
    assert run.end()[0] == 0, run.logs()
    finished = run.check()
    assert all(finished["robots"][source]["steps"] > 50 for source in ("left", "arm-1/a", "arm-1/b", "arm-2/c"))
    assert [edge.end() for edge in there] == [0, 0], [edge.said for edge in there]
    assert "the hub has them all" in there[0].said


def test_a_run_whose_robots_are_all_elsewhere_waits_for_them_and_ends_without_who_is_gone(runs, edges):
    run = runs(**at_edges("arm-1/a", "arm-2/b"), steps=300).start()
    run.until(lambda: run.facts("arm-1/a").get("state") == "waits for edge arm-1", "the hub")
    edge = edges(run, "arm-1")
    assert run.end()[0] == 0, run.logs()
    assert run.check()["robots"]["arm-2/b"]["steps"] == 0
    assert edge.end() == 0


def test_robots_elsewhere_wait_for_a_learner_that_is_behind(runs, edges):
    run = runs(**at_edges("arm-1/a"), steps=400, tolerance=30).start()
    edges(run, "arm-1")
    run.until(lambda: run.steps() > 60, "60 steps")
    learner = run.pid("learner")
    learner.send(signal.SIGSTOP)
    try:
        run.until(lambda: run.facts("owner").get("owed", 0) > 30, "the robot to be ahead")
        before = run.until(lambda: run.steps(), "steps")
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            assert run.steps() <= before + 30  # at 200 steps/s it would be 200
            time.sleep(0.05)
    finally:
        learner.send(signal.SIGCONT)
    assert run.end()[0] == 0, run.logs()
    run.check()


def test_the_owner_takes_of_a_hub_what_edges_of_the_run_may_have_sent(tmp_path):
    plan = from_words(plan_words(**at_edges("left", "arm-1/a")))
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        ledger = Ledger(plan, tmp_path / "owner.json")
        ledger.load(buffer)
        edges, encoder = Edges(ledger, buffer), Encoder()
        assert not edges.ready
        assert ledger.fits("f")
        assert edges.ready
        assert edges.unfit("arm-1/a", "f") == ""
        assert "'arm-1/a' has g; one agent learns from all, of f" in edges.unfit("arm-1/a", "g")
        assert "is none of this run's robots: arm-1/a" in edges.unfit("left", "f")  # it is, and no edge's

        def sent(*chunks, sizes=None):
            blocks = [encoder.encode(one).data for one in chunks]
            words = {"what": "blocks", "sizes": [len(block) for block in blocks] if sizes is None else sizes}
            return answered(edges, Message(words, b"".join(blocks)))

        first = chunk(3, source="arm-1/a")
        assert sent(first, chunk(3, source="arm-1/a", sequence=1, base=3)) == {"stored": [(0, 3, False), (3, 3, False)]}
        assert sent(first) == {"stored": [(0, 3, True)]}
        assert ledger.robots["arm-1/a"].steps == ledger.steps == 6
        assert edges.newest("arm-1/a") == (0, 1)
        assert edges.newest("left") is None
        assert "a block of 'left', policy" in sent(chunk(3, source="left"))["refused"]
        assert "a block of 'arm-1/a', demo" in sent(chunk(3, source="arm-1/a", episode=1, kind="demo"))["refused"]
        far = np.full(3, 1 << 62)
        assert "published so far: -1" in sent(chunk(3, source="arm-1/a", episode=1, policy_version=far))["refused"]
        for sizes in ([1], [], ["a"], [-1], 3):
            with pytest.raises(BadBlock):
                sent(first, sizes=sizes)
        with pytest.raises(BadBlock):
            answered(edges, Message({"what": "dance"}))
        assert len(buffer) == 6


@pytest.mark.slow
def test_a_stop_of_the_run_stops_the_robots_of_its_edges_and_both_go_on(runs, edges):
    run = runs(**at_edges("arm-1/a"), steps=800).start()
    edge = edges(run, "arm-1")
    run.until(lambda: run.steps() > 100, "100 steps")
    run.parent.send_signal(signal.SIGTERM)
    assert run.end()[0] == 130
    assert edge.end() == 1
    assert "stopped by user-gym run --stop" in edge.said
    run.start()
    edge.start()
    assert run.end()[0] == 0, run.logs()
    run.check()
    assert edge.end() == 0


def test_who_is_none_of_the_run_or_sees_something_else_is_turned_away_with_the_reason(runs, edges):
    run = runs(**at_edges("left", "arm-1/a"), steps=100_000).start()
    stranger = edges(run, "arm-9", robots=[robot("x")])
    assert stranger.end() == 2
    assert re.search(r"'arm-9/x' is none of this run's robots: arm-1/a", stranger.said)
    unlike = edges(run, "arm-1", robots=[{"name": "a", "env": "toy_robots:WideRobot-v0"}])
    assert unlike.end() == 2
    assert re.search(r"'arm-1/a' has float32\(3,\) -> float32\(1,\); one agent learns from all", unlike.said)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hub", "owner", "learner", "supervisor", "edge"])
def test_kill_9_of_any_process_costs_nothing_that_was_acknowledged(runs, edges, name):
    run = runs(**at_edges("arm-1/a"), steps=800).start()
    edge = edges(run, "arm-1")
    run.until(lambda: steps_of(run, "arm-1/a") > 100, "100 steps of the edge")
    if name == "edge":
        edge.kill()
        edge.start()
    else:
        killed = run.kill(name)
        assert run.until(lambda: run.pid(name), f"another {name}") != killed
    before = steps_of(run, "arm-1/a")
    acknowledged = run.experience()["arm-1/a"]
    run.until(lambda: steps_of(run, "arm-1/a") > before + 100, "100 more of the edge")
    assert run.end()[0] == 0, run.logs()
    run.check()
    after = run.experience()["arm-1/a"]
    for episode, sequences in acknowledged.items():
        assert after[episode][: len(sequences)] == sequences
    assert edge.end() == 0, edge.said
