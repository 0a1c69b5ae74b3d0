"""A process whose work stands still is killed and started again; one that waits with reason, or was only not heard, is not."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from running import HERE
from toy_training import chunk

from user_gym.errors import Closed
from user_gym.system.processes import RunFolder, child, parent, silence
from user_gym.system.processes.child import Child, why_stuck
from user_gym.system.processes.exits import DONE, GAVE_UP
from user_gym.system.processes.link import Report
from user_gym.system.processes.outbox import Outbox
from user_gym.system.processes.parent import Parent
from user_gym.system.processes.silence import MUTE, Silence

PATIENCE = 4.0  # s of these runs


class Clock:
    """In place of the module time."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(silence, "time", made)
    monkeypatch.setattr("user_gym.system.processes.link.time", made)
    return made


def test_silence_counts_from_the_last_word_while_the_listener_is_awake(clock):
    heard = Silence()
    for _ in range(int(MUTE) + 5):
        clock.now += 1.0
        seconds = heard.look()
    assert seconds == MUTE + 5
    heard.broken()
    clock.now += 1.0
    assert heard.look() == 1.0


def test_a_listener_that_was_suspended_has_heard_nothing_and_nobody_is_to_die_for_that(clock):
    heard = Silence()
    heard.look()
    clock.now += 3600.0
    assert heard.look() == 0.0
    assert heard.raw == 3600.0
    for _ in range(20):
        clock.now += 1.0
        seconds = heard.look()
    assert seconds == 20.0  # a word that does not come now is missed again


def test_work_that_has_begun_and_does_not_move_is_stuck(clock):
    report, heard = Report(), Silence()
    clock.now += 1000.0
    heard.look()
    assert why_stuck(heard, report.facts, 60.0) == ""  # it builds something
    report.moved()
    for _ in range(61):
        clock.now += 1.0
        heard.broken()
        heard.look()
    assert why_stuck(heard, report.facts, 60.0) == "its work has not moved for 61 s, and patience is 60 s"
    report.moved()
    assert why_stuck(heard, report.facts, 60.0) == ""
    for _ in range(31):
        clock.now += 1.0
        heard.look()
    assert why_stuck(heard, report.facts, float("inf")) == "it has not said a word for 31 s"


def test_what_a_process_said_before_it_was_killed_is_not_held_against_the_next(tmp_path, monkeypatch):
    class Started:
        pid = os.getpid()

        def poll(self):
            return None

    monkeypatch.setattr(child, "spawn", lambda *_: Started())
    made = Child(RunFolder(tmp_path), "learner", "learner", 60.0)
    made.hear({"state": "learns", "still": 61.0})
    made.start()
    assert made.alive
    assert made.hangs == ""
    made.hear({"state": "learns", "still": 61.0})
    assert "patience is 60 s" in made.hangs


def test_the_exit_code_of_an_own_process_is_not_lost_when_it_is_found_by_its_name(tmp_path, monkeypatch):
    class Ended:
        pid, returncode = os.getpid(), None

        def poll(self):
            return self.returncode

    process = Ended()
    made = Child(RunFolder(tmp_path), "learner", "learner", 60.0)
    monkeypatch.setattr(child, "spawn", lambda *_: process)
    made.start()
    monkeypatch.setattr(child, "holder", lambda *_: made._identity)
    assert made.adopt()
    process.returncode = DONE
    assert made.ended() == DONE


class Moving(Report):
    """Counts how often the work moved."""

    moves = 0

    def moved(self):
        super().moved()
        self.moves += 1


class Deaf:
    """A caller whose owner never lets anybody go on."""

    connected, enough = True, False

    def call(self, words, data=b""):
        return {"room": -1, "enough": self.enough, "episode": 0, "steps": 0}

    def close(self):
        pass


def test_a_robot_that_waits_for_the_learner_says_so_and_is_not_stuck():
    stop, report = threading.Event(), Moving()
    deaf = Deaf()
    outbox = Outbox(deaf, {"name": "left", "form": "f"}, {}, report, stop)
    outbox._thread.start()
    outbox.put(chunk(3, source="left"))

    def go_on():
        with pytest.raises(Closed):
            outbox.insert(3)

    waiting = threading.Thread(target=go_on, daemon=True)
    waiting.start()
    pause = threading.Event()
    for _ in range(500):
        if report.facts.get("waits"):
            break
        pause.wait(0.01)
    moves = report.moves
    for _ in range(2000):
        if report.moves > moves + 5:
            break
        pause.wait(0.01)
    assert report.moves > moves + 5
    assert report.facts["waits"]
    deaf.enough = True
    waiting.join(20.0)
    stop.set()
    assert not report.facts["waits"]
    outbox.close(goodbye=False)


@pytest.mark.slow
def test_a_robot_and_a_learner_that_hang_are_killed_and_the_run_goes_on(runs, tmp_path):
    files = {name: tmp_path / name for name in ("left", "learner")}
    robots = [
        {"name": name, "env": "toy_robots:ToyRobot-v0", "kwargs": {"step": 0.01, "hang": str(files.get(name, ""))}}
        for name in ("left", "right")
    ]
    agent = {"make": "toy_robots:agent", "options": {"hang": str(files["learner"])}}
    run = runs(steps=1_000_000, tolerance=1e6, patience=PATIENCE, collectors=robots, agent=agent).start()
    run.until(lambda: run.steps() > 100 and run.facts("learner").get("updates"), "100 steps")
    right = run.pid("right")
    for name, file in files.items():
        before = run.pid(name)
        file.touch()
        run.until(lambda name=name, before=before: run.pid(name) not in (None, before), f"another {name}")
        assert f"patience is {PATIENCE:g} s" in run.until(lambda name=name: run.facts(name).get("last_end"), "its reason")
    assert run.pid("right") == right
    steps = run.steps()
    run.until(lambda: run.steps() > steps + 50 and run.facts("learner").get("state") == "learns", "it to go on")
    run.parent.send_signal(signal.SIGINT)
    assert run.end()[0] == 130, run.logs()


@pytest.fixture
def folder(runs, monkeypatch):
    """Of a run whose parent is this process."""
    run = runs(steps=100_000)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    return run


@pytest.mark.slow
def test_a_supervisor_that_was_suspended_is_replaced_and_the_others_work_on(folder, monkeypatch):
    run, seen = folder, {}
    monkeypatch.setattr(parent, "MUTE", 2.0)
    monkeypatch.setattr(parent, "_ASK", 0.2)

    def each():
        there = run.pid("supervisor")
        if not seen and run.steps() > 100 and there is not None:
            seen.update(first=there, others={name: run.pid(name) for name in ("owner", "learner", "left", "right")})
            there.send(signal.SIGSTOP)
        if seen and there not in (None, seen["first"]) and run.facts("left").get("starts") == 0:  # found, not started
            made._stop.set()

    made = Parent(run.folder, run.plan, each)
    made.run()
    others = {
        line.split(" runs already: process ")[0].split()[-1] for line in run.logs().splitlines() if "runs already" in line
    }
    assert others == set(seen["others"])
    assert not seen["first"].alive


@pytest.mark.slow
def test_a_parent_gives_up_a_supervisor_that_always_fails(folder, monkeypatch):
    monkeypatch.setattr(parent, "MOST_FAILURES", 3)
    run, looks = folder, []
    run.folder.begin(run.plan)
    Path(run.folder.socket("supervisor"), "no socket").mkdir(parents=True)
    assert Parent(run.folder, run.plan, lambda: looks.append(1)).run() == GAVE_UP
    assert run.logs().count("Traceback") == 3
    assert run.pid("parent") is None
