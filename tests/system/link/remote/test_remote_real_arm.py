"""A real id stepped from afar: client, hub, edge, driver and the vendor's bytes, with a protocol twin at the end of them."""

from __future__ import annotations

import itertools
import os

import gymnasium
import numpy as np
import pytest
from remote_parts import fleet

import user_gym  # noqa: F401
from user_gym.sim.twin_process import TwinProcess
from user_gym.system.link.remote.served import Served

REAL = "User/PegInsert-real-v0"
STEPS = 12
_places = itertools.count(1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine of its own, whose operator approves."""
    for name, folder in (("USER_GYM_STOPS", "stops"), ("XDG_CONFIG_HOME", "config"), ("USER_GYM_LEASES", "leases")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("USER_GYM_APPROVE", "1")


def twin_of(robot, tmp_path):
    """A gated twin in a process, and what gymnasium.make needs for it."""
    pid, place = os.getpid(), next(_places)
    if robot == "franka-fr3":
        kind, address, key = "fci.twin:FciTwin", f"127.{140 + pid // 250 % 50}.{1 + pid % 250}.{place}", "address"
    else:
        kind, address, key = "can.twin:CanTwin", f"seqpacket:{tmp_path}/can{place}", "bus"
    twin = TwinProcess(f"user_gym.sim.{kind}", robot, {key: address, "mode": "gated"}, task="PegInsert")
    return twin, {"robot": robot, "address": address}


def episode(env):
    """All that an agent sees of one."""
    rng = np.random.default_rng(3)
    obs, _ = env.reset(seed=5)
    seen = [obs["state"].copy()]
    for _ in range(STEPS):
        obs, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        seen.append(np.concatenate([obs["state"], [reward, terminated, truncated], info["executed_action"]]))
    env.close()
    return seen


@pytest.mark.parametrize("channel", ["network", "shared memory"])
@pytest.mark.parametrize(("robot", "package"), [("arx-x5", "can"), ("franka-fr3", "franky")])
def test_an_arm_behind_its_driver_does_from_afar_what_it_does_here(tmp_path, robot, package, channel):
    pytest.importorskip(package, reason="comes with the extra 'vendors'")
    twin, where = twin_of(robot, tmp_path)
    with twin:
        here = episode(gymnasium.make(REAL, twin=twin.side, **where))
    twin, where = twin_of(robot, tmp_path)
    with twin, fleet(tmp_path, {"arm": [Served(REAL, {"twin": twin.side, **where})]}) as running:
        options = {"hub": running.address, "edge": "e1", "robot": robot, "channel": channel}
        there = episode(gymnasium.make("User/PegInsert-remote-v0", env_id=REAL, **options))
    assert len(there) == STEPS + 1
    for mine, remote in zip(here, there, strict=True):
        np.testing.assert_array_equal(mine, remote)
