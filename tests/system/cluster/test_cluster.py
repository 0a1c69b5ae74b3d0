"""Runs on a cluster of two nodes, real ones, whose processes are killed."""

from __future__ import annotations

import os
import signal

import pytest

pytest.importorskip("ray", reason="ray comes with the extra 'ray'")

PLENTY = 1_000_000


def robots(path, *names, step=0.01):
    """Collectors of robots that nobody else may have meanwhile."""
    path.mkdir(exist_ok=True)
    made = []
    for name in names:
        kwargs = {"step": step, "cell": str(path), "closed": str(path / f"{name}.held")}
        made.append({"name": f"{name}-arm", "env": "placed_robots:PlacedRobot-v0", "device": name, "kwargs": kwargs})
    return made


def kill(run, name):
    """kill -9 of an actor's process; waits until it has another."""
    before = run.until(lambda: run.facts(name).get("pid"), f"{name} to be there")
    os.kill(before, signal.SIGKILL)
    return run.until(lambda: run.facts(name).get("pid") not in (None, before), f"another {name}")


def assert_kept(before, run):
    """Each chunk that was stored before is stored still."""
    stored = run.experience()
    for source, episodes in before.items():
        for episode, sequences in episodes.items():
            assert stored[source][episode][: len(sequences)] == sequences


@pytest.mark.slow
def test_what_is_killed_begins_again_and_who_wants_the_same_robot_waits(runs, tmp_path):
    cell = tmp_path / "cell"
    run = runs(steps=PLENTY, collectors=robots(cell, "left", "right")).start()
    run.until(lambda: run.facts("learner").get("checkpoint", 0) > 50, "a checkpoint")
    assert run.facts("left-arm")["node"] != run.facts("owner")["node"] == run.facts("learner")["node"]
    before = run.experience()
    kill(run, "left-arm")
    kill(run, "learner")
    kill(run, "owner")
    steps = run.steps()
    run.until(lambda: run.steps() > steps + 100 and run.facts("learner")["state"] == "learns", "it to go on")
    other = runs(steps=100, collectors=robots(cell, "left", step=0.0)).start()
    other.until(lambda: "waits for robot:left: it is taken" in other.facts("left-arm").get("state", ""), "it to wait")
    assert other.steps() == 0
    run.parent.send_signal(signal.SIGINT)
    assert run.end()[0] == 130, run.logs()
    assert (cell / "right.held").read_text() == "held"
    assert other.end()[0] == 0, other.logs()  # the robot is free now
    other.check()
    assert_kept(before, run)
    run.change(steps=sum(robot["steps"] for robot in run.facts("owner")["robots"].values()) + 200)
    assert run.start().end()[0] == 0, run.logs()
    run.check()
    begun = [int(line.split("after ")[1].split()[0]) for line in run.logs().splitlines() if "goes on after" in line]
    assert begun[0] == 0
    assert begun[1] > 50
    assert begun[2] >= begun[1]


@pytest.mark.slow
def test_a_run_ends_without_a_robot_that_no_machine_has(runs, tmp_path):
    run = runs(steps=200, collectors=robots(tmp_path / "cell", "right", "lost")).start()
    code, said = run.end()
    assert code == 0, said
    assert run.facts("lost-arm")["state"] == "waits for robot:lost: no node of the cluster has it"
    robots_of = run.check()["robots"]
    assert robots_of["lost-arm"] == {**robots_of["lost-arm"], "steps": 0, "ended": True}
    assert run.facts("lost-arm")["starts"] == 0


@pytest.mark.slow
def test_what_cannot_be_done_stops_the_run_with_one_line(runs, tmp_path):
    run = runs(agent={"make": "no_such_module:agent"}, collectors=robots(tmp_path / "cell", "left")).start()
    code, said = run.end()
    assert code == 2
    assert "error: bad callable of the plan 'no_such_module:agent'" in said


@pytest.mark.slow
def test_with_its_driver_killed_a_run_ends_and_the_same_command_goes_on(runs, tmp_path):
    run = runs(steps=PLENTY, collectors=robots(tmp_path / "cell", "left")).start()
    run.until(lambda: run.steps() > 100, "100 steps")
    there = [run.pid(name) for name in ("owner", "learner")]
    run.parent.kill()
    run.parent.wait()
    run.until(lambda: not any(one.alive for one in there), "its actors to end")
    before = run.experience()
    run.change(steps=run.steps() + 300)
    assert run.start().end()[0] == 0, run.logs()
    run.check()
    assert_kept(before, run)
