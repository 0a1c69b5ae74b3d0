"""An ARX arm in the wall's time: the loop's own thread, and what the arm does when a program dies."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from user_gym.core import Command
from user_gym.errors import LinkLost
from user_gym.real.arx.driver import ArxDriver
from user_gym.real.clock import WallClock
from user_gym.robots import kinematics, registry, specs
from user_gym.sim.can.twin import CanTwin
from user_gym.sim.twin_process import TwinProcess
from user_gym.testing.bench import Bench

CHILD = str(Path(__file__).with_name("arx_child.py"))


@pytest.fixture
def paced(tmp_path):
    """Makes paced twins on buses that other processes can join."""
    twins = []

    def make(robot="arx-x5", task=None, **options):
        spec = specs.spec(robot)
        found = registry.make_task(task, spec) if task else Bench(spec)
        twin = CanTwin(spec, found, f"seqpacket:{tmp_path}/can", mode="paced", friction=0.0, **options)
        twins.append(twin)
        twin.open()
        return twin

    yield make
    for twin in twins:
        twin.close()


def tool(twin):
    return kinematics.position(twin.spec, twin._arm.data.qpos[:6].copy())


def let_pass(twin, seconds):
    """On the twin's clock."""
    end, give_up = twin.time + seconds, time.monotonic() + 10 * seconds + 20
    while twin.time < end:
        assert time.monotonic() < give_up, "the twin stands still"
        time.sleep(0.01)


class Child:
    def __init__(self, mode, twin):
        arguments = [sys.executable, CHILD, mode, twin.spec.name, twin.bus, twin.side]
        self._child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        assert self._child.stdout.readline() == "ready\n"
        return self

    def kill(self):
        self._child.kill()
        self._child.wait(10)

    def __exit__(self, *error):
        self.kill()
        self._child.stdout.close()


def test_the_loop_holds_the_arm_while_nobody_gives_orders(paced):
    twin = paced()
    driver = ArxDriver(twin.spec, "tcp", twin.bus, WallClock(), leave="hold")
    driver.connect()
    before = tool(twin)
    let_pass(twin, 1.0)
    state = driver.measure()
    assert np.linalg.norm(tool(twin) - before) < 2e-3
    state = driver.begin()
    for _ in range(5):
        state = driver.exchange(Command(0.0, state.tcp), 0.1)
    assert float(state.time) == pytest.approx(0.5, abs=0.1)
    driver.close()
    driver.close()


@pytest.mark.slow
def test_closing_lets_the_arm_down_slowly_and_switches_its_motors_off(paced):
    twin = paced("arx-l5")
    driver = ArxDriver(twin.spec, "tcp", twin.bus, WallClock())
    driver.connect()
    highest, fastest, done = tool(twin)[2], 0.0, []
    thread = threading.Thread(target=lambda: done.append(driver.close()))
    thread.start()
    while thread.is_alive():
        fastest = max(fastest, float(np.abs(twin._arm.data.qvel[:6]).max()))
        time.sleep(0.005)
    thread.join()
    assert done
    assert not twin.moving
    assert tool(twin)[2] < highest - 0.02
    assert fastest < 0.6  # rad/s; 2 where it is only damped


def test_a_bus_that_goes_away_is_lost_within_a_second(paced):
    twin = paced()
    driver = ArxDriver(twin.spec, "tcp", twin.bus, WallClock(), leave="hold")
    driver.connect()
    twin.close()

    def measure():
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up:
            driver.measure()
            time.sleep(0.01)

    with pytest.raises(LinkLost):
        measure()
    driver.close()


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["arx-x5", "arx-l5"])
@pytest.mark.parametrize("mode", ["hold", "descend"])
def test_what_the_arm_does_when_its_driver_is_killed(paced, robot, mode, record_property):
    """Nothing can hold it then: DaMiao motors go limp after their TIMEOUT, Encos motors follow the last frame for ever."""
    twin = paced(robot)
    with Child(mode, twin) as child:
        child.kill()
        before = tool(twin)
        travels = []
        for _ in range(10):
            let_pass(twin, 0.1)
            travels.append(round(float(np.linalg.norm(tool(twin) - before)), 4))
    record_property("travel_per_0.1_s", travels)
    assert travels[0] < 0.03, travels
    assert travels[-1] < 0.3, travels


@pytest.mark.slow
def test_the_arm_is_held_when_the_program_that_drives_it_is_killed(paced):
    twin = paced(task="PegInsert")
    with Child("env", twin) as child:
        child.kill()
        let_pass(twin, 0.2)
        before = tool(twin)
        let_pass(twin, 2.0)
        assert np.linalg.norm(tool(twin) - before) < 1e-3
        assert twin.moving


@pytest.mark.slow
def test_gated_runs_of_fresh_processes_are_equal_bit_by_bit(tmp_path):
    def run(number):
        side, path = f"unix:{tmp_path}/side{number}", f"seqpacket:{tmp_path}/bus{number}"
        options = {"bus": path, "side": side, "mode": "gated"}
        with TwinProcess("user_gym.sim.can.twin:CanTwin", "arx-x5", options) as twin:
            arguments = [sys.executable, CHILD, "gated", "arx-x5", path, twin.side]
            return subprocess.run(arguments, stdout=subprocess.PIPE, timeout=100, check=True).stdout

    first = run(0)
    assert len(first) > 1000
    assert run(1) == first
