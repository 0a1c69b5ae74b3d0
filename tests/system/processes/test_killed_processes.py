"""kill -9 of any process, and of all: the run finishes, and nothing that was acknowledged is lost."""

from __future__ import annotations

import time

import pytest

from user_gym.system.processes.link import BEAT, LAST, PATIENCE

LOAD = 3.0  # s


@pytest.mark.slow
@pytest.mark.parametrize("name", ["owner", "learner", "left", "supervisor"])
def test_kill_9_of_one_process_costs_nothing_that_was_acknowledged(runs, name):
    run = runs(steps=1500).start()
    run.until(lambda: run.steps() > 300, "300 steps")
    others = {other: run.pid(other) for other in run.names if other != name}
    killed = run.kill(name)
    acknowledged = run.experience()
    again = run.until(lambda: run.pid(name), f"another {name}")
    assert again != killed
    assert {other: run.pid(other) for other in others} == others  # nobody else ended, or was started a second time
    assert run.end()[0] == 0, run.logs()
    run.check()
    after = run.experience()
    for source, episodes in acknowledged.items():
        for episode, sequences in episodes.items():
            assert after[source][episode][: len(sequences)] == sequences


@pytest.mark.slow
def test_a_learner_that_was_killed_goes_on_from_its_newest_checkpoint(runs):
    run = runs(steps=2000).start()
    run.until(lambda: run.facts("learner").get("checkpoint", 0) > 100, "a checkpoint")
    checkpoint, version = run.facts("learner")["checkpoint"], run.facts("learner")["version"]
    killed = run.kill("learner")
    run.until(lambda: run.pid("learner") not in (None, killed), "another learner")
    assert run.end()[0] == 0, run.logs()
    begun = [int(line.split("after ")[1].split()[0]) for line in run.logs().splitlines() if "goes on after" in line]
    assert begun[0] == 0
    assert begun[1] >= checkpoint
    assert run.check()["version"] > version  # no version ever means two policies
    assert run.facts("learner")["starts"] == 2


@pytest.mark.slow
def test_a_robot_that_was_killed_goes_on_with_an_episode_of_its_own(runs):
    run = runs(steps=1200).start()
    run.until(lambda: run.facts("left").get("state") == "collects" and run.steps() > 200, "200 steps")
    run.kill("left")
    before = set(run.experience()["left"])
    assert run.end()[0] == 0, run.logs()
    run.check()
    begun = [int(line.split("episode ")[1].split(",")[0]) for line in run.logs().splitlines() if "left goes on" in line]
    assert begun[0] == 0
    assert begun[1] == max(before) + 1


@pytest.mark.slow
def test_processes_outlive_their_supervisor_and_the_next_one_finds_them(runs):
    run = runs(steps=3000).start()
    run.until(lambda: run.steps() > 300, "300 steps")
    before = {name: run.pid(name) for name in ("owner", "learner", "left", "right")}
    run.kill("supervisor")
    run.until(lambda: run.pid("supervisor"), "another supervisor")
    run.until(lambda: run.facts("right").get("starts") == 0 and run.steps(), "its first status")
    assert {name: run.pid(name) for name in before} == before
    run.kill("right")  # one that it did not start itself
    run.until(lambda: run.pid("right") not in (None, before["right"]), "another right")
    assert run.end()[0] == 0, run.logs()
    run.check()


@pytest.mark.slow
def test_all_killed_at_once_the_same_command_goes_on(runs):
    run = runs(steps=1200).start()
    run.until(lambda: run.steps() > 300, "300 steps")
    run.parent.kill()
    run.parent.communicate()
    there = [run.pid(name) for name in run.names]
    for one in there:
        one.send(9)
    run.until(lambda: not any(one.alive for one in there), "all to be gone")
    acknowledged = sum(map(len, (chunks for source in run.experience().values() for chunks in source.values())))
    assert acknowledged > 0
    assert run.start().end()[0] == 0, run.logs()
    run.check()


@pytest.mark.slow
def test_with_nobody_left_robots_are_held_and_all_ends_within_5_s(runs, tmp_path):
    held = tmp_path / "held"
    robot = {"name": "left", "env": "toy_robots:ToyRobot-v0", "kwargs": {"step": 0.005, "closed": str(held)}}
    run = runs(steps=100_000, collectors=[robot]).start()
    run.until(lambda: run.steps() > 200, "200 steps")
    run.parent.kill()
    run.parent.communicate()
    run.until(lambda: run.pid("left"), "the robot")
    run.kill("supervisor")
    alone = time.monotonic()
    run.until(held.exists, "the robot to be held")
    # As configured 5 s at most; and what a loaded machine takes to be on time.
    assert PATIENCE + BEAT + LAST[True] < 5.0
    assert time.monotonic() - alone < 5.0 + LOAD
    run.until(lambda: not any(run.pid(name) for name in ("owner", "learner", "left")), "all to end")
    assert held.read_text() == "held"
    assert "neither supervisor nor parent" in run.logs()
    assert all(sequences == list(range(len(sequences))) for sequences in run.experience()["left"].values())
    assert run.folder.finished() is None


@pytest.mark.slow
def test_a_run_goes_on_without_its_parent_and_is_found_again(runs):
    run = runs(steps=4000).start()
    run.until(lambda: run.steps() > 200, "200 steps")
    run.parent.kill()
    run.parent.communicate()
    before = {name: run.pid(name) for name in run.names}
    steps = run.steps()
    run.until(lambda: run.steps() > steps, "more steps")
    run.start()
    run.until(lambda: run.pid("parent"), "another parent")
    assert {name: run.pid(name) for name in run.names} == before
    assert run.end()[0] == 0, run.logs()
    run.check()
