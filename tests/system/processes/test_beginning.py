"""What keeps a run from beginning, and what a run that was in the same folder before may not do to it."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import stat
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from running import plan_words
from toy_training import chunk

from user_gym.errors import BadOption, Busy, UnknownName, Unwritable, WrongRun
from user_gym.system import Buffer
from user_gym.system.checkpoints import Checkpoints, Reached
from user_gym.system.processes import RunFolder, from_words
from user_gym.system.processes.body import build, shared
from user_gym.system.processes.journal import say
from user_gym.system.processes.parent import parenting
from user_gym.system.processes.plan import CollectorPlan
from user_gym.system.processes.registry import Name
from user_gym.system.weights import SharedPublisher, SharedSubscriber

ROBOT = "toy_robots:ToyRobot-v0"


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def plan(**changes):
    return from_words(plan_words(**changes))


@pytest.mark.parametrize("value", [datetime.date(2026, 1, 1), {"deep": [datetime.time(1)]}, math.nan, [{"deep": math.nan}]])
def test_what_a_plan_cannot_be_kept_with_is_refused_where_it_is_read(value):
    with pytest.raises(BadOption, match=r"kwargs of 'left'.*allowed: texts, numbers"):
        plan(collectors=[{"name": "left", "env": ROBOT, "kwargs": {"x": value}}])
    with pytest.raises(BadOption, match=r"agent\.options"):
        plan(agent={"make": "a:b", "options": {"x": value}})


def test_only_one_of_two_commands_at_once_writes_its_plan(folder):
    first, second = plan(), plan(seed=1)
    with parenting(folder, first):
        shows = f"process {os.getpid()}; user-gym run --status {folder.path} shows it, .*--stop"
        for one in (first, second):
            with pytest.raises(Busy, match=shows), parenting(folder, one):
                pass
        assert folder.plan() == first
    with parenting(folder, first):  # it is free again
        pass


def test_the_one_that_came_later_does_not_write_its_plan_while_the_other_has_the_name(folder):
    folder.make(plan())
    name = Name(folder.processes, "parent")
    name.hold()
    with pytest.raises(Busy), parenting(folder, plan()):
        pass
    assert not folder.plan_file.exists()
    name.release()
    with parenting(folder, plan()):
        assert folder.plan_file.exists()


@pytest.mark.parametrize(("name", "cure"), [("supervisor", "--stop"), ("owner", "within seconds"), ("right", "within seconds")])
def test_a_run_gets_no_more_steps_while_its_processes_work_by_the_plan_before(folder, name, cure):
    folder.begin(plan(steps=600))
    held = Name(folder.processes, name)
    held.hold()
    under = rf"goes on by another plan, under process {os.getpid()} \({name}\); .*{cure}"
    with pytest.raises(Busy, match=under), parenting(folder, plan(steps=900)):
        pass
    assert folder.plan().steps == 600
    with parenting(folder, plan(steps=600)):
        pass
    held.release()
    with parenting(folder, plan(steps=900)):
        assert folder.plan().steps == 900


def test_a_folder_that_others_may_write_is_none_for_a_plan_that_names_code(folder):
    folder.path.mkdir()
    folder.path.chmod(0o777)
    with pytest.raises(Unwritable, match=r"mode 0777: others may write what this run would do.*chmod o-w"):
        folder.begin(plan())
    assert not folder.plan_file.exists()
    folder.path.chmod(0o775)
    folder.begin(plan())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_none_either(folder):
    folder.path.mkdir()
    os.chown(folder.path, 12345, 12345)
    with pytest.raises(Unwritable, match="is of user 12345"):
        folder.begin(plan())


def test_a_damaged_end_is_named_and_a_damaged_status_is_none(folder):
    folder.begin(plan())
    for text in ("", "{", "\0\0", "[]", "{}"):
        folder.status_file.write_text(text)
        assert folder.status() is None
    folder.finished_file.write_text("")
    with pytest.raises(WrongRun, match=r"finished.json is damaged: .*; remove it"):
        folder.finished()


def test_a_run_that_is_given_more_steps_is_not_finished(folder):
    folder.begin(plan(steps=600))
    folder.finished_file.write_text('{"steps": 605, "updates": 605}')
    folder.begin(plan(steps=600))
    assert folder.finished()
    folder.begin(plan(steps=900))
    assert folder.finished() is None
    assert folder.plan().steps == 900


def test_a_run_of_which_nothing_was_made_takes_any_other_plan_and_nothing_of_the_one_before(folder):
    unreachable = plan(collectors=[{"name": "left", "env": ROBOT, "kwargs": {"address": "172.16.0.99"}}])
    folder.begin(unreachable)
    Checkpoints(folder.learner).save(lambda path: path.write_text("of another width"), Reached(0, 0))
    folder.owner_file.write_text('{"form": "of other robots"}')
    (folder.logs / "left.log").write_text("why it failed\n")
    (folder.learner / "pretrained.pt").write_text("mine")
    folder.buffer.mkdir()  # and its owner died there
    folder.begin(unreachable)
    assert Checkpoints(folder.learner).reached() == Reached(0, 0)
    folder.begin(plan(seed=1))
    assert folder.plan() == plan(seed=1)
    assert Checkpoints(folder.learner).reached() is None
    assert not folder.owner_file.exists()
    assert [path.name for path in folder.learner.iterdir()] == ["pretrained.pt"]
    assert (folder.logs / "left.log").read_text() == "why it failed\n"


def test_an_agent_that_has_learned_belongs_to_its_plan(folder):
    folder.begin(plan())
    Checkpoints(folder.learner).save(lambda path: path.write_text("it"), Reached(1, 1))
    with pytest.raises(WrongRun, match="belongs to another plan: seed=0 there, 1 here"):
        folder.begin(plan(seed=1))
    assert Checkpoints(folder.learner).reached() == Reached(1, 1)


def test_a_reward_that_was_misspelt_is_corrected_in_the_same_folder_until_there_is_experience(folder):
    folder.begin(plan(reward="bogus"))
    folder.begin(plan(reward="classifer:reward.npz"))  # its owner ended before it made a buffer
    with Buffer.open(folder.buffer, durability="kill") as buffer:
        folder.begin(plan(reward="classifier:reward.npz"))
        assert folder.plan().reward == "classifier:reward.npz"
        buffer.append(chunk(3))
        with pytest.raises(WrongRun, match="seed=0 there, 1 here"):
            folder.compare(plan(reward="classifier:reward.npz", seed=1))
        with pytest.raises(WrongRun, match=r"reward='classifier:reward.npz' there, 'rule' here"):
            folder.begin(plan())
        folder.begin(plan(reward="classifier:reward.npz", steps=900))


def test_a_person_may_be_asked_at_another_port_when_a_run_goes_on(folder):
    folder.begin(plan(reward="human:18477,rule"))
    with Buffer.open(folder.buffer, durability="kill") as buffer:
        buffer.append(chunk(3))
    folder.begin(plan(reward="human:0,rule"))
    assert folder.plan().reward == "human:0,rule"
    for other in ("rule", "human:0", "human:0,classifier:a.npz"):
        with pytest.raises(WrongRun, match="reward="):
            folder.compare(plan(reward=other))
    assert plan(reward="classifier:human:1").differences(plan(reward="classifier:human:2"))


def test_the_module_of_a_judge_says_what_of_its_words_makes_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not plan(reward=f"classifier:{tmp_path / 'a.npz'}").differences(plan(reward="classifier:./a.npz"))
    assert plan(reward="human:2").differences(plan(reward="classifer:a.npz"))  # which is none of its words
    (tmp_path / "by_hand.py").write_text("def meant(reward):\n    return reward.partition('@')[0]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for judge, names in (("by_hand:judge", []), ("a:b", ["reward"])):  # there is no module a
        unlike = plan(reward="anna@left", judge=judge).differences(plan(reward="anna@right", judge=judge))
        assert [text.partition("=")[0] for text in unlike] == names
    assert plan(reward="anna", judge="by_hand:judge").differences(plan(reward="ben", judge="by_hand:judge"))
    (tmp_path / "strange.py").write_text("raise SystemExit('code of another plan ran')\n")
    assert len(plan(reward="anna").differences(plan(reward="ben", judge="strange:judge"))) == 2


def test_sockets_of_a_deep_folder_lie_elsewhere_and_are_this_users_alone(tmp_path, monkeypatch):
    short = tmp_path / "t"
    short.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    deep = RunFolder(tmp_path / ("d" * 90))
    path = deep.socket("owner")
    assert path.parent.parent == short
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert deep.socket("owner") == path
    assert RunFolder(tmp_path / ("e" * 90)).socket("owner") != path
    for wrong in (lambda: path.parent.chmod(0o755), lambda: (path.parent.rmdir(), path.parent.touch())):
        wrong()
        with pytest.raises(Unwritable, match="is not a folder of this user alone"):
            deep.socket("owner")


def test_a_log_on_a_full_disk_ends_nobody(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        say("no room")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()


def publish(name):
    """Weights of a process that is killed."""
    words = "import os, sys; import numpy as np; from user_gym.system.weights import SharedPublisher;"
    words += f"SharedPublisher({name!r}).open().publish({{'mean': np.zeros(1, np.float32)}}, 'toy'); os._exit(0)"
    subprocess.run([sys.executable, "-c", words], check=True, timeout=60)


def test_weights_of_a_killed_run_stay_for_its_next_start_and_not_for_another_run_in_their_place(folder):
    folder.begin(plan())
    publish(folder.digest)
    with SharedSubscriber(folder.digest) as weights:
        folder.begin(plan(steps=900))  # the same run
        assert weights.newest() is not None
        folder.plan_file.unlink()
        for file in folder.path.iterdir():
            file.rmdir()
        folder.begin(plan(seed=1))
    with SharedSubscriber(folder.digest) as weights:
        assert weights.newest() is None
    folder.plan_file.unlink()
    for name in ("logs", "learner", "sockets"):
        (folder.path / name).rmdir()
    with SharedPublisher(folder.digest) as publisher:
        publisher.publish({"mean": np.zeros(1, np.float32)}, "toy")
        with pytest.raises(Busy, match=f"process {os.getpid()}"):
            folder.begin(plan())


def test_robots_that_one_agent_cannot_learn_from_are_told_apart_before_any_of_them_moves(tmp_path):
    moved = tmp_path / "moved"
    robots = [
        {"name": name, "env": ROBOT, "kwargs": {"axes": axes, "moved": str(moved)}}
        for name, axes in (("left", 1), ("right", 1), ("third", 2))
    ]
    shared(plan(collectors=robots[:2]).collectors).close()
    with pytest.raises(BadOption, match=r"robot 'third' .*-> float32\(2,\).*allowed: .*float32\(1,\), as 'left' has"):
        shared(plan(collectors=robots).collectors)
    assert not moved.exists()


def test_an_environment_that_is_not_there_is_told_from_one_that_another_wraps():
    seen = {"name": "left", "env": "baselines.pictures:Seen-v0", "robot": "franka-fr3", "kwargs": {"env_id": "bogus"}}
    with pytest.raises(BadOption, match=r"kwargs of 'left' .*'bogus'.*baselines.pictures:Seen-v0 takes.*`bogus`"):
        shared(plan(collectors=[seen]).collectors)
    for wrong in ("Usr/PegInsert-sim-v0", "User/PegInser-sim-v0"):
        with pytest.raises(UnknownName, match=rf"unknown env '{wrong}'; known: .*; did you mean 'User/PegInsert-sim-v0'\?"):
            build(CollectorPlan("left", wrong))
    with pytest.raises(UnknownName, match=r"env 'baselines\.pictures:Sen-v0'"):
        shared(plan(collectors=[{**seen, "env": "baselines.pictures:Sen-v0"}]).collectors)


@pytest.mark.slow
def test_a_run_of_unlike_robots_is_refused_before_any_of_them_moves(runs, tmp_path):
    moved = tmp_path / "moved"
    robots = [
        {"name": name, "env": ROBOT, "kwargs": {"axes": axes, "moved": str(moved)}}
        for name, axes in (("left", 1), ("third", 2))
    ]
    run = runs(collectors=robots).start()
    code, said = run.end()
    assert code == 2
    assert "one agent learns from all" in said
    assert not moved.exists()


@pytest.mark.slow
def test_a_run_ends_without_a_robot_that_never_comes(runs):
    robots = [{"name": "left", "env": ROBOT}, {"name": "right", "env": "toy_robots:BrokenRobot-v0"}]
    run = runs(steps=200, collectors=robots, agent={"make": "toy_robots:agent"})
    run.start()
    code, said = run.end()
    assert code == 0, said + run.logs()
    finished = json.loads(run.folder.finished_file.read_text())
    assert finished["robots"]["right"]["steps"] == 0
    assert "the camera's library cannot be loaded" in run.facts("right")["last_end"]
