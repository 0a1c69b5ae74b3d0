from __future__ import annotations

import dataclasses

import gymnasium as gym
import numpy as np
import pytest

from baselines import plan, rlpd
from baselines.config import Config
from baselines.episodes import DEMO_SEED, EVALUATION_SEED, GLANCE_SEED, demonstrate, make
from user_gym.errors import UserGymError
from user_gym.system import Buffer
from user_gym.tasks.peg_insert import PegInsert

REACH = "Test/Reach-v0"


class Reach(PegInsert):
    """A task without a hole to be offset, and without an expert."""

    name = "Reach"

    def __init__(self, spec):
        super().__init__(spec)
        del self.hole_offset

    def start(self, rng):
        self.hole_offset = 0.0
        start = super().start(rng)
        del self.hole_offset
        return start


@pytest.fixture
def reach():
    options = {"task": Reach, "backend": "sim"}
    gym.register(REACH, entry_point="user_gym.env:make", max_episode_steps=100, kwargs=options)
    yield
    del gym.registry[REACH]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"steps": -1}, "steps -1; allowed: 1 or more"),
        ({"seed": -1}, "seed -1; allowed: 0 .. 99999"),
        ({"demos": -2}, "demos -2; allowed: 0 or more"),
        ({"demo_noise": float("nan")}, "demo_noise nan; allowed: 0 .. 1"),
        ({"updates_per_step": -1}, "updates_per_step -1; allowed: 0.001 .. 1000"),
        ({"updates_per_step": float("inf")}, "updates_per_step inf"),
        ({"batch_size": 1}, "batch_size 1; allowed: 2 or more"),
        ({"learning_rate": -1}, "learning_rate -1; allowed: 1e-08 .. 1"),
        ({"discount": 2.0}, "discount 2.0; allowed: 0 .. 1"),
        ({"averaging": -1.0}, "averaging -1.0; allowed: 1e-06 .. 1"),
        ({"cloning": -0.5}, "cloning -0.5; allowed: 0 .. 1000"),
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"target_entropy": float("-inf")}, "target_entropy -inf"),
        ({"eval_every": 0}, "eval_every 0; allowed: 1 or more"),
        ({"env_id": "User/PegInsrt-sim-v0"}, "did you mean 'User/PegInsert-sim-v0'"),
        ({"env_id": "CartPole-v1"}, "env_id 'CartPole-v1'"),
        ({"control": "joint"}, "--demos 0"),
        ({"obs": "smell"}, "state"),
        ({"robot": "frnka-fr3"}, "franka-fr3"),
        ({"hole_offset": 1}, "hole_offset 1; allowed: 0 .. 0.003"),
    ],
)
def test_bad_options_are_named_together_with_what_is_allowed(tmp_path, options, word):
    with pytest.raises(UserGymError, match=word):
        rlpd.main(Config(**{"run_dir": tmp_path / "run"} | options))
    assert not (tmp_path / "run").exists()


def test_every_number_has_a_range_and_the_defaults_keep_it():
    numbers = {f.name for f in dataclasses.fields(Config) if f.type in ("int", "float")}
    assert numbers
    for name in numbers:
        with pytest.raises(UserGymError, match=name):
            Config(**{name: float("nan")})
    Config()


def test_a_task_that_takes_longer_is_learned_for_longer_unless_told():
    assert (Config().steps, Config().averaging) == (3500, 0.005)
    assert (Config(robot="franka-fr3,arx-x5").steps, Config(robot="franka-fr3,arx-x5").averaging) == (7000, 0.02)
    charger = Config(env_id="User/Charger-sim-v0")
    assert (charger.steps, charger.averaging) == (5000, 0.02)
    longer = "User/CapTighten-sim-v0"
    assert (Config(env_id=longer).steps, Config(env_id=longer).averaging) == (6000, 0.02)
    assert (Config(env_id=longer, steps=50).steps, Config(env_id=longer, averaging=0.1).averaging) == (50, 0.1)
    assert isinstance(Config(env_id=longer).steps, int)


def test_only_the_longest_task_keeps_its_actor_at_the_demonstrations_unless_told():
    tasks = ("PegInsert", "Charger", "CapTighten", "PickPlace")
    assert [Config(env_id=f"User/{task}-sim-v0").cloning for task in tasks] == [0.0, 0.0, 0.0, 1.0]
    assert [Config(env_id=f"User/{task}-sim-v0").demos for task in tasks] == [20, 20, 20, 60]
    told = Config(env_id="User/PickPlace-sim-v0", cloning=0.1, demos=0)
    assert (told.cloning, told.demos) == (0.1, 0)
    assert Config(env_id="User/PickPlace-sim-v0", cloning=0.0).cloning == 0.0


