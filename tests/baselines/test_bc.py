from __future__ import annotations

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from test_rlpd import batch, spaces

from baselines import bc, online
from baselines.bc import Cloning, Config
from baselines.online import frozen, rehearse
from baselines.play import Play, play
from user_gym.core import Agent, Policy
from user_gym.errors import BadOption, WrongRun
from user_gym.system import Buffer


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(online, "GLANCE", 1)
    monkeypatch.setattr(bc, "GLANCE", 1)
    small = {"demos": 1, "updates": 60, "eval_every": 20, "eval_episodes": 2, "batch_size": 8, "hidden": 8, "film": False}
    return Config(**small, run_dir=tmp_path / "run")


def test_agent_and_policy_keep_the_protocols_of_core():
    agent = Cloning(*spaces(), Config())
    assert isinstance(agent, Agent)
    assert isinstance(agent.policy, Policy)


def test_it_does_what_was_ordered_not_what_was_executed():
    agent = Cloning(*spaces(), Config(updates=600, hidden=32, learning_rate=3e-3))
    one = batch(8)
    one = replace(one, ordered=0.8 * one.ordered, action=-one.ordered)
    for _ in range(600):
        metrics = agent.update(one)
    assert metrics["loss"] < 1e-3
    policy = frozen(agent)
    done = np.array([policy.act({"state": x}).actions[0] for x in one.obs["state"]])
    np.testing.assert_allclose(done, one.ordered, atol=0.1)


def test_it_acts_alike_whether_or_not_it_may_explore():
    policy = Cloning(*spaces(), Config()).policy
    x = {"state": np.array([0.3, -1.0, 2.0], np.float32)}
    np.testing.assert_array_equal(policy.act(x).actions, policy.act(x, deterministic=True).actions)


def test_the_learning_rate_falls_at_the_end_of_each_phase():
    class Phases(Config):
        phases = (60, 60)

    agent = Cloning(*spaces(), Phases(learning_rate=1e-3))
    rates = []
    for _ in range(125):
        agent.update(batch())
        rates.append(agent._optimiser.param_groups[0]["lr"])
    assert {rates[i] for i in (0, 39, 60, 99)} == {1e-3}
    assert [rates[i] for i in (59, 119, 124)] == pytest.approx([5e-5] * 3)
    assert 1e-3 > rates[49] > rates[59]


def test_a_restored_agent_goes_on_bit_for_bit(tmp_path):
    cameras = {"state": spaces()[0]["state"], "wrist": gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)}
    seen = {"wrist": np.random.default_rng(0).integers(0, 255, (16, 64, 64, 3), np.uint8)}
    one, two = (Cloning(gym.spaces.Dict(cameras), spaces()[1], Config(hidden=8)) for _ in range(2))
    drawn = replace(batch(), obs=batch().obs | seen)
    one.update(drawn)
    one.save(tmp_path / "a.pt")
    two.restore(tmp_path / "a.pt")
    for agent in (one, two):
        agent.update(drawn)
    assert all(np.array_equal(value, two.weights()[name]) for name, value in one.weights().items())
    with pytest.raises(WrongRun, match="another shape"):
        Cloning(*spaces(), Config(hidden=8)).restore(tmp_path / "a.pt")


def test_without_demonstrations_there_is_nothing_to_clone():
    with pytest.raises(BadOption, match="demos 0"):
        Config(demos=0)


def test_a_run_ends_with_a_summary_and_can_be_played(tiny, capsys):
    summary = bc.main(tiny)
    assert summary == json.loads((tiny.folder / "summary.json").read_text())
    assert (summary["env_steps"], summary["updates"], summary["demos"]) == (0, 60, 1)
    with Buffer.open(tiny.folder / "buffer", read_only=True) as buffer:
        assert summary["labels"] == len(buffer) > 10
    assert [point["updates"] for point in json.loads((tiny.folder / "state.json").read_text())["curve"]] == [20, 40, 60]
    assert (tiny.folder / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "60/60 updates" in capsys.readouterr().out
    assert bc.main(tiny) == summary
    assert play(Play(tiny.folder, episodes=1)).length > 0


def test_an_interrupted_run_ends_with_the_same_policy(tiny, monkeypatch, tmp_path):
    whole = bc.main(replace(tiny, run_dir=tmp_path / "whole"))
    looks = []

    def interrupted(*arguments, **options):
        looks.append(1)
        if len(looks) == 2:
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    evaluate = bc.evaluate
    monkeypatch.setattr(bc, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bc.main(tiny)
    begun = []
    monkeypatch.setattr(bc, "rehearse", lambda agent, *rest: (begun.append(agent.updates), rehearse(agent, *rest)))
    again = bc.main(tiny)
    assert begun == [20, 40]
    assert again["success_rate"] == whole["success_rate"]
    first, second = (torch.load(tmp_path / n / "checkpoint-0-60.pt", weights_only=True)["actor"] for n in ("whole", "run"))
    assert torch.equal(first, second)
