"""kill -9 of the program and of the driver process while the arm moves: what a twin in the wall's time then shows."""

import logging
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from user_gym.robots import kinematics, specs, stop
from user_gym.tasks.peg_insert import PegInsert

pytestmark = pytest.mark.slow
log = logging.getLogger(__name__)
TRAVEL = 0.03  # m; the task's orders reach 2 cm beyond the tool
STILL = 0.005  # m that an arm at rest may creep in STILL_FOR
STILL_FOR = 0.5  # s

PROGRAM = """
import sys, gymnasium, numpy as np, user_gym
env = gymnasium.make("User/PegInsert-real-v0", robot={robot!r}, **{options!r})
env.reset(seed=0, options={{"tcp": env.unwrapped.task.goal + [0, 0.04, 0.09, 0, 0, 0]}})
print(env.unwrapped.robot.pid, flush=True)
action = np.zeros(env.action_space.shape, np.float32)
action[1] = -1.0
while True:
    env.step(action)
"""


def fr3(folder):
    from user_gym.sim.fci.twin import FciTwin

    pid = os.getpid()
    address = f"127.{230 + pid % 20}.{pid // 20 % 250 + 1}.{time.monotonic_ns() % 250 + 1}"
    spec = specs.spec("franka-fr3")
    twin = FciTwin(spec, PegInsert(spec), address=address, mode="paced")  # and so again when its client is dead
    twin.open()
    return twin, {"address": address, "twin": twin.side}


def x5(folder):
    from user_gym.sim.can.twin import CanTwin

    bus, spec = f"seqpacket:{folder}/bus", specs.spec("arx-x5")
    twin = CanTwin(spec, PegInsert(spec), bus, mode="paced", side="127.0.0.1:0")
    twin.open()
    return twin, {"address": bus, "twin": twin.side, "clock": "wall"}


ARMS = [
    pytest.param(
        "franka-fr3", fr3, marks=pytest.mark.skipif(not find_spec("franky"), reason="no wheel of franky-control here")
    ),
    pytest.param("arx-x5", x5, marks=pytest.mark.skipif(not find_spec("can"), reason="python-can is not installed")),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    return tmp_path


def travel(tool, seconds) -> np.ndarray:
    """Positions of the tool for a while."""
    seen, end = [tool()], time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.005)
        seen.append(tool())
    return np.array(seen)


def alive(pid) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("victim", ["program", "driver"])
@pytest.mark.parametrize(("robot", "make"), ARMS)
def test_the_arm_is_still_half_a_second_after_a_death(robot, make, victim, folder) -> None:
    spec = specs.spec(robot)
    twin, options = make(folder)
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(robot=robot, options=options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    worker = 0
    try:

        def tool():
            return kinematics.position(spec, np.array(twin._stage._data.qpos[: spec.dof]))

        worker = int(program.stdout.readline())
        began, end = tool(), time.monotonic() + 20
        while abs(tool()[1] - began[1]) < 0.02:
            assert time.monotonic() < end, "the arm did not move"
            time.sleep(0.005)
        at = tool()
        os.kill(program.pid if victim == "program" else worker, signal.SIGKILL)
        if robot == "franka-fr3":
            end = time.monotonic() + 5
            while alive(worker):
                assert time.monotonic() < end, "the worker did not end"
                time.sleep(0.005)
        after = np.linalg.norm(travel(tool, 0.5) - at, axis=1).max()
        creep = np.linalg.norm(np.ptp(travel(tool, STILL_FOR), axis=0))
        log.info("%s, %s killed: %.1f mm in 0.5 s, then %.2f mm in %.1f s", robot, victim, 1e3 * after, 1e3 * creep, STILL_FOR)
        if victim == "driver" and robot == "arx-x5":
            # Nobody holds an arm without brakes: its motors go on with their last order until their TIMEOUT, then it sinks.
            assert after < 0.3
            return
        assert creep < STILL
        assert after < TRAVEL
        assert alive(worker) == (robot == "arx-x5")
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
        stop.tell(stop.RELEASE)
        if worker and alive(worker):
            os.kill(worker, signal.SIGKILL)
        twin.close()
