"""How an ARX arm comes back after each kind of fault, and that its weight is carried meanwhile."""

import numpy as np
import pytest
from arx_rig import Rig, stops

from user_gym.errors import LinkLost, Reflex, RobotFault
from user_gym.robots import motors


@pytest.mark.parametrize(("fault", "motor", "words"), [
    ("over-current", 5, "over current"), ("over-temperature", 6, "rotor hot"), ("under-voltage", 8, "under voltage"),
    ("over-current", 2, "over current"), ("over-temperature", 1, "over temperature"),
])  # fmt: skip
def test_a_fault_code_is_reported_and_needs_recovery(fault, motor, words):  # rule 2
    with Rig() as rig:
        rig.go()
        rig.fault(fault, motor=motor)
        stops(rig, Reflex, f"motor {motor} .*{words}")
        stops(rig, Reflex, words)  # still
        others = [i for i, m in enumerate(motors.arm("arx-x5").joints) if m.id != motor]
        before = rig.q
        with pytest.raises(RobotFault):
            rig.driver.recover()  # the twin keeps it until it is healed
        rig.cycles(100)
        if motor != 2:  # whose joint carries all others: they fold, damped
            assert np.abs(rig.q - before)[others].max() < 0.02
        rig.side.ask("heal")
        rig.driver.recover()
        rig.driver.move([rig.start], 0.2)
        rig.driver.begin()
        assert np.abs(rig.stay(rig.start, 5).tcp - rig.start).max() < 1e-3


@pytest.mark.parametrize("robot", ["arx-x5", "arx-l5"])
def test_the_weight_is_carried_all_through_a_recovery(robot):
    with Rig(robot, twin={"timeout": 0.02}) as rig:
        rig.go()
        rig.fault("over-current", motor=8)
        stops(rig, Reflex, "over current")
        rig.side.ask("heal")
        line, sent, places = rig.driver._line, [], [rig.tool]
        order, tick, gravity = line.order_one, rig.clock.tick, rig.driver._loop.newest.gravity
        line.order_one = lambda i, wanted: (sent.append((i, wanted)), order(i, wanted))
        rig.clock.tick = lambda period: (tick(period), places.append(rig.tool))
        rig.driver.recover()
        assert all(wanted.torque == pytest.approx(gravity[i], abs=0.1) for i, wanted in sent if i < 6)
        assert [i for i, _ in sent[:6]] == list(range(6))  # while the registers are read
        assert np.abs(np.array(places) - places[0]).max() < 2e-3


def test_a_fault_of_before_the_program_is_recovered_from():
    with Rig() as rig:
        rig.fault("over-current", motor=6)
        rig.side.ask("heal")
        with pytest.raises(Reflex, match=r"motor 6 .*over current"):
            rig.driver.connect()
        rig.driver.recover()
        rig.driver.move([rig.start], 0.2)
        rig.driver.begin()
        assert np.abs(rig.stay(rig.start, 5).tcp - rig.start).max() < 1e-3


def test_after_the_time_out_of_a_host_that_stalled_the_next_connection_goes_on():  # rule 7
    with Rig() as rig:
        rig.go()
        rig.clock.tick(0.15)
        stops(rig, Reflex, "command lost")
        rig.driver.recover()
        rig.begin()


def test_a_bus_that_is_off_is_lost_and_comes_back():
    with Rig() as rig:
        rig.go()
        rig.fault("bus-off")
        stops(rig, LinkLost, "is off")
        rig.side.ask("heal")
        rig.side.ask("lift")
        rig.driver.recover()
        rig.begin()
