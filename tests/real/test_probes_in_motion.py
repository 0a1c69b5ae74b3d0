"""Looking at devices disturbs no robot that works: a gated run is bit-identical with and without it."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from franka_rig import address

import user_gym  # noqa: F401 - registers the ids
from user_gym.core import Device
from user_gym.robots import discovery, specs
from user_gym.robots.probes import fci, twin
from user_gym.sim.fci.twin import FciTwin
from user_gym.tasks.peg_insert import PegInsert

STEPS = 30


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("USER_GYM_INVENTORY", "/dev/null")


def run(place: str, look: bool) -> tuple[str, int]:
    """Hash of all observations, and how often somebody looked."""
    spec, digest, looks, ended = specs.spec("franka-fr3"), hashlib.sha256(), 0, threading.Event()
    failures: list[Exception] = []
    with FciTwin(spec, PegInsert(spec), place) as served:
        device = Device("arm", "robot", spec.name, place, served.side)

        def watch() -> None:
            nonlocal looks
            try:
                while not ended.wait(0.005):
                    assert discovery.probe(device).lease is not None  # it is leased: nobody asks it
                    # And what a stranger does who does not know of the lease, on another machine:
                    assert fci.ask(spec.name, place, 5.0) == "robot protocol 10"
                    assert twin.ask(spec.name, served.side, 5.0).startswith("twin")
                    looks += 1
            except Exception as error:
                failures.append(error)

        env = gym.make("User/PegInsert-real-v0", robot=spec.name, address=place, twin=served.side)
        watcher = threading.Thread(target=watch, name="watcher")
        try:
            env.reset(seed=3)
            env.action_space.seed(3)
            if look:
                watcher.start()
            for _ in range(STEPS):
                obs, *_ = env.step(env.action_space.sample())
                for key in sorted(obs):
                    digest.update(np.ascontiguousarray(obs[key]).tobytes())
        finally:
            ended.set()
            if look:
                watcher.join(30)
            env.close()
    assert not failures
    return digest.hexdigest(), looks


@pytest.mark.slow
def test_a_probe_during_a_motion_disturbs_nothing() -> None:
    pytest.importorskip("franky", reason="no wheel of franky-control for this machine")
    place = address()
    alone, _ = run(place, look=False)
    watched, looks = run(place, look=True)
    assert looks > 5
    assert watched == alone
