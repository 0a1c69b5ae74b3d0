"""An ARX arm is asked without being touched: against a whole twin, and by what travels on the bus."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import numpy as np
import pytest

can = pytest.importorskip("can", reason="python-can comes with the extra 'arx'")

from user_gym.errors import LinkLost, RobotFault, UnknownName  # noqa: E402
from user_gym.robots import motors, specs  # noqa: E402
from user_gym.robots.probes import can as probe  # noqa: E402
from user_gym.robots.wire import buses, damiao  # noqa: E402
from user_gym.sim.can.twin import CanTwin  # noqa: E402
from user_gym.tasks.peg_insert import PegInsert  # noqa: E402

_numbers = itertools.count()
DM = {"arx-x5": [5, 6, 7, 8], "arx-l5": [1, 2, 4, 5, 6, 7, 8]}


@pytest.fixture
def bus() -> str:
    return f"virtual:probe-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def x5(bus: str) -> Iterator[CanTwin]:
    spec = specs.spec("arx-x5")
    with CanTwin(spec, PegInsert(spec), bus, side=None) as twin:
        yield twin


def frames(bus: can.BusABC) -> list[can.Message]:
    """All that has come by."""
    return list(iter(lambda: bus.recv(0.0), None))


def test_all_motors_with_registers_answer(x5: CanTwin, bus: str) -> None:
    assert probe.ask("arx-x5", bus, 5.0) == "4 motors answer"


@pytest.mark.parametrize("model", ["arx-x5", "arx-l5"])
def test_only_registers_are_read(bus: str, model: str) -> None:
    """A dead bus: what is on it is what the probe sent."""
    listener = buses.connect(bus)
    try:
        with pytest.raises(LinkLost, match=f"no motor answers on {bus} within 0.05 s; check the arm's power"):
            probe.ask(model, bus, 0.05)
        sent = frames(listener)
    finally:
        listener.shutdown()
    assert {message.arbitration_id for message in sent} == {damiao.REGISTERS}
    requests = [damiao.decode_request(bytes(message.data)) for message in sent]
    assert [request.motor for request in requests] == DM[model]
    assert {(r.operation, r.register, r.value) for r in requests} == {
        (damiao.Operation.READ, damiao.Register.TIMEOUT, bytes(4))
    }


def test_the_arm_and_its_time_stand_still(x5: CanTwin, bus: str) -> None:
    before = x5.time, x5._arm.data.qpos.copy()
    for mode in ("gated", "lockstep"):
        x5.switch(mode)
        probe.ask("arx-x5", bus, 5.0)
    assert x5.time == before[0]
    np.testing.assert_array_equal(x5._arm.data.qpos, before[1])


def test_an_arm_that_somebody_drives_without_a_lease_is_left_alone(bus: str) -> None:
    other = buses.connect(bus)
    periodic = other.send_periodic(can.Message(arbitration_id=5, data=bytes(8), is_extended_id=False), 0.002)
    try:
        with pytest.raises(RobotFault, match=f"a program without a lease talks on {bus}: frame 0x5; end it"):
            probe.ask("arx-x5", bus, 5.0)
        assert not [m for m in frames(other) if m.arbitration_id == damiao.REGISTERS]
    finally:
        periodic.stop()
        other.shutdown()


def test_a_motor_that_does_not_answer_is_named(x5: CanTwin, bus: str) -> None:
    x5.inject("mute", motor=6)
    x5.inject("bad-dlc", motor=8)
    with pytest.raises(LinkLost, match="motors 6, 8 of arx-x5 do not answer"):
        probe.ask("arx-x5", bus, 0.1)


def test_a_watchdog_that_is_off_is_told(x5: CanTwin, bus: str) -> None:
    x5.inject("register", motor=5, register=damiao.Register.TIMEOUT, value=0)
    x5.inject("register", motor=7, register=damiao.Register.TIMEOUT, value=20000)
    assert probe.ask("arx-x5", bus, 5.0) == "4 motors answer; TIMEOUT of 5, 7 is off or over 0.2 s"


def test_an_arm_without_a_table_of_motors_is_one_clear_error(bus: str) -> None:
    with pytest.raises(UnknownName, match=r"'arx-r5'; known: arx-l5, arx-x5"):
        probe.ask("arx-r5", bus, 0.1)
    assert set(DM) == set(motors.ARMS)
