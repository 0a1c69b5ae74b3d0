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
from user_gym.robots import kinematics, specs
from user_gym.robots.motors import MOST_TIMEOUT
from user_gym.robots.side import Side
from user_gym.sim.twin_process import TwinProcess

CHILD = str(Path(__file__).with_name("arx_child.py"))


class Twin:
    """A paced twin in a process of its own: a busy test cannot make it late, nor it the driver in this process."""

    def __init__(self, robot, bus):
        self.spec, self.bus = specs.spec(robot), bus
        # The longest time-out that is taken: on a busy machine the driver may be late, and that is not what is tested.
        options = {"bus": bus, "mode": "paced", "friction": 0.0, "timeout": MOST_TIMEOUT}
        self._process = TwinProcess("user_gym.sim.can.twin:CanTwin", robot, options)
        self._process.open()
        self.side = self._process.side
        self.door = Side(self.side)
        self.door.connect()

    def ask(self, what, **arguments):
        return self.door.ask(what, **arguments).header

    @property
    def tool(self):
        """Truth: (3,) m."""
        return kinematics.position(self.spec, np.array(self.ask("posture")["q"]))

    def close(self):
        self.door.close()
        self._process.close()


@pytest.fixture
def paced(tmp_path):
    """Makes paced twins on buses that other processes can join."""
    twins = []

    def make(robot="arx-x5"):
        twins.append(Twin(robot, f"seqpacket:{tmp_path}/can"))
        return twins[-1]

    yield make
    for twin in twins:
        twin.close()


def let_pass(twin, seconds):
    """On the twin's clock."""
    end, give_up = twin.ask("hello")["time"] + seconds, time.monotonic() + 10 * seconds + 20
    while twin.ask("hello")["time"] < end:
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
    before = twin.tool
    let_pass(twin, 1.0)
    state = driver.measure()
    assert np.linalg.norm(twin.tool - before) < 2e-3
    state = driver.begin()
    for _ in range(5):
        state = driver.exchange(Command(float(state.gripper), state.tcp), 0.1)
    assert 0.45 <= float(state.time) < 5.0  # s; a busy machine makes it later
    driver.close()
    driver.close()


@pytest.mark.slow
def test_closing_lets_the_arm_down_slowly_and_switches_its_motors_off(paced):
    twin = paced("arx-l5")
    driver = ArxDriver(twin.spec, "tcp", twin.bus, WallClock())
    driver.connect()
    highest, fastest, done = twin.tool[2], 0.0, []
    thread = threading.Thread(target=lambda: done.append(driver.close()))
    thread.start()
    while thread.is_alive():
        fastest = max(fastest, float(np.abs(twin.ask("posture")["dq"]).max()))
        time.sleep(0.005)
    thread.join()
    assert done
    assert twin.ask("posture")["motion"] == "idle"
    assert twin.tool[2] < highest - 0.02
    assert fastest < 0.6  # rad/s; 2 where it is only damped


def test_a_bus_that_goes_away_is_lost(paced):
    twin = paced()
    driver = ArxDriver(twin.spec, "tcp", twin.bus, WallClock(), leave="hold")
    driver.connect()
    twin.close()

    def measure():
        give_up = time.monotonic() + 20
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
        since = twin.ask("hello")["time"]
        child.kill()
        twin.ask("mode", mode="gated")  # from here on no look is too late
        late = twin.ask("hello")["time"] - since  # s that a busy machine took for the kill, in which the arm may have begun
        before = twin.tool
        travels = []
        for _ in range(10):
            assert twin.ask("advance", ticks=100)["ticks"] == 100
            travels.append(round(float(np.linalg.norm(twin.tool - before)), 4))
    record_property("travel_per_0.1_s", travels)
    assert travels[0] < 0.03 or late > 0.05, (late, travels)
    assert travels[-1] < 0.3, travels


@pytest.mark.slow
def test_the_arm_is_held_when_the_program_that_drives_it_is_killed(paced):
    twin = paced()
    with Child("env", twin) as child:
        child.kill()
        let_pass(twin, 0.2)
        before = twin.tool
        let_pass(twin, 2.0)
        assert np.linalg.norm(twin.tool - before) < 1e-3
        assert twin.ask("posture")["motion"] == "moving"


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
