"""The work of a collector's process, in this one: what it asks of the owner, and with what it acts."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from owning import Place
from running import press

from user_gym.errors import WrongRun
from user_gym.system.processes import collecting
from user_gym.system.processes.collecting import collect
from user_gym.system.processes.ledger import Ledger
from user_gym.system.processes.link import Report
from user_gym.system.processes.turnstile import Turnstile
from user_gym.system.weights import Broadcaster


@pytest.fixture
def weights():
    made = Broadcaster()
    made.publish({"mean": np.zeros(1, np.float32)}, "toy")
    return made


def place(tmp_path, *names, env="ToyRobot-v0", kwargs=None, **changes):
    robots = [{"name": name, "env": f"toy_robots:{env}", "robot": "toy", "kwargs": kwargs or {}} for name in names]
    changes = {"tolerance": 1e6, "max_seconds": 0.5, **changes}
    return Place(tmp_path, collectors=robots, agent={"make": "toy_robots:agent"}, **changes)


def collected(there, weights, name="left", stop=None):
    """Run it to its end; what it returned, and how it reported."""
    report = Report()
    return collect(there.plan, name, there.caller(), weights, report, stop or threading.Event()), report


def test_a_collector_ends_when_the_run_has_enough_and_has_said_goodbye(tmp_path, weights):
    there = place(tmp_path, "left", steps=40)
    with there.open() as desk:
        done, report = collected(there, weights)
        assert done
        assert desk.ledger.closed
        assert report.begun
        assert (report.facts["state"], report.facts["robot"]) == ("collects", "toy")
        assert 40 <= desk.ledger.steps < 60
        again, report = collected(there, weights)  # it has enough, and moves nothing
        assert again
        assert "faults" not in report.facts


def test_one_that_is_told_to_stop_is_not_done_and_the_next_goes_on_with_the_next_episode(tmp_path, weights):
    there = place(tmp_path, "left", steps=100_000)
    with there.open() as desk:
        stop = threading.Event()
        threading.Thread(target=lambda: (wait(lambda: desk.ledger.steps >= 25), stop.set()), daemon=True).start()
        assert not collected(there, weights, stop=stop)[0]
        assert not desk.ledger.robots["left"].ended
        steps, episode = desk.ledger.steps, desk.ledger.robots["left"].next_episode
        desk.ledger.plan = there.plan
    there = place(tmp_path, "left", steps=steps + 10)
    with there.open() as desk:
        assert collected(there, weights)[0]
        chunks = [desk.buffer.chunk(int(at)) for at in range(steps, desk.ledger.steps)]
        assert chunks[0].episode == episode
        first = desk.buffer.chunk(0)
    assert not np.array_equal(chunks[0].obs["obs"][0], first.obs["obs"][0])  # nothing is drawn twice


def test_a_judge_is_told_which_robot_it_judges_and_with_which_episode_it_begins(tmp_path, weights, monkeypatch):
    seats = []
    monkeypatch.setattr(collecting, "judged", lambda env, plan, seat: seats.append((seat.number, seat.first_episode)))
    steps, begins = 0, []
    for _ in range(2):
        there = place(tmp_path, "left", "right", steps=steps + 40)
        with there.open() as desk:
            begins.append(desk.ledger.robots["right"].next_episode)
            collected(there, weights, "right")
            steps = desk.ledger.steps
    assert begins[1] >= 3
    assert seats == [(1, 0), (1, begins[1])]


def test_after_a_restart_a_page_judges_the_episodes_that_are_new(tmp_path, weights):
    pytest.importorskip("torch")
    there = place(tmp_path, "left", steps=100)
    with there.open() as desk:
        assert collected(there, weights)[0]
        old = desk.ledger.robots["left"].next_episode
    slow = {"env": "JudgedRobot-v0", "kwargs": {"step": 0.005}}  # fewer episodes until the page is asked than there were before
    there = place(tmp_path, "left", steps=10_000_000, reward="human:0,rule", **slow)
    report, stop = Report(), threading.Event()
    with there.open() as desk:
        work = threading.Thread(target=collect, args=(there.plan, "left", there.caller(), weights, report, stop), daemon=True)
        work.start()
        url = wait(lambda: report.facts.get("address"))
        wait(lambda: desk.ledger.robots["left"].next_episode > old)  # the page names the episode before until a new one begins
        first = press(url, "/success")["episode"]
        wait(lambda: desk.ledger.robots["left"].next_episode > first + 1)
        assert press(url, f"/failure?episode={first}") == {"episode": first, "success": False}
        label = f"source = 'left' AND episode = {first} AND verdict IS NOT NULL"
        wait(lambda: "verdict" in desk.buffer.labels.names and len(desk.buffer.view(label)))
        stop.set()
        work.join(60.0)
        assert first >= old >= 9
        assert not len(desk.buffer.view(f"verdict IS NOT NULL AND episode < {old}"))


def test_without_weights_no_robot_moves(tmp_path):
    there, stop = place(tmp_path, "left"), threading.Event()
    with there.open() as desk:
        threading.Timer(0.2, stop.set).start()
        done, report = collected(there, Broadcaster(), stop=stop)
        assert not done
        assert report.facts["state"] == "waits for the first weights"
        assert report.facts["still"] < 5.0  # that is no standing still
        assert desk.ledger.steps == 0
    assert not report.begun


def test_robots_share_the_random_steps_and_draw_different_episodes(tmp_path, weights):
    slow = {"step": 0.02}  # or one has taken all steps before the other has begun
    there = place(tmp_path, "left", "right", kwargs=slow, steps=60, random_steps=9)
    with there.open() as desk:
        stops = [threading.Thread(target=collected, args=(there, weights, name), daemon=True) for name in ("left", "right")]
        for thread in stops:
            thread.start()
        for thread in stops:
            thread.join(60.0)
        random = {name: random_of(desk.buffer, name) for name in ("left", "right")}
        starts = [desk.buffer.chunk(int(desk.buffer.view(f"source = '{name}'").numbers()[0])).obs["obs"][0] for name in random]
    assert random == {"left": 5, "right": 5}
    assert not np.array_equal(*starts)


def random_of(buffer, name):
    return len(buffer.view(f"source = '{name}' AND policy_version = -1"))


def wait(what):
    pause = threading.Event()
    for _ in range(2000):
        if found := what():
            return found
        pause.wait(0.01)
    raise AssertionError("waited in vain")


def test_a_learner_of_other_spaces_is_refused(tmp_path):
    there = place(tmp_path, "left")
    with there.open() as desk:
        desk.ledger.form = "float32(2,)"
        turnstile = Turnstile(tmp_path / "owner.sock", 1.0, {"form": "float32(3,)"}, Report(), threading.Event())
        with pytest.raises(WrongRun, match=r"agent is for float32\(3,\); the run is of float32\(2,\)"):
            turnstile.open(0)
        turnstile.close(finished=False)


def test_counters_are_kept_once_a_second(tmp_path, weights, monkeypatch):
    there = place(tmp_path, "left", steps=40)
    written = []
    monkeypatch.setattr(Ledger, "keep", lambda self: written.append(self.steps))
    with there.open() as desk:
        desk.ledger._written = float("inf")
        assert collected(there, weights)[0]
        assert written == [0]  # as it was opened
    assert json.loads((tmp_path / "owner.json").read_text())["robots"]["left"]["ended"]  # a goodbye is kept at once
    there = place(tmp_path, "left", steps=60)
    written.clear()
    with there.open() as desk:
        desk.ledger._written = time.monotonic() - 1.5
        assert collected(there, weights)[0]
    assert written[1:]
