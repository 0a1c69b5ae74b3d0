"""What a supervisor does with processes that end, fail, hang or are to stop; the processes are played."""

from __future__ import annotations

import json
import threading

import pytest
from running import plan_words

from user_gym.system.processes import RunFolder, from_words, supervisor
from user_gym.system.processes.exits import DONE, FAILED, FULL, GAVE_UP, REFUSED, STOPPED, TAKEN
from user_gym.system.processes.plan import COLLECTOR, LEARNER, OWNER
from user_gym.system.processes.supervisor import LOOK, Supervisor, _Absent, _Session
from user_gym.system.processes.wire import Message


class Played:
    """A `Supervised` whose ends are said before; it runs until it is told to stop, or killed."""

    log = "its log"

    def __init__(self, role, name, told, *codes):
        self.role, self.name, self._told, self._codes = role, name, told, list(codes)
        self.done = self.alive = False
        self.last, self.facts, self.failures, self.why = "", {}, 0, ""
        self.starts, self.deaf = 0, False

    @property
    def due(self):
        return not (self.done or self.alive)

    @property
    def hangs(self):
        why, self.why = self.why, ""
        return why if self.alive else ""

    def adopt(self):
        return False

    def start(self):
        self.starts, self.alive = self.starts + 1, True

    def ended(self):
        if not self.alive or not self._codes:
            return None
        code = self._codes.pop(0)
        self.alive, self.last = False, f"ended with code {code}"
        self.failures += code == FAILED
        return code

    def stop(self):
        self._told.append((self.name, "stop"))
        if not self.deaf:
            self.alive = False

    def kill(self, why):
        self._told.append((self.name, why))
        self.alive = False

    @property
    def status(self):
        return {**self.facts, "state": "runs", "pid": None, "starts": self.starts, "silent": 0.0, "last_end": self.last}


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.begin(from_words(plan_words()))
    return made


@pytest.fixture
def played(folder, monkeypatch):
    """Run a supervisor over these children, until `each` sets `stop`; its exit code, and what children were told."""
    monkeypatch.setattr(supervisor, "_TURN", 0.001)
    told = []

    def run(*codes_of, each=lambda stop, children: stop.set()):
        roles = ((OWNER, OWNER), (LEARNER, LEARNER), (COLLECTOR, "left"))
        children = [Played(role, name, told, *codes) for (role, name), codes in zip(roles, codes_of, strict=True)]
        stop = threading.Event()
        made = Supervisor(folder, stop, children, lambda: each(stop, children))
        return made.run(), told, children

    return run


def test_robots_are_held_first_then_the_learner_ends_and_the_owner_last(played, folder):
    code, told, children = played((), (), ())
    assert code == STOPPED
    assert told == [("left", "stop"), ("learner", "stop"), ("owner", "stop")]
    assert [child.starts for child in children] == [1, 1, 1]
    assert json.loads(folder.status_file.read_text())["state"] == "stopped"


def test_what_ends_is_started_again_and_what_is_done_is_not(played):
    looks = []

    def each(stop, children):
        looks.append([child.starts for child in children])
        if len(looks) > 30:
            stop.set()

    _, _, (owner, learner, left) = played((FULL, -9, TAKEN, 4), (FAILED,), (DONE,), each=each)
    assert (owner.starts, learner.starts, left.starts) == (5, 2, 1)
    assert left.done
    assert not owner.done


def test_a_plan_that_a_process_refuses_ends_the_run_and_says_why(played, folder):
    def each(stop, children):
        children[2].facts = {"error": "bad kwargs of 'left'"}
        children[2]._codes = [REFUSED]

    code, told, _ = played((), (), (), each=each)
    assert code == REFUSED
    status = json.loads(folder.status_file.read_text())
    assert (status["state"], status["error"]) == ("failed", "bad kwargs of 'left'")
    assert ("owner", "stop") in told


def test_a_learner_that_always_fails_ends_the_run_and_a_robot_does_not(played, folder):
    def each(stop, children):
        if children[2].failures >= 20:
            stop.set()

    assert played((), (), (FAILED,) * 20, each=each)[0] == STOPPED
    assert played((), (FAILED,) * 20, (), each=each)[0] == GAVE_UP
    error = json.loads(folder.status_file.read_text())["error"]
    assert error == "learner failed 8 times in a row, at last: ended with code 1; more is in its log"


def test_what_hangs_is_killed_with_the_reason_and_started_again(played):
    def each(stop, children):
        if children[1].starts == 1:
            children[1].why = "it has not said a word for 31 s"
        else:
            stop.set()

    _, told, (_, learner, _) = played((), (), (), each=each)
    assert told[0] == ("learner", "it has not said a word for 31 s")
    assert learner.starts == 2


def test_who_does_not_stop_is_killed(played, monkeypatch):
    monkeypatch.setattr(supervisor, "_PATIENCE", 0.05)

    def each(stop, children):
        children[2].deaf = True
        stop.set()

    _, told, _ = played((), (), (), each=each)
    assert told == [("left", "stop"), ("left", "it did not stop within 0.05 s"), ("learner", "stop"), ("owner", "stop")]


def test_a_finished_run_ends(played, folder):
    def each(stop, children):
        folder.finished_file.write_text('{"steps": 600}')

    assert played((), (), (), each=each)[0] == DONE
    assert json.loads(folder.status_file.read_text())["state"] == "finished"


def test_beats_are_heard_and_answered_and_the_parent_learns_whether_it_looks(folder):
    class Heard:
        told, facts = False, None

        def hear(self, facts):
            self.facts = facts

    child, stop = Heard(), threading.Event()
    made = Supervisor(folder, stop, [], lambda: None)
    session = _Session({"left": child}, made)
    assert session.answer(Message({"ask": "beat", "name": "left", "facts": {"state": "collects"}})) == {"stop": False}
    assert child.facts == {"state": "collects"}
    child.told = True
    assert session.answer(Message({"ask": "beat", "name": "left", "facts": {}})) == {"stop": True}
    for wrong in (
        {"ask": "beat", "name": "right", "facts": {}},
        {"ask": "beat", "name": "left"},
        {"ask": "go", "name": "left"},
    ):
        assert "refused" in session.answer(Message(wrong))
    before = session.answer(Message({"ask": LOOK}))["still"]
    threading.Event().wait(0.05)
    assert session.answer(Message({"ask": LOOK}))["still"] >= before + 0.05
    made._write()
    assert session.answer(Message({"ask": LOOK}))["still"] < before + 0.05


def test_the_owner_is_told_of_collectors_that_fail_before_they_can_say_goodbye_once_the_run_has_enough(folder, monkeypatch):
    asked = []

    class Owner:
        def call(self, words):
            asked.append(words)

    children = [Played(COLLECTOR, name, []) for name in ("left", "right", "third", "fourth")]
    children[0].failures = children[1].failures = children[2].failures = 3
    children[1].alive = children[2].done = True
    children[3].failures = 2
    monkeypatch.setattr(supervisor, "SocketCaller", lambda *_, **__: Owner())
    absent = _Absent(folder, 100, children)
    absent.look(99)
    assert asked == []
    absent.look(100)
    absent.look(100)  # not twice within a second
    assert asked == [{"ask": "absent", "name": "left"}]
