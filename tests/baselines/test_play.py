"""A trained policy acts again, elsewhere."""

import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from test_rlpd import TINY

from baselines import rlpd
from baselines.config import Config
from baselines.episodes import evaluate, make
from baselines.networks import GaussianPolicy
from baselines.play import Play, play
from baselines.run_folder import newest
from user_gym.core import ActionChunk
from user_gym.errors import BadOption, NoRobot, UnknownName, WrongRun


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("play") / "run"
    rlpd.main(Config(**TINY, run_dir=folder))
    return folder


def test_playing_repeats_the_evaluation_that_ended_the_run(folder, tmp_path):
    summary = rlpd.main(Config(**TINY, run_dir=folder))
    result = play(Play(folder, episodes=TINY["eval_episodes"]))
    assert (result.success, result.length) == (summary["success_rate"], summary["mean_length"])


class Still:
    """A policy that does nothing but keep what it is asked."""

    version, spec_hash = 0, ""

    def __init__(self):
        self.heard = []

    def reset(self, seed=None):
        self.heard.append(seed)

    def act(self, obs, deterministic=False):
        self.heard.append(deterministic)
        return ActionChunk(np.zeros((1, 6), np.float32), 0)

    def load(self, weights):
        raise AssertionError


def test_each_episode_begins_the_draws_anew_and_is_played_as_was_asked():
    policy = Still()
    with closing(TimeLimit(make(Config(**TINY)), 1)) as env:
        evaluate(env, policy, 2, first_seed=5)
        evaluate(env, policy, 1, first_seed=7, deterministic=False)
    assert policy.heard == [5, True, 6, True, 7, False]


def test_the_actions_of_exploring_are_drawn_alike_each_time(folder, monkeypatch):
    acted, act = [], GaussianPolicy.act

    def kept(*given):
        made = act(*given)
        acted.append(made.actions[0])
        return made

    monkeypatch.setattr(GaussianPolicy, "act", kept)
    for exploring in (True, True, False):
        play(Play(folder, episodes=1, exploring=exploring))
    first, again, mean = np.split(np.array(acted), 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, mean)


def test_what_cannot_be_played_is_refused_by_name(folder, tmp_path):
    with pytest.raises(WrongRun, match="holds no run with a checkpoint"):
        play(Play(tmp_path))
    with pytest.raises(BadOption, match="episodes 0"):
        play(Play(folder, episodes=0))
    with pytest.raises(UnknownName, match="env_id"):
        play(Play(folder, env_id="User/PegInsrt-sim-v0"))
    with pytest.raises(BadOption, match="address"):
        play(Play(folder, address="127.0.0.1"))


def test_the_robot_is_a_model_or_an_id_of_the_inventory(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("USER_GYM_INVENTORY", str(tmp_path / "inventory.toml"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    entry = '[[robot]]\nid = "{}"\nmodel = "franka-fr3"\naddress = "127.200.1.{}"\ntasks = []\n'
    (tmp_path / "inventory.toml").write_text(entry.format("left", 1) + entry.format("right", 2))
    with pytest.raises(NoRobot, match="robot 'right'"):
        play(Play(folder, env_id="User/PegInsert-real-v0", robot="right"))
    with pytest.raises(UnknownName, match="did you mean 'right'"):
        play(Play(folder, env_id="User/PegInsert-real-v0", robot="rigth"))
    assert play(Play(folder, robot="arx-x5", episodes=1)).length > 0


def test_a_damaged_checkpoint_is_not_loaded(folder, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(folder), str(copy)], check=True, timeout=60)
    _, path = newest(copy)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WrongRun, match="is damaged"):
        play(Play(copy))


def test_the_command_prints_what_it_counted(folder):
    command = [sys.executable, "-m", "baselines.play", str(folder), "--episodes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "over 1 deterministic episodes" in done.stdout
    done = subprocess.run([*command, "--exploring"], capture_output=True, text=True, timeout=120, check=True)
    assert "over 1 exploring episodes" in done.stdout
