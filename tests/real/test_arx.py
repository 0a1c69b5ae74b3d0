import can
import mujoco
import numpy as np
import pytest
from arx_rig import PERIOD, Rig

from user_gym.core import Command, Compliance
from user_gym.errors import BadAction, BadOption, Closed, LinkLost, MissingSystem, Stopped, Unreachable
from user_gym.real.arx.driver import ArxDriver
from user_gym.real.clock import WallClock
from user_gym.real.driver import Clock, Driver
from user_gym.robots import specs
from user_gym.robots.wire import buses, damiao
from user_gym.robots.wire.damiao import Operation, Special

ARMS = pytest.mark.parametrize("robot", ["arx-x5", "arx-l5"])


def test_the_driver_and_the_clocks_are_what_the_worker_expects():
    clock = WallClock()
    assert isinstance(clock, Clock)
    assert isinstance(ArxDriver(specs.spec("arx-x5"), "tcp", "virtual:none", clock), Driver)


@ARMS
def test_connecting_holds_the_arm_where_it_is(robot):
    with Rig(robot) as rig:
        before = rig.q
        rig.driver.connect()
        assert np.abs(rig.q - before).max() < 1e-3  # facts: 0.3 .. 0.7 mrad
        rig.cycles(200)
        assert np.abs(rig.q - before).max() < 2e-3
        state = rig.driver.measure()
        assert state.q == pytest.approx(rig.q, abs=3e-4)
        assert state.gripper == pytest.approx(0.0, abs=0.01)


@ARMS
def test_an_order_is_reached_and_held(robot):
    with Rig(robot) as rig:
        rig.go()
        target = rig.start.copy()
        target[0] += 0.02
        state = rig.stay(target, 15)
        assert (np.abs(state.tcp - target) < [5e-4] * 3 + [1e-3] * 3).all()
        assert np.abs(rig.tool - target[:3]).max() < 5e-4
        assert state.time == pytest.approx(1.5)
        assert np.abs(state.velocity).max() < 0.05  # a motor tells its speed in steps of 0.022 rad/s


def test_twin_and_driver_meet_on_the_kernels_bus():
    try:
        buses.check_interface("vcan0")
    except (MissingSystem, LinkLost) as error:
        pytest.skip(f"{error}; a virtual one: ip link add vcan0 type vcan; ip link set vcan0 up")
    with Rig(bus="socketcan:vcan0") as rig:  # the only test there: other workers would be other members of the same bus
        rig.go()
        target = rig.start + [0.02, 0, 0, 0, 0, 0]
        assert rig.stay(target, 15).tcp[:3] == pytest.approx(target[:3], abs=5e-4)
        assert np.abs(rig.tool - target[:3]).max() < 5e-4


@pytest.mark.parametrize("friction", [0.0, 0.3])
def test_a_motion_ends_within_a_millimetre_at_rest_whatever_the_friction(friction):
    with Rig(twin={"friction": friction}) as rig:
        rig.driver.connect()
        rig.driver.move([rig.start + [0, 0, 0.03, 0, 0, 0], rig.start], 0.2)
        state = rig.driver.begin()
        off = np.abs(state.tcp - rig.start)
        assert off[:3].max() < 1e-3
        assert off[3:].max() < 0.01
        assert np.abs(rig.tool - rig.start[:3]).max() < 1e-3
        assert np.abs(state.dq).max() < 0.05


def test_a_motion_is_no_faster_than_it_was_told():
    with Rig() as rig:
        rig.driver.connect()
        places = []
        tick = rig.clock.tick

        def watched(period):
            tick(period)
            places.append(rig.tool)

        rig.clock.tick = watched
        rig.driver.move([rig.start + [0.05, 0.05, 0.02, 0, 0, 0]], 0.1)
        assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() / 0.005 < 0.11


def test_an_unreachable_waypoint_is_refused_before_anything_moves():
    with Rig() as rig:
        rig.driver.connect()
        before = rig.q
        with pytest.raises(Unreachable):
            rig.driver.move([rig.start, rig.start + [0.5, 0, 0, 0, 0, 0]], 0.2)
        assert (rig.q == before).all()


def test_joint_orders_are_followed():
    with Rig(control="joint") as rig:
        state = rig.begin()
        target = state.q + 0.05
        for _ in range(15):
            state = rig.driver.exchange(Command(0.0, None, target), PERIOD)
        assert state.q == pytest.approx(target, abs=2e-3)
        with pytest.raises(BadOption, match="control"):
            rig.driver.set_compliance(rig.spec.compliance)


