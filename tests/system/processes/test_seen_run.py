"""RLPD from pictures in a run of several processes, rewarded by a classifier of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from user_gym.rewards import Network
from user_gym.system import Buffer

pytest.importorskip("torch")

ARM = {"env": "baselines.pictures:Seen-v0", "robot": "franka-fr3", "task": "PegInsert"}
SEEING = {"learning_starts": 10, "batch_size": 8, "agent": {"options": {"demos": 1, "hidden": 8, "obs": "pixels", "side": 32}}}


def test_two_robots_show_pictures_and_each_may_be_killed(runs, tmp_path):
    from baselines.networks import Encoder
    from baselines.reward_classifier import sight

    encoder = Encoder({"wrist": (32, 32), "side": (32, 32)})
    seen = sight(encoder, dict.fromkeys(encoder.cameras, (32, 32)))
    zero = np.zeros((1, 19 + seen.size, 2), np.float32), np.zeros((1, 2, 1), np.float32)
    biases = np.zeros((1, 1, 2), np.float32), np.full((1, 1, 1), 9.0, np.float32)
    flat = np.zeros(19, np.float32), np.ones(19, np.float32)
    Network(*flat, zero, biases, 0.5, sights=(seen,)).save(tmp_path / "seen.npz")  # success, always
    kwargs = {"env_id": "User/PegInsert-sim-v0", "side": 32}
    arms = [{"name": name, "kwargs": kwargs, **ARM} for name in ("left", "right")]
    run = runs(**SEEING, steps=80, tolerance=5, collectors=arms, reward=f"classifier:{tmp_path}/seen.npz").start()
    run.until(lambda: run.steps() >= 20, "20 steps")
    run.kill("left")
    assert run.end()[0] == 0, run.logs()
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        for where in ("kind = 'demo'", "source = 'left'", "source = 'right'"):
            numbers = buffer.view(where).numbers()
            assert {*buffer.steps(numbers, ["reward_source"])["reward_source"].tolist()} == {"classifier"}
            obs = buffer.read(numbers[:1]).obs
            assert {name: column.shape[1:] for name, column in obs.items()} == {
                "state": (19,), "wrist": (32, 32, 3), "side": (32, 32, 3),
            }  # fmt: skip
        assert len(buffer.view("policy_version > 0")) > 0  # with weights that were learned meanwhile


def test_pictures_as_they_are_end_the_run_by_name(runs):
    arm = {**ARM, "name": "left", "env": "User/PegInsert-sim-v0", "kwargs": {"obs": "pixels"}}
    code, said = runs(**SEEING, steps=80, collectors=[arm]).start().end()
    assert code == 2, said
    assert "baselines.pictures:Seen-v0" in said
