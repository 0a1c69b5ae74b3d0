"""ARX arms on their CAN twin, in the wall's time: a program that drives one dies, and the next one gets it as it is held."""

import os
import signal
from importlib.util import find_spec

import gymnasium
import numpy as np
import pytest
from deaths_rig import CREEP, PATIENCE, TRAVEL, Arm, Sweep, alive, until

import user_gym  # noqa: F401
from user_gym.core import Device
from user_gym.errors import Busy, Reflex
from user_gym.robots import lease
from user_gym.robots.motors import MOST_TIMEOUT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not find_spec("can"), reason="python-can is not installed")]
REAL = "User/PegInsert-real-v0"
UP = np.array([0, 0, 1, 0, 0, 0], np.float32)


@pytest.fixture(params=["arx-x5", "arx-l5"])
def arm(tmp_path, monkeypatch, request):
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    # The longest time-out that is taken: on a busy machine the driver may be late, and that is not what is tested.
    made = Arm(request.param, "can.twin:CanTwin", {"bus": f"seqpacket:{tmp_path}/bus"}, "wall", timeout=MOST_TIMEOUT)
    yield made
    made.close()


def owner(arm):
    """Whose the arm is, as its lease says."""
    robot, address = arm.options["robot"], arm.options["address"]
    return lease.holder(Device(f"{robot} at {address}", "robot", robot, address, arm.options["twin"]))


def begin(env):
    """Each reset recovers. On a busy machine a driver may be so late on the way to the start that another motor times out."""
    for _ in range(4):
        try:
            return env.reset(seed=1)
        except Reflex as late:
            if "command lost" not in str(late):
                raise
    return env.reset(seed=1)


def waits(arm, driver):
    until(lambda: (of := owner(arm)) is not None and of.waiting and of.pid == driver, "the driver to wait for an owner")


class Starved(Exception):
    """The machine was too busy: the driver came so late that a motor gave up waiting and went limp, as it should."""


def held(env, moved, most):
    """It moved no farther. Where it did because a motor timed out, a busy machine may be why, and the next try says."""
    if moved >= most:
        try:
            env.reset(seed=1)
        except Reflex as late:
            if "command lost" in str(late):
                raise Starved from late
            raise
    assert moved < most


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_arm_without_brakes_is_held_until_the_next_program_drives_it(arm, number):
    for _ in range(3):
        try:
            return _killed_held_and_driven_on(arm, number)
        except Starved:
            arm.side.ask("heal")
    _killed_held_and_driven_on(arm, number)


def _killed_held_and_driven_on(arm, number):
    with Sweep(arm) as sweep:
        before = arm.tool
        os.kill(sweep.program.pid, number)
        sweep.program.wait(PATIENCE)
        waits(arm, sweep.driver)
        env = gymnasium.make(REAL, **arm.options)
        try:
            arm.travel(0.5)
            held(env, np.linalg.norm(arm.tool - before), TRAVEL)
            stood = arm.tool
            env.unwrapped.robot.connect()
            assert env.unwrapped.robot.pid == sweep.driver
            assert not owner(arm).waiting
            held(env, arm.travel(1.0), CREEP)
            held(env, np.linalg.norm(arm.tool - stood), CREEP)
            with pytest.raises(Busy, match="this process"):
                gymnasium.make(REAL, **arm.options).reset()
            begin(env)
            for _ in range(3):
                env.step(UP)
        finally:
            env.close()
        until(lambda: not alive(sweep.driver), "the end of the driver process")
        assert owner(arm) is None


def test_a_fault_under_a_dead_program_is_recovered_by_the_next_ones_reset(arm):
    """A motor that lost its orders for longer than its time-out, and is limp: no operator has to release the arm."""
    with Sweep(arm) as sweep:
        sweep.program.kill()
        sweep.program.wait(PATIENCE)
        waits(arm, sweep.driver)
        arm.side.ask("fault", name="deaf", motor=6)
        arm.travel(2 * MOST_TIMEOUT)
        arm.side.ask("heal")
        env = gymnasium.make(REAL, **arm.options)
        try:
            begin(env)
            assert env.unwrapped.robot.pid == sweep.driver
            env.step(UP)
        finally:
            env.close()
