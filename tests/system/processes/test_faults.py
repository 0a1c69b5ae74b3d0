"""A robot that fails costs its own share, and comes back by itself; one that a person stopped does not."""

from __future__ import annotations

import json
import math
from threading import Event

import pytest
from toy_training import Toy, ToyAgent

from user_gym.errors import Halted, Reflex
from user_gym.system import Buffer
from user_gym.system.chunk import ChunkBuilder
from user_gym.system.collector import Collector
from user_gym.system.processes import collecting
from user_gym.system.processes.link import Report
from user_gym.system.weights import Broadcaster


def robots(path):
    trouble = path / "trouble"
    return trouble, [
        {"name": "left", "env": "toy_robots:ToyRobot-v0", "kwargs": {"step": 0.01, "trouble": str(trouble)}},
        {"name": "right", "env": "toy_robots:ToyRobot-v0", "kwargs": {"step": 0.01}},
    ]


@pytest.mark.slow
def test_a_robot_that_faults_is_left_alone_and_rejoins_when_it_is_well(runs, tmp_path):
    trouble, collectors = robots(tmp_path)
    run = runs(steps=1500, collectors=collectors).start()
    run.until(lambda: run.facts("left").get("state") == "collects" and run.steps() > 100, "100 steps")
    trouble.write_text("reflex")
    run.until(lambda: "quarantined for 1.0 s" in run.facts("left").get("state", ""), "its second fault")
    at = run.steps()
    run.until(lambda: run.steps() > at + 50, "the other robot to go on")
    trouble.unlink()
    run.until(lambda: run.facts("left")["state"] == "collects", "it to come back")
    assert run.end()[0] == 0, run.logs()
    run.check()
    assert run.facts("left")["faults"] >= 2
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        left = buffer.view("source = 'left'")
        ends = {buffer.chunk(int(number)).episode for number in left.view("truncated").numbers()}
    assert max(ends) > 3


@pytest.mark.slow
def test_a_robot_that_a_person_stopped_stays_where_it_is_and_the_run_ends_without_it(runs, tmp_path):
    trouble, collectors = robots(tmp_path)
    run = runs(steps=800, collectors=collectors).start()
    run.until(lambda: run.facts("left").get("state") == "collects" and run.steps() > 100, "100 steps")
    trouble.write_text("halt")
    run.until(lambda: "halted by a person" in run.facts("left").get("state", ""), "it to stop")
    assert run.end()[0] == 0, run.logs()
    assert run.facts("left")["starts"] == 1
    run.check()


class Moody(Toy):
    """Fails in its reset or at its first step, as it is told for each episode; then ends the run."""

    def __init__(self, moods, stop):
        self.moods, self.stop = list(moods), stop

    def reset(self, *, seed=None, options=None):
        if not self.moods:
            self.stop.set()
        self.mood = self.moods.pop(0) if self.moods else "well"
        if self.mood == "reset":
            raise Reflex("contact")
        return super().reset(seed=seed)

    def step(self, action):
        if self.mood == "step":
            raise Reflex("contact")
        return super().step(action)


class Rests:
    """An outbox that takes all, and notes how long the robot was left alone."""

    def __init__(self):
        self.enough, self.rests = False, []

    def put(self, item):
        pass

    def insert(self, n):
        pass

    def idle(self, seconds):
        self.rests.append(seconds)


@pytest.mark.parametrize("where", ["reset", "step"])
def test_an_episode_without_a_fault_ends_the_back_off(where):
    stop, outbox, policy = Event(), Rests(), ToyAgent().policy
    env = Moody([where, where, "well", where, where, "well", "well", where], stop)
    collector = Collector(
        env, policy, outbox, limiter=outbox, broadcaster=Broadcaster(), builder=ChunkBuilder("left", "toy", "toy"), max_faults=1
    )
    collecting._collect(collector, outbox, Report(), stop)
    assert outbox.rests == [0.5, 1.0, 0.5, 1.0, 0.5]
    assert (collector.completed, collector.faults) == (3, 5)


class Halting(Toy):
    """A person stops it at its first step."""

    resets = 0

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        return super().reset(seed=seed)

    def step(self, action):
        raise Halted("stopped by hand")


def test_a_robot_that_a_person_stopped_is_reset_by_nothing_that_happens_by_itself():
    stop, outbox, report, env = Event(), Rests(), Report(), Halting()

    def idle(seconds):
        outbox.rests.append(seconds)
        outbox.enough = True  # as the run has it after a while

    outbox.idle = idle
    collector = Collector(
        env, ToyAgent().policy, outbox, limiter=outbox, broadcaster=Broadcaster(), builder=ChunkBuilder("left", "toy", "toy"),
        max_faults=1,
    )  # fmt: skip
    collecting._collect(collector, outbox, report, stop)
    assert (env.resets, outbox.rests, collector.faults) == (1, [math.inf], 1)
    assert report.facts["state"] == "halted by a person: stopped by hand"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"agent": {"make": "no_such_module:agent"}}, "callable of the plan 'no_such_module:agent'"),
        ({"agent": {"make": "toy_robots:nothing"}}, "callable of the plan 'toy_robots:nothing'"),
        ({"collectors": [{"name": "left", "env": "NoSuchEnv-v0"}]}, "unknown env 'NoSuchEnv-v0'"),
        ({"collectors": [{"name": "left", "env": "toy_robots:ToyRobot-v0", "kwargs": {"speed": 1}}]}, "bad kwargs of 'left'"),
    ],
)
def test_what_cannot_be_done_stops_the_run_with_one_line(runs, changes, words):
    run = runs(**changes).start()
    code, said = run.end()
    assert code == 2
    assert words in said, said + run.logs()
    assert all(run.pid(name) is None for name in run.names)


@pytest.mark.slow
def test_another_plan_is_refused_and_more_steps_are_not(runs):
    run = runs(steps=200).start()
    assert run.end()[0] == 0, run.logs()
    text = run.file.read_text()
    run.file.write_text(text.replace("batch_size = 16", "batch_size = 17"))
    code, said = run.start().end()
    assert code == 2
    assert "batch_size=16 there, 17 here" in said
    run.file.write_text(text.replace("steps = 200", "steps = 400", 1))
    assert run.start().end()[0] == 0, run.logs()
    assert json.loads(run.folder.finished_file.read_text())["steps"] >= 400
    run.check()
