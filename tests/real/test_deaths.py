"""A program or a driver process dies while the arm moves: what the twin's joints then really do, and who gets the arm next.

The Franka's client is gated, so that a busy machine costs it nothing; the twin's time runs by itself once the client is dead.
The ARX arms are held by a loop in the wall's time, and so is what is seen of them. Nothing here has to happen within a moment:
each wait is for an event, and bounds of travel count on the twin's clock.
"""

import os
import signal
import time
from importlib.util import find_spec

import gymnasium
import numpy as np
import pytest
from deaths_rig import CREEP, PATIENCE, TRAVEL, Arm, Sweep, alive, until

import user_gym  # noqa: F401
from user_gym.robots import stop
from user_gym.robots.motors import MOST_TIMEOUT

pytestmark = pytest.mark.slow
fr3 = pytest.mark.skipif(not find_spec("franky"), reason="no wheel of franky-control here")
can = pytest.mark.skipif(not find_spec("can"), reason="python-can is not installed")
REAL = "User/PegInsert-real-v0"


@pytest.fixture
def franka(folder):
    pid = os.getpid()
    address = f"127.{230 + pid % 20}.{pid // 20 % 250 + 1}.{time.monotonic_ns() % 250 + 1}"
    arm = Arm("franka-fr3", "fci.twin:FciTwin", {"address": address}, "gate")
    yield arm
    arm.close()


@pytest.fixture
def arx(folder):
    # The longest time-out that is taken: on a busy machine the driver may be late, and that is not what is tested.
    arm = Arm("arx-x5", "can.twin:CanTwin", {"bus": f"seqpacket:{folder}/bus"}, "wall", timeout=MOST_TIMEOUT)
    yield arm
    arm.close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    return tmp_path


def drives(options):
    """The next program has an arm that moves."""
    env = gymnasium.make(REAL, **options)
    try:
        env.reset(seed=1)
        for _ in range(3):
            env.step(np.array([0, 0, 1, 0, 0, 0], np.float32))
    finally:
        env.close()


@fr3
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("victim", ["program", "driver"])
def test_a_franka_stops_when_its_program_or_driver_dies_and_the_next_program_moves_it(franka, victim, number):
    with Sweep(franka) as sweep:
        if victim == "driver":
            os.kill(sweep.program.pid, signal.SIGSTOP)  # its next reset would drive again
        before = franka.tool
        os.kill(sweep.program.pid if victim == "program" else sweep.driver, number)
        until(lambda: not alive(sweep.driver), "the end of the driver process")
        until(lambda: franka.look()["motion"] == "idle", "the end of the motion")
        assert np.linalg.norm(franka.tool - before) < TRAVEL
        assert franka.travel(1.0) < CREEP
    drives(franka.options)


@fr3
def test_a_franka_whose_driver_stands_still_is_stopped_by_the_lost_cycle_rule(franka):
    with Sweep(franka) as sweep:
        before = franka.tool
        os.kill(sweep.driver, signal.SIGSTOP)
        franka.side.ask("mode", mode="paced")  # until here the twin waited for its client
        until(lambda: franka.look()["motion"] == "reflex: communication_constraints_violation", "the reflex")
        assert np.linalg.norm(franka.tool - before) < TRAVEL
        assert franka.travel(1.0) < CREEP


@can
def test_an_arx_arm_is_held_when_its_program_dies_and_let_go_on_demand(arx):
    with Sweep(arx) as sweep:
        before = arx.tool
        sweep.program.kill()
        sweep.program.wait(PATIENCE)
        arx.travel(0.5)
        assert np.linalg.norm(arx.tool - before) < TRAVEL
        assert arx.travel(1.0) < CREEP
        assert alive(sweep.driver)
        assert arx.look()["motion"] == "moving"  # its motors are told to hold
        assert stop.tell(stop.RELEASE).reached
        until(lambda: not alive(sweep.driver), "the end of the driver process")


@can
def test_an_arx_arm_whose_driver_dies_sinks_for_its_motors_go_limp_and_comes_back(arx):
    """Nobody holds an arm without brakes: its motors go on with their last order until their TIMEOUT; Encos ones for ever."""
    with Sweep(arx) as sweep:
        os.kill(sweep.program.pid, signal.SIGSTOP)  # its next reset would catch the arm
        os.kill(sweep.driver, signal.SIGKILL)
        until(lambda: not alive(sweep.driver), "the end of the driver process")
        assert arx.travel(MOST_TIMEOUT) < 2 * TRAVEL
        assert arx.travel(1.0) < 0.3
    arx.side.ask("lift")
    drives({**arx.options, "clock": "gate"})
