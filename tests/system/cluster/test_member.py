"""One actor as its driver sees it, from asking how it is to its end. No cluster: actor and Ray are played."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="ray comes with the extra 'ray'")

from ray.exceptions import RayActorError, RayTaskError

from user_gym.system.cluster import member
from user_gym.system.cluster.member import Member
from user_gym.system.processes.exits import DONE, FAILED, REFUSED, STOPPED
from user_gym.system.processes.plan import LEARNER


class Reference:
    """Of an answer, which is there once somebody gives it."""

    def __init__(self):
        self.there, self.value = False, None

    def give(self, value):
        self.there, self.value = True, value


class Method:
    """Of an actor."""

    def __init__(self):
        self.asked = []

    def options(self, **options):
        self.opted = options
        return self

    def remote(self, *words):
        self.asked.append(Reference())
        return self.asked[-1]


class Actor:
    """A `Role` elsewhere."""

    def __init__(self):
        self.work, self.facts, self.stop = Method(), Method(), Method()


class Ray:
    """What the module uses of Ray."""

    def __init__(self):
        self.killed = []

    def get(self, reference):
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    def wait(self, references, timeout):
        return [reference for reference in references if reference.there], []

    def kill(self, actor, no_restart=True):
        self.killed.append(no_restart)

    def cluster_resources(self):
        return {"GPU": 1.0}

    def available_resources(self):
        return {"GPU": 0.0}


@pytest.fixture
def played(monkeypatch):
    ray, actor = Ray(), Actor()
    monkeypatch.setattr(member, "ray", ray)
    monkeypatch.setattr(member, "_BEAT", 0.0)
    return Member(LEARNER, "learner", actor, {"GPU": 1.0}, 60.0), actor, ray


def say(made, actor, **facts):
    """It says how it is."""
    made.look()
    actor.facts.asked[-1].give({"pid": 7, "node": "127.0.0.2", "state": "learns", "still": 0.0, **facts})
    made.look()


def test_it_is_placed_once_it_has_said_how_it_is_and_no_more_when_its_actor_is_gone(played):
    made, actor, _ = played
    made.start()
    assert made.alive
    assert not made.placed
    say(made, actor)
    assert (made.placed, made.starts, made.status["state"], made.status["pid"]) == (True, 1, "learns", 7)
    made.look()
    actor.facts.asked[-1].give(RayActorError())
    made.look()
    assert not made.placed
    assert made.status["pid"] is None
    say(made, actor, pid=8)
    assert (made.starts, made.last) == (2, "ended by a signal, or with its machine")
    assert actor.work.opted == {"max_task_retries": -1}  # Ray asks the next one for its work again


@pytest.mark.parametrize(
    ("ending", "code", "last", "killed"),
    [
        ((DONE, "done"), DONE, "", []),
        ((STOPPED, "stopped"), STOPPED, "", []),
        ((FAILED, "failed: ValueError: x"), FAILED, "failed: ValueError: x", [False]),
    ],
)
def test_work_that_ended_is_read_once_and_what_failed_gets_a_new_process(played, ending, code, last, killed):
    made, actor, ray = played
    made.start()
    assert made.ended() is None
    actor.work.asked[-1].give(ending)
    assert not made.alive
    assert made.ended() == code
    assert made.ended() is None
    assert (made.last, ray.killed, made.failures) == (last, killed, int(code == FAILED))


def test_a_plan_that_is_refused_says_why_and_so_does_an_actor_that_cannot_be_made(played):
    made, actor, _ = played
    made.start()
    actor.work.asked[-1].give((REFUSED, "error: bad x"))
    assert made.ended() == REFUSED
    assert made.facts["error"] == "bad x"
    made.facts = {}
    made.start()
    actor.work.asked[-1].give(RayActorError(error_msg="the actor died\nno module named x"))
    assert made.ended() == REFUSED
    assert made.facts["error"] == "Ray cannot start learner: no module named x"


def test_what_no_role_expects_is_a_failure_of_the_work_and_none_of_the_driver(played):
    made, actor, ray = played
    made.start()
    actor.work.asked[-1].give(RayTaskError("work", "Traceback\nPermissionError: learner", PermissionError("learner")))
    assert made.ended() == FAILED
    assert made.last == "failed: PermissionError: learner"
    assert ray.killed == [False]


def test_one_that_stands_still_hangs_and_is_told_from_one_that_waits_for_a_place(played):
    made, actor, ray = played
    made.start()
    made.facts = {"still": 99.0}
    assert made.hangs == ""
    assert made.status["state"] == "starts"
    made.since -= 10.0
    assert made.status["state"] == "waits for GPU: it is taken"
    say(made, actor, still=61.0)
    assert made.hangs == "its work has not moved for 61 s, and patience is 60 s"
    made.look()
    late = actor.facts.asked[-1]
    made.kill(made.hangs)
    late.give({"pid": 7, "node": "127.0.0.2", "state": "learns", "still": 62.0})
    made.look()
    assert (ray.killed, made.hangs, made.placed) == ([False], "", False)
    say(made, actor, pid=8)
    assert made.last == "killed: its work has not moved for 61 s, and patience is 60 s"


def test_it_is_told_to_stop_where_it_is_and_not_started_again_where_it_is_not(played):
    made, actor, ray = played
    made.start()
    say(made, actor)
    made.stop()
    assert (len(actor.stop.asked), ray.killed) == (1, [])
    made.kill("it did not stop")
    assert ray.killed == [True]
    made.stop()
    assert (len(actor.stop.asked), len(ray.killed)) == (1, 2)
