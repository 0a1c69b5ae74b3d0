"""A run of several processes from its start to its end: nothing is killed here."""

from __future__ import annotations

import json
import signal

import pytest

from user_gym.system import Buffer


def test_a_run_of_two_robots_ends_with_all_its_steps_and_updates(runs):
    run = runs(steps=600).start()
    code, said = run.end()
    assert code == 0, said + run.logs()
    finished = run.check()
    assert all(robot["steps"] > 100 for robot in finished["robots"].values())
    assert finished["version"] >= finished["updates"]  # each update was published
    assert all(run.pid(name) is None for name in run.names)
    assert "is finished" in run.start().end()[1]  # the command repeated does nothing


def test_ctrl_c_stops_in_order_and_the_same_command_goes_on(runs, tmp_path):
    held = [tmp_path / "left", tmp_path / "right"]
    collectors = [
        {"name": file.name, "env": "toy_robots:ToyRobot-v0", "kwargs": {"step": 0.005, "closed": str(file)}} for file in held
    ]
    run = runs(steps=1500, collectors=collectors).start()
    run.until(lambda: run.steps() > 200, "200 steps")
    run.parent.send_signal(signal.SIGINT)
    code, said = run.end()
    assert code == 130
    assert "the same command goes on" in said
    assert all(file.read_text() == "held" for file in held)
    assert all(run.pid(name) is None for name in run.names)
    before = json.loads(run.folder.owner_file.read_text())
    stored = run.experience()
    assert sum(robot["steps"] for robot in before["robots"].values()) < 1500
    assert run.start().end()[0] == 0, run.logs()
    run.check()
    for source, episodes in stored.items():  # whatever was there is there still, and nothing was added to it
        assert {episode: run.experience()[source][episode] for episode in episodes} == episodes


@pytest.mark.slow
def test_robots_of_different_speed_do_not_wait_for_each_other(runs):
    collectors = [
        {"name": name, "env": "toy_robots:ToyRobot-v0", "kwargs": {"step": step}}
        for name, step in (("fast", 0.004), ("slow", 0.04))
    ]
    run = runs(steps=800, collectors=collectors).start()
    assert run.end()[0] == 0, run.logs()
    robots = run.check()["robots"]
    assert robots["fast"]["steps"] > 4 * robots["slow"]["steps"]


def test_a_learner_does_not_run_ahead_of_the_freshness_that_the_plan_asks_for(runs):
    limit = 2
    agent = {"make": "toy_robots:agent", "sampler": "toy_robots:fresh"}
    run = runs(steps=100_000, tolerance=10_000, agent=agent, freshness={"limit": limit, "beyond": "wait"}).start()
    run.until(lambda: run.steps() > 200, "200 steps")
    run.parent.send_signal(signal.SIGINT)  # at its end it would make up all that it owes
    assert run.end()[0] == 130, run.logs()
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        acted = max(int(buffer.chunk(int(at)).policy_version.max()) for at in buffer.view("kind = 'policy'").numbers())
    version = json.loads(run.folder.owner_file.read_text())["version"]
    assert acted > 0
    assert version <= acted + limit + 1  # the newest step was within the limit when the last update began


@pytest.mark.slow
def test_the_strict_limit_makes_robots_and_learner_take_turns(runs):
    run = runs(steps=200, tolerance=0, updates_per_step=2.0).start()
    assert run.end()[0] == 0, run.logs()
    finished = run.check()
    assert finished["updates"] == 2 * finished["steps"]