def test_from_pictures_fewer_and_smaller_updates_are_made_unless_told():
    def asked(config):
        names = ("steps", "averaging", "demos", "cloning", "batch_size", "updates_per_step", "actor_every")
        return tuple(getattr(config, name) for name in names)

    assert asked(Config()) == (3500, 0.005, 20, 0.0, 128, 4.0, 4)
    assert asked(Config(obs="pixels")) == (6000, 0.02, 60, 0.3, 64, 2.0, 2)
    told = {
        "steps": 9,
        "averaging": 0.1,
        "demos": 8,
        "cloning": 0.7,
        "batch_size": 6,
        "updates_per_step": 5.0,
        "actor_every": 4,
    }
    assert asked(Config(obs="pixels", **told)) == tuple(told.values())
    longer = Config(env_id="User/PickPlace-sim-v0", obs="pixels")
    assert (longer.cloning, longer.averaging, longer.batch_size) == (1.0, 0.02, 64)
    with pytest.raises(UserGymError, match=r"side 256; allowed: 16 .. 128"):
        Config(side=256)


@pytest.mark.parametrize(
    ("width", "side", "options", "word"),
    [
        (19, 64, {}, r"bad obs 'state'.*robots show \(64, 64, 3\)"),
        (19, 0, {"obs": "pixels"}, "bad obs 'pixels'.*robots show no pictures"),
        (19, 128, {"obs": "pixels"}, r"pictures of side 64.*robots show \(128, 128, 3\)"),
        (25, 64, {"obs": "pixels"}, "no more state than the arm feels.*and a state of 25"),  # it tells where an object is
        (25, 64, {"obs": "pixels", "control": "joint", "demos": 0}, None),
        (19, 32, {"obs": "pixels", "side": 32}, None),
    ],
)
def test_runs_of_several_processes_learn_from_pictures_that_suit_and_are_not_told_more(width, side, options, word):
    spaces = {"state": gym.spaces.Box(-1, 1, (width,)), "wrist": gym.spaces.Box(0, 255, (side, side, 3), np.uint8)}
    shown = gym.spaces.Dict(spaces if side else {"state": spaces["state"]})
    if word is None:
        assert plan.agent(shown, gym.spaces.Box(-1, 1, (6,)), {"hidden": 8, **options}).encoder is not None
        return
    with pytest.raises(UserGymError, match=rf"{word}.*baselines.pictures:Seen-v0.*'what env was', side = 64") as refused:
        plan.agent(shown, gym.spaces.Box(-1, 1, (6,)), options)
    assert ("and obs = 'pixels' of agent.options" in str(refused.value)) == (options == {})


def test_no_seed_lets_training_see_an_episode_of_the_evaluation():
    firsts = [99_999, GLANCE_SEED, DEMO_SEED + 99_999, EVALUATION_SEED]
    assert min(np.diff(firsts)) > 100_000
    with pytest.raises(UserGymError, match="seed"):
        Config(seed=100_000)


def test_a_task_without_an_expert_needs_no_demonstrations(reach):
    with pytest.raises(UserGymError, match="PegInsert, PickPlace, TableCleanup; use --demos 0"):
        make(Config(env_id=REACH))
    make(Config(env_id=REACH, demos=0)).close()


def test_the_offset_of_the_hole_is_an_option_of_the_task_and_only_of_tasks_that_have_one(reach):
    with pytest.raises(UserGymError, match="hole_offset"):
        make(Config(env_id=REACH, demos=0, hole_offset=0.002))
    for given, used in ((0.002, 0.002), (None, 0.001)):
        env = make(Config(hole_offset=given))
        assert env.unwrapped.task.hole_offset == used
        env.close()


def test_a_task_without_a_hole_is_learned_and_summed_up(reach, tmp_path):
    few = {"steps": 4, "learning_starts": 2, "batch_size": 2, "hidden": 4, "eval_episodes": 1, "film": False}
    summary = rlpd.main(Config(env_id=REACH, demos=0, run_dir=tmp_path / "run", **few))
    assert summary is not None
    assert summary["hole_offset"] is None


def test_an_expert_that_keeps_failing_is_not_waited_for(monkeypatch):
    class Idle:
        def __init__(self, task, noise, seed):
            pass

        def watch(self, scene):
            pass

        def reset(self):
            pass

        def action(self, state):
            return np.zeros(6, np.float32)

    monkeypatch.setattr("baselines.episodes.EXPERTS", {"PegInsert": Idle})
    monkeypatch.setattr("baselines.episodes._PATIENCE", 2)
    env = make(Config())
    with pytest.raises(UserGymError, match="failed 2 times in a row"):
        demonstrate(env, Buffer.open(":memory:"), Config())
    env.close()