def test_a_static_press_is_estimated_with_the_right_sign_and_size():
    with Rig() as rig:
        rig.go()
        target = rig.start.copy()
        state = rig.stay(target, 2)
        while state.tcp[2] - target[2] < 0.012:
            target[2] -= 0.002
            assert target[2] > 0.0
            state = rig.stay(target, 2)
        state = rig.stay(target, 10)
        data, model = rig.twin._arm.data, rig.twin._arm.model
        force, total = np.zeros(6), np.zeros(3)
        for i in range(data.ncon):
            mujoco.mj_contactForce(model, data, i, force)
            onto_tool = 1 if model.geom_bodyid[data.contact[i].geom2] == model.body("link6").id else -1
            total += onto_tool * data.contact[i].frame.reshape(3, 3).T @ force[:3]
        assert total[2] == pytest.approx(20.0, abs=0.5)  # K clip = 2000 N/m 10 mm
        assert state.wrench[:3] == pytest.approx(total, abs=0.3)


def test_a_payload_that_the_driver_is_wrong_about_makes_the_arm_sink_or_rise():
    sinks = []
    for payload in ((0.0, 0.0, 0.0, 0.0), (0.06, 0.0, 0.0, -0.02)):
        with Rig(payload=payload) as rig:
            rig.go()
            sinks.append(rig.start[2] - rig.stay(rig.start, 5).tcp[2])
    assert abs(sinks[0]) < 2e-4
    assert sinks[0] - sinks[1] > 2e-4  # 0.06 kg at 2000 N/m


def test_a_softer_compliance_presses_less():
    with Rig() as rig:
        rig.go()
        spec = rig.spec.compliance
        rig.driver.set_compliance(Compliance(spec.stiffness / 4, spec.damping, spec.error_clip))
        target = rig.start - [0, 0, 0.08, 0, 0, 0]
        assert rig.stay(target, 60).wrench[2] == pytest.approx(5.0, abs=0.3)
        with pytest.raises(BadOption, match="stiffness"):
            rig.driver.set_compliance(Compliance(-spec.stiffness, spec.damping, spec.error_clip))


def test_the_gripper_opens_no_faster_than_it_can():
    with Rig() as rig:
        rig.go()
        widths = [float(rig.driver.exchange(Command(1.0, rig.start), PERIOD).gripper) for _ in range(8)]
        assert widths[0] < 0.45  # 0.3 m/s of 0.088 m
        assert widths[-1] == pytest.approx(1.0, abs=0.02)


def test_gated_runs_are_equal_bit_by_bit():
    def run():
        with Rig(twin={"friction": 0.1}) as rig:
            state = rig.go()
            rows = [state.tcp]
            for i in range(10):
                state = rig.driver.exchange(Command(0.0, rig.start + 0.01 * np.sin(i) * np.eye(6)[i % 6]), PERIOD)
                rows += [state.tcp, state.q, state.wrench, state.velocity]
            return np.concatenate(rows)

    assert run().tobytes() == run().tobytes()


def test_nothing_is_written_or_stored_and_no_zero_is_saved():  # rule 9
    with Rig() as rig:
        spy = can.Bus(rig.driver._line.address.partition(":")[2], "virtual")
        try:
            rig.go()
            rig.fault("over-current", motor=5)
            with pytest.raises(Exception, match="over current"):
                rig.stay(rig.start, 5)
            rig.side.ask("heal")
            rig.driver.recover()
            rig.driver.close()
            frames = []
            while (message := spy.recv(0)) is not None:
                frames.append((message.arbitration_id, bytes(message.data)))
        finally:
            spy.shutdown()
    requests = [damiao.decode_request(data).operation for i, data in frames if i == damiao.REGISTERS]
    assert len(requests) > 20
    assert set(requests) == {Operation.READ, Operation.REQUEST_FEEDBACK}
    assert Special.SAVE_ZERO.value not in [data for _, data in frames]


def test_an_order_that_means_nothing_is_refused():
    with Rig() as rig:
        rig.go()
        for bad in (Command(0.0, rig.start * np.nan), Command(0.0, None, rig.spec.home), Command(np.nan, rig.start)):
            with pytest.raises(BadAction):
                rig.driver.exchange(bad, PERIOD)
        rig.driver.hold()
        with pytest.raises(Stopped, match="holds"):
            rig.stay(rig.start)


def test_bad_options_and_use_before_connecting_are_refused():
    spec, clock = specs.spec("arx-x5"), WallClock()
    for options in ({"payload": (1,)}, {"leave": "drop"}):
        with pytest.raises(BadOption, match=next(iter(options))):
            ArxDriver(spec, "tcp", "virtual:x", clock, **options)
    with pytest.raises(BadOption, match="CAN bus"):
        ArxDriver(spec, "tcp", "can0", clock)
    with pytest.raises(BadOption, match="control"):
        ArxDriver(spec, "force", "virtual:x", clock)
    with pytest.raises(Closed, match="connect"):
        ArxDriver(spec, "tcp", "virtual:x", clock).measure()


def test_a_bus_without_an_arm_is_named():
    driver = ArxDriver(specs.spec("arx-x5"), "tcp", "virtual:nobody-here", WallClock())
    with pytest.raises(LinkLost, match=r"motor 5 of arx-x5 on 'virtual:nobody-here'"):
        driver.connect()
    driver.close()
