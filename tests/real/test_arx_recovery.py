"""How an ARX arm comes back after each kind of fault, and that its weight is carried meanwhile."""

import numpy as np
import pytest
from arx_rig import Rig, stops

from user_gym.errors import LinkLost, Reflex, RobotFault
from user_gym.real import approach
from user_gym.real.arx.driver import ArxDriver
from user_gym.robots import kinematics, motors


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


def holds(rig, cycles):
    """Where an arm that fell was caught, it stays."""
    caught = rig.q
    rig.cycles(cycles)
    assert np.abs(rig.q - caught).max() < 0.05  # rad; 1 s of falling is 0.3


def home_again(rig, driver):
    """As a worker resets: up, across, down; then orders are followed."""
    way = approach.plan(driver.measure().tcp, rig.start, rig.task.workspace)
    for waypoints in way:
        if waypoints:
            driver.move(waypoints, 0.2)
    return driver.begin()


@pytest.mark.parametrize("robot", ["arx-x5", "arx-l5"])
def test_a_driver_that_was_suspended_until_its_motors_gave_up_comes_back(robot):
    with Rig(robot) as rig:
        rig.go()
        rig.clock.tick(1.0)
        stops(rig, Reflex, "command lost")
        rig.driver.recover()
        holds(rig, 100)
        assert np.abs(home_again(rig, rig.driver).tcp - rig.start).max() < 2e-3


def suspend(rig, seconds, where):
    """The process stands still at one point of a cycle while time passes; then its loop goes on."""
    loop, line = rig.driver._loop, rig.driver._line

    def stand():
        rig.clock.tick(seconds)
        loop._time += seconds

    if where == "waiting":  # the answers lie in the socket all the while
        loop.cycle(lambda dt: (rig.clock.tick(dt), stand()))
    elif where == "thinking":
        stand()
        rig.cycles(1)
    else:
        order, line.order = (
            line.order,
            lambda orders: [(i == 1 and stand(), line.order_one(i, wanted)) for i, wanted in enumerate(orders)],
        )
        rig.cycles(1)
        line.order = order


@pytest.mark.parametrize("where", ["waiting", "thinking", "ordering"])
def test_a_suspended_driver_knows_where_its_arm_is_as_soon_as_it_goes_on_and_the_shoulder_stands(where):
    with Rig() as rig:
        rig.go()
        rig.stay(rig.start + [0, 0, 0.08, 0, 0, 0], 2)  # upwards: Encos motors go on with that, the wrist's go limp
        before = rig.q
        suspend(rig, 1.0, where)
        assert np.abs(rig.q - before).max() > 0.5  # rad
        rig.cycles(2)
        loop = rig.driver._loop
        assert np.abs(loop.newest.q - rig.q).max() < 0.02
        stops(rig, Reflex, "command lost")
        rig.cycles(100)
        assert np.abs(loop.newest.q - rig.q).max() < 0.02
        assert np.abs(rig.twin._arm.data.qvel[:3]).max() < 0.05  # rad/s
        rig.driver.recover()
        holds(rig, 100)


@pytest.mark.parametrize("where", ["waiting", "thinking"])
def test_after_a_short_stop_no_stiffness_is_ordered_until_fresh_answers_came_and_then_it_goes_on(where):
    with Rig(control="joint") as rig:
        rig.begin()
        order, sent = rig.driver._line.order, []
        rig.driver._line.order = lambda orders: (sent.append(orders[:6]), order(orders))
        suspend(rig, 0.03, where)
        rig.cycles(2)
        stiff = [all(wanted.kp > 0 for wanted in orders) for orders in sent]
        assert stiff == ([True, False, True] if where == "waiting" else [False, True, True])
        assert all(wanted.kd > 0 for orders in sent for wanted in orders)
        assert rig.driver._loop.fault is None


@pytest.mark.parametrize("robot", ["arx-x5", "arx-l5"])
def test_after_a_driver_that_died_so_the_next_program_comes_back(robot):
    with Rig(robot) as rig:
        rig.go()
        rig.driver._line.close()  # as the kernel does it; nobody says a word to the motors
        rig.clock.tick(1.0)
        other = ArxDriver(rig.spec, "tcp", rig.twin.bus, rig.clock)
        try:
            other.connect()
            assert np.abs(home_again(rig, other).tcp - rig.start).max() < 2e-3
        finally:
            other.close()


def test_a_posture_that_does_not_tell_the_force_makes_none_up():
    posture = np.array([-1.06, 2.54, 0.96, -1.60, -1.571, -0.04])  # an L5 that was let down: two of its axes are parallel
    with Rig("arx-l5") as rig:
        rig.driver.connect()
        now = rig.driver._loop.newest
        for joint in 0.3 * np.eye(6):  # N m of friction
            lying = now._replace(tool=kinematics.linearise(rig.spec, posture), tau=now.gravity - joint)
            assert np.abs(rig.driver._state(lying, lying).wrench[:3]).max() < 10.0  # N; a limit of 60 is usual


def test_a_bus_that_is_off_is_lost_and_comes_back():
    with Rig() as rig:
        rig.go()
        rig.fault("bus-off")
        stops(rig, LinkLost, "is off")
        rig.side.ask("heal")
        rig.side.ask("lift")
        rig.driver.recover()
        rig.begin()
