"""One run, one policy, two arms: what each is given, how each is looked at, and what is refused."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from test_rlpd import TINY, batch, spaces

from baselines import bc, online, plan, rlpd
from baselines.config import Config
from baselines.episodes import demonstrate, make
from baselines.experience import OWN, mixture
from baselines.play import Play, play
from user_gym.errors import BadOption, UnknownName
from user_gym.system import Buffer

BOTH = "franka-fr3,arx-x5"
NAMES = BOTH.split(",")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bodies") / "run"
    config = Config(**TINY | {"steps": 300, "eval_every": 150, "learning_starts": 290, "demos": 2}, robot=BOTH, run_dir=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(online, "GLANCE", 1)
        return config, rlpd.main(config)


def test_each_arm_has_its_success_its_demonstrations_and_half_of_the_steps(finished):
    config, summary = finished
    assert list(summary["bodies"]) == NAMES
    assert summary["success_rate"] == min(body["success_rate"] for body in summary["bodies"].values())
    looks = json.loads((config.folder / "state.json").read_text())["curve"]
    assert all(list(look["bodies"]) == NAMES for look in looks)
    with Buffer.open(config.folder / "buffer", read_only=True) as buffer:
        for name in NAMES:
            mine = buffer.view(f"robot = '{name}' AND task = 'PegInsert'")
            tokens = mine.sample(20, np.random.default_rng(0)).obs["state"][:, -2:]
            assert (tokens == np.eye(2)[sorted(NAMES).index(name)]).all()
            assert len(mine.view("kind = 'demo' AND terminated")) == 2
            assert abs(len(mine.view(OWN)) - config.steps / 2) <= 50  # an episode's steps, at most, apart


def test_every_batch_has_equal_shares_of_both_arms_in_both_halves(finished):
    config, _ = finished
    with Buffer.open(config.folder / "buffer", read_only=True) as buffer:
        drawn = mixture(buffer, None, config)(buffer, np.random.default_rng(0))
    assert drawn.obs["state"][:, -2:].sum(axis=0).tolist() == [config.batch_size / 2] * 2
    assert (drawn.policy_version == -1).sum() == config.batch_size / 2  # demonstrations


def test_demonstrations_that_are_missing_are_made_with_the_arm_that_lacks_them():
    config = Config(**TINY, robot=BOTH)
    with closing(make(config)) as env, Buffer.open(":memory:") as buffer:
        alone = Config(**TINY, robot=NAMES[1])
        demonstrate(env, buffer, config)
        before = len(buffer)
        demonstrate(env, buffer, config)
        assert len(buffer) == before
        counts = [len(buffer.view(f"robot = '{name}' AND terminated")) for name in NAMES]
        assert counts == [alone.demos] * 2


def test_a_plan_that_was_killed_between_two_arms_demonstrations_makes_those_of_the_second():
    with Buffer.open(":memory:") as buffer:
        both, one = Config(**TINY | {"demos": 1}, robot=BOTH), Config(**TINY | {"demos": 2}, robot=NAMES[0])
        with closing(make(both)) as env:
            demonstrate(env.bodies[next(iter(env.bodies))], buffer, one)
        plan.prepare(buffer, {"robot": BOTH, "demos": 1})
        assert [len(buffer.view(f"robot = '{name}' AND terminated")) for name in NAMES] == [2, 1]


def test_the_arms_of_a_policy_are_played_one_at_a_time(finished):
    config, summary = finished
    result = play(Play(config.folder, robot="arx-x5", episodes=config.eval_episodes))
    assert result.length == summary["bodies"]["arx-x5"]["mean_length"]
    with pytest.raises(UnknownName, match=r"known: arx-x5, franka-fr3.*name one of them by --robot"):
        play(Play(config.folder, robot="arx-l5", episodes=1))
    with pytest.raises(BadOption, match=r"allowed: franka-fr3, arx-x5.*name one of them by --robot"):
        play(Play(config.folder, episodes=1))


def test_several_bodies_take_as_many_steps_each_as_one_alone():
    assert Config(robot=BOTH).steps == 2 * Config().steps
    mixed = Config(robot=NAMES[0], env_id="User/PegInsert-sim-v0,User/CapTighten-sim-v0")
    assert mixed.steps == sum(Config(env_id=env_id).steps for env_id in mixed.env_id.split(","))
    assert mixed.folder.name == "PegInsert-sim-v0+CapTighten-sim-v0-franka-fr3-state-seed0"


def test_two_tasks_of_unlike_actions_are_learned_by_one_policy(tmp_path, monkeypatch):
    monkeypatch.setattr(online, "GLANCE", 1)
    config = Config(**TINY, env_id="User/PegInsert-sim-v0,User/PickPlace-sim-v0", run_dir=tmp_path / "run")
    summary = rlpd.main(config)
    assert summary is not None
    assert list(summary["bodies"]) == ["PegInsert", "PickPlace"]


def test_two_arms_learn_one_policy_from_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(online, "GLANCE", 1)
    few = {"steps": 12, "learning_starts": 4, "eval_every": 12, "demos": 1, "batch_size": 4, "eval_episodes": 1}
    config = Config(**TINY | few, robot=BOTH, obs="pixels", run_dir=tmp_path / "run")
    summary = rlpd.main(config)
    assert summary is not None
    assert list(summary["bodies"]) == NAMES
    with Buffer.open(config.folder / "buffer", read_only=True) as buffer:
        for place, name in enumerate(sorted(NAMES)):
            seen = buffer.view(f"robot = '{name}'").sample(3, np.random.default_rng(0)).obs
            assert {value.shape[1:3] for value in seen.values() if value.dtype == np.uint8} == {(64, 64)}
            assert (seen["state"][:, -2:] == np.eye(2)[place]).all()


def test_what_is_ordered_of_an_axis_that_the_body_lacks_teaches_nothing():
    observations, actions = spaces()
    lacking, learned = np.array([[1, 0]] * 16, np.float32), []
    for axes, second in ((lacking, 0.3), (lacking, -0.7), (np.ones((16, 2), np.float32), -0.7)):
        one = batch()
        ordered = np.stack([one.ordered[:, 0], np.full(16, second, np.float32)], 1)
        seen, after = ({**obs, "axes": axes} for obs in (one.obs, one.next_obs))
        agent = rlpd.Rlpd(observations, actions, Config(hidden=8, actor_every=1))
        agent.update(replace(one, obs=seen, next_obs=after, ordered=ordered))
        learned.append((agent.critic.detach().numpy().copy(), agent.actor.detach().numpy().copy()))
    for one, other in zip(learned[0], learned[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(learned[0][0], learned[2][0])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"robot": "franka-fr3,franka-fr3"}, "robot 'franka-fr3,franka-fr3'; allowed: different ones"),
        ({"robot": BOTH, "control": "joint", "demos": 0}, "axes of arx-x5 at PegInsert"),
        ({"robot": BOTH, "address": "10.0.0.1"}, "None with several robots; put the robots into the inventory"),
        ({"robot": "franka-fr3,frnka"}, "did you mean 'franka"),
        ({"robot": BOTH, "batch_size": 3}, "batch_size"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_words(tmp_path, options, word):
    with pytest.raises((BadOption, UnknownName), match=word):
        rlpd.main(Config(**TINY | {"run_dir": tmp_path / "run"} | options))


def test_other_baselines_learn_with_one_robot():
    with pytest.raises(BadOption, match=r"robot 'franka-fr3,arx-x5'; allowed: one; .*baselines\.rlpd"):
        bc.Config(robot=BOTH)
