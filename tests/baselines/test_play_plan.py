"""What a run of several processes learned acts again."""

from contextlib import closing

import numpy as np
import pytest

from baselines import plan
from baselines.episodes import evaluate
from baselines.networks import GaussianPolicy
from baselines.online import frozen
from baselines.play import Play, play
from user_gym.errors import BadOption, WrongRun
from user_gym.system.checkpoints import Checkpoints, Reached
from user_gym.system.processes.body import shared
from user_gym.system.processes.callables import named
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.plan import from_words

ALONE = {"name": "left", "env": "User/PegInsert-sim-v0", "robot": "arx-x5", "task": "PegInsert", "kwargs": {"hole_offset": 0.0}}
BOTH = {"env_id": "User/PegInsert-sim-v0", "robots": ["franka-fr3", "arx-x5"]}
TOGETHER = {**ALONE, "env": "user_gym.embodiment:Embodied-v0", "kwargs": BOTH}


def begun(path, collector, **agent):
    """A run that has not learned yet."""
    folder, options = RunFolder(path), {"hidden": 8, **agent.pop("options", {})}
    folder.begin(from_words({"steps": 10, "seed": 3, "collectors": [collector], "agent": {"options": options, **agent}}))
    return folder


def learned(folder):
    """Keep an agent there as the learner's process does, and let it act for an episode where the first robot is."""
    whole = folder.plan()
    with closing(shared(whole.collectors)) as env:
        agent = named(whole.agent.make)(env.observation_space, env.action_space, whole.options)
        Checkpoints(folder.learner).save(agent.save, Reached())
        evaluate(env, frozen(agent), 1)


@pytest.fixture
def acts(monkeypatch):
    """What policies do meanwhile: (steps, axes)."""
    made, act = [], GaussianPolicy.act

    def kept(*given):
        chunk = act(*given)
        made.append(chunk.actions[0])
        return chunk

    def taken():
        whole = np.array(made)
        made.clear()
        return whole

    monkeypatch.setattr(GaussianPolicy, "act", kept)
    return taken


def test_it_acts_where_its_first_robot_did_and_elsewhere(tmp_path, acts):
    folder = begun(tmp_path / "run", ALONE)
    learned(folder)
    there = acts()
    play(Play(folder.path, episodes=1))
    assert np.array_equal(acts(), there)
    assert plan.learned(folder.path)[0].hole_offset == 0.0  # as the robot's environment had it, and no default
    play(Play(folder.path, robot="franka-fr3", episodes=1))
    assert not np.array_equal(acts(), there)


def test_a_policy_that_sees_acts_from_the_same_pictures(tmp_path, acts):
    seeing = {**ALONE, "env": "baselines.pictures:Seen-v0", "kwargs": {"env_id": ALONE["env"], "side": 32}}
    folder = begun(tmp_path / "run", seeing, options={"obs": "pixels", "side": 32})
    learned(folder)
    there = acts()
    play(Play(folder.path, episodes=1))
    assert np.array_equal(acts(), there)


def test_a_policy_of_several_bodies_is_asked_which(tmp_path, acts):
    folder = begun(tmp_path / "run", TOGETHER, options={"robot": "franka-fr3,arx-x5"})
    learned(folder)
    there = acts()
    play(Play(folder.path, robot="arx-x5", episodes=1))
    assert np.array_equal(acts(), there)
    with pytest.raises(BadOption, match=r"bad robot None; allowed: .*several bodies: name one of them by --robot"):
        play(Play(folder.path))


def test_options_that_would_be_left_out_are_refused_by_name(tmp_path):
    folder = begun(tmp_path / "run", {**ALONE, "kwargs": {"board": "blue"}})
    learned(folder)
    with pytest.raises(BadOption, match=r"kwargs of 'left' 'board'.*--env-id"):
        play(Play(folder.path))
    assert play(Play(folder.path, env_id="User/PegInsert-sim-v0", episodes=1)).length > 0


def test_what_is_there_is_only_read(tmp_path, caplog):
    folder = begun(tmp_path / "run", ALONE)
    learned(folder)
    learned(folder)
    (folder.learner / "agent-2").write_bytes(b"damaged")
    before = {path: path.read_bytes() for path in folder.learner.iterdir()}
    assert play(Play(folder.path, episodes=1)).length > 0
    assert {path: path.read_bytes() for path in folder.learner.iterdir()} == before
    assert "newest.json is damaged" in caplog.text


def test_runs_without_an_agent_of_ours_are_refused(tmp_path):
    with pytest.raises(WrongRun, match="no checkpoint yet"):
        play(Play(begun(tmp_path / "early", ALONE).path))
    with pytest.raises(WrongRun, match=r"math:sqrt; allowed: of baselines\.plan:agent"):
        play(Play(begun(tmp_path / "other", ALONE, make="math:sqrt").path))
