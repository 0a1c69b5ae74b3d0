"""A twin that died and is started again is found again by the reset that follows: nobody has to make the environment anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import user_gym  # noqa: F401 - registers the ids
from user_gym.errors import LinkLost, RobotFault
from user_gym.robots.gate import GateClock
from user_gym.robots.side import Side
from user_gym.sim.twin_process import TwinProcess

pytestmark = pytest.mark.slow
Started = Callable[[str], tuple[TwinProcess, str]]
fr3 = pytest.mark.skipif(not find_spec("franky"), reason="no wheel of franky-control here")
can = pytest.mark.skipif(not find_spec("can"), reason="python-can is not installed")


@pytest.fixture
def twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Start a gated twin of a robot, at an address where it can be started again."""
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    made: list[TwinProcess] = []

    def start(robot: str) -> tuple[TwinProcess, str]:
        if robot.startswith("franka"):
            place = f"127.{180 + os.getpid() % 20}.{os.getpid() // 20 % 250 + 1}.9"
            made.append(TwinProcess("user_gym.sim.fci.twin:FciTwin", robot, {"address": place, "mode": "gated"}))
        else:
            place = f"seqpacket:{tmp_path}/bus"
            options = {"bus": place, "side": f"unix:{tmp_path}/side", "mode": "gated"}
            made.append(TwinProcess("user_gym.sim.can.twin:CanTwin", robot, options))
        made[-1].open()
        return made[-1], place

    yield start
    for process in made:
        process.close()


def die(process: TwinProcess) -> None:
    """kill -9."""
    os.kill(process.pid, signal.SIGKILL)
    process.close()


@pytest.mark.parametrize("robot", [pytest.param("arx-x5", marks=can), pytest.param("franka-fr3", marks=fr3)])
def test_an_arm_goes_on_with_the_reset_after_its_twin_is_back(twin: Started, robot: str) -> None:
    process, place = twin(robot)
    env = gymnasium.make("User/PegInsert-real-v0", robot=robot, address=place, twin=process.side)
    still = np.zeros(env.action_space.shape or (), np.float32)
    try:
        env.reset(seed=0)
        env.step(still)
        die(process)
        with pytest.raises(LinkLost):
            env.step(still)
        for _ in range(2):
            with pytest.raises(LinkLost):
                env.reset()
        process.open()
        env.reset()
        env.step(still)
    finally:
        env.close()


@can
def test_a_clock_finds_its_twin_again_and_closes_the_gate_anew(twin: Started) -> None:
    process, _ = twin("arx-x5")
    clock, eyes = GateClock(process.side), Side(process.side)
    clock.connect()
    eyes.connect()
    assert clock.advance(3).ticks == 3
    die(process)
    with pytest.raises(LinkLost):
        clock.advance(1)
    with pytest.raises(LinkLost):
        eyes.ask("hello")
    process.open()
    eyes.ask("mode", mode="paced")  # as somebody else left it
    with pytest.raises(RobotFault, match="advance"):
        eyes.ask("advance", ticks=1, timeout=1.0)
    assert clock.advance(3).ticks == 3
    clock.close()
    eyes.close()
