"""A plan says who rewards its robots: each asks the same judge, late verdicts reach the buffer, who cannot judge is refused."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from owning import Place
from running import plan_words, press
from toy_training import Toy, chunk

from baselines import plan as rlpd_plan
from user_gym.errors import BadBlock, BadOption, NoSpace
from user_gym.rewards import Network
from user_gym.system import Buffer, Fresh
from user_gym.system.processes import from_words, owner
from user_gym.system.processes.judging import Seat

pytest.importorskip("torch")

PEGS = [
    {"name": name, "env": "User/PegInsert-sim-v0", "robot": "franka-fr3", "task": "PegInsert"} for name in ("left", "right")
]
RLPD = {
    "agent": {"options": {"demos": 1, "hidden": 8}}, "learning_starts": 10, "batch_size": 8, "collectors": PEGS,
}  # fmt: skip


def classifier(path, width=19):
    """Success where the third entry of the state, the height, is below 4.5 units: every hand gets there soon."""
    first = np.zeros((1, width, 2), np.float32)
    first[0, 2] = 1, -1
    second = np.array([[[-50.0], [50.0]]], np.float32)
    zero, one = np.zeros(width, np.float32), np.ones(width, np.float32)
    last = np.full((1, 1, 1), 225.0, np.float32)
    Network(zero, one, (first, second), (np.zeros((1, 1, 2), np.float32), last), 0.5).save(path)
    return f"classifier:{path}"


def test_a_classifier_rewards_both_robots_and_their_demonstrations_whoever_is_killed(runs, tmp_path):
    run = runs(**RLPD, steps=160, reward=classifier(tmp_path / "high.npz")).start()
    run.until(lambda: run.steps() >= 30, "30 steps")
    run.kill("left")
    run.kill("learner")
    assert run.end()[0] == 0, run.logs()
    assert judges(run) == {"expert": {"classifier"}, "left": {"classifier"}, "right": {"classifier"}}
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        won = buffer.view("success")
        assert len(won.view("kind = 'policy'")) > 0  # the rule calls none of it success
        assert (won.read(won.numbers()).next_obs["state"][:, 2] > 3).all()


def test_a_person_has_a_page_for_each_robot_and_late_verdicts_survive_the_death_of_the_owner(runs):
    run = runs(**RLPD, steps=10_000, tolerance=1e6, updates_per_step=0.01, reward="human:0,rule").start()
    urls = [run.until(lambda name=name: run.facts(name).get("address"), f"the page of {name}") for name in ("left", "right")]
    assert len({*urls}) == 2
    run.until(lambda: press(urls[0], "/success").get("episode", 0) >= 2, "two episodes of left")
    run.kill("owner")
    assert press(urls[0], "/failure?episode=0") == {"episode": 0, "success": False}
    assert press(urls[0], "/success?episode=1") == {"episode": 1, "success": True}

    def labels():
        with Buffer.open(run.folder.buffer, read_only=True) as buffer:
            if "verdict" not in buffer.labels.names:
                return None
            said = [buffer.view(f"source = 'left' AND episode = {k} AND verdict IS NOT NULL").numbers() for k in (0, 1)]
            return [buffer.labels.at("verdict", numbers) for numbers in said] if all(map(len, said)) else None

    failed, won = run.until(labels, "both verdicts in the buffer")
    assert (failed.sum(), won.sum(), won[-1]) == (0, 1, 1)
    run.kill("left")
    again = run.until(lambda: (url := run.facts("left").get("address")) != urls[0] and url, "a new page")
    run.until(lambda: press(again, "/success") and press(urls[1], "/failure"), "verdicts on running episodes")
    run.until(lambda: all("human" in judges(run).get(name, ()) for name in ("left", "right")), "verdicts on both robots")


def judges(run):
    """Who rewarded whom: by source."""
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        names = "expert", *(collector.name for collector in run.plan.collectors)
        found = {name: buffer.view(f"source = '{name}'").numbers() for name in names}
        return {name: {*buffer.steps(of, ["reward_source"])["reward_source"].tolist()} for name, of in found.items() if len(of)}


def test_two_bodies_with_a_process_each_are_rewarded_by_one_classifier(runs, tmp_path):
    arms = ["franka-fr3", "arx-x5"]
    shared = {
        "env": "user_gym.embodiment:Embodied-v0", "task": "PegInsert",
        "kwargs": {"env_id": "User/PegInsert-sim-v0", "robots": arms},
    }  # fmt: skip
    bodies = [{"name": arm, "robot": arm, **shared} for arm in arms]
    agent = {"options": {"demos": 1, "hidden": 8, "robot": ",".join(arms)}}
    changes = RLPD | {"collectors": bodies, "agent": agent}
    run = runs(**changes, steps=80, reward=classifier(tmp_path / "high.npz", width=21)).start()
    assert run.end()[0] == 0, run.logs()
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        assert {*buffer.steps(buffer.numbers(), ["reward_source"])["reward_source"].tolist()} == {"classifier"}
        assert all(len(buffer.view(f"source = '{arm}' AND robot = '{arm}'")) for arm in arms)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"reward": "human:keyboard,rule"}, "human:PORT where each robot has a process of its own"),
        ({"reward": "human:65535"}, "a port of at most 65534: robot 2 takes that plus 1"),
        ({"reward": "human:0,rule", "freshness": {"limit": 8.0}}, "nobody who may answer late"),
    ],
)
def test_a_judge_that_cannot_work_there_ends_the_run_by_name(runs, changes, word):
    run = runs(**RLPD | changes, steps=100).start()
    code, said = run.end()
    assert code == 2, said
    assert word in said
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        assert not len(buffer.view("kind = 'policy'"))  # no robot moved


def test_a_classifier_of_another_state_ends_the_run_by_name(runs, tmp_path):
    code, said = runs(**RLPD, steps=100, reward=classifier(tmp_path / "narrow.npz", width=4)).start().end()
    assert code == 2, said
    assert "(19,)" in said
    assert "(4,)" in said


def test_a_plan_names_what_is_wrong_with_its_reward():
    for words, match in (
        ({"reward": 3}, "reward 3"),
        ({"judge": "nothing"}, "judge 'nothing'"),
        ({"agent": {"make": "a:b", "options": {"reward": "rule"}}}, "agent.options.reward 'rule'.*beside steps"),
    ):
        with pytest.raises(BadOption, match=match):
            from_words(plan_words(**words))
    elsewhere = {"collectors": [{"name": "arm", "env": "Toy-v0", "edge": "e1"}], "hub": {}}
    assert from_words(plan_words(**elsewhere)).reward == "rule"
    with pytest.raises(BadOption, match=r"human:0.*edges.*RewardFrom"):
        from_words(plan_words(**elsewhere, reward="human:0"))


def test_only_another_reward_than_the_rule_is_told_to_the_agent():
    assert "reward" not in from_words(plan_words()).options
    assert from_words(plan_words(reward="human:0")).options["reward"] == "human:0"


def test_the_second_robots_page_is_at_the_next_port():
    heard = []
    for number in (0, 1):
        with rlpd_plan.judge(Toy(), "human:0", Seat(number=number, shown=heard.append)):
            pass
    port = int(heard[0].rpartition(":")[2].rstrip("/"))
    with rlpd_plan.judge(Toy(), f"human:{port - 1}", Seat(number=1, shown=heard.append)):
        assert heard[2] == heard[0]


def test_late_verdicts_and_fresh_steps_are_refused_together():
    with Buffer.open(":memory:") as buffer, pytest.raises(BadOption, match="freshness"):
        rlpd_plan.sampler(Fresh(buffer, 3, "drop", lambda: 0), {"reward": "human:0"})


def test_a_verdict_follows_the_steps_of_its_episode_and_waits_for_an_owner(tmp_path):
    place = Place(tmp_path)
    with place.open():
        outbox, _, _ = place.outbox()
        assert outbox.open() is not None
    outbox.put(chunk(3, source="left", truncated=np.array([False, False, True])))
    outbox.tell(0, True)
    outbox.tell(7, True)  # nobody has seen that one
    with place.open() as desk:
        assert outbox.close(goodbye=False)
        numbers = desk.buffer.numbers()
        assert desk.buffer.labels.at("verdict", numbers).tolist() == [0, 0, 1]
    outbox.tell(0, False)  # said in the log, and lost


def test_a_verdict_waits_for_room_on_the_disk(tmp_path, monkeypatch):
    full = threading.Event()
    write = owner.write

    def no_room(*args):
        if not full.is_set():
            full.set()
            raise NoSpace("the disk is full")
        return write(*args)

    monkeypatch.setattr(owner, "write", no_room)
    place = Place(tmp_path)
    with place.open() as desk:
        outbox, _, _ = place.outbox()
        assert outbox.open() is not None
        outbox.put(chunk(3, source="left", truncated=np.array([False, False, True])))
        outbox.tell(0, False)
        assert full.wait(10)
        assert outbox.close(goodbye=False)
        assert desk.buffer.labels.at("verdict", desk.buffer.numbers()).tolist() == [0, 0, 0]


@pytest.mark.parametrize("words", [{"episode": 1.5, "success": True}, {"episode": 1, "success": 1}, {"success": True}])
def test_an_owner_takes_no_verdict_that_is_none(tmp_path, words):
    with Place(tmp_path).open() as desk, pytest.raises(BadBlock):
        desk.judge("left", owner.Visit(desk), words)
