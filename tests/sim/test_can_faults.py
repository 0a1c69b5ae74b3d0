"""Each fault of a CAN twin as its host sees it, and how it ends."""

import can as python_can
import pytest
from can_host import CLEAR, DM_IDLE, EC_IDLE, ENABLE, EVERYONE, JOINTS, PATIENCE, arm

from user_gym.errors import RobotFault
from user_gym.robots import specs

X5 = specs.spec("arx-x5")
REQUEST_FEEDBACK = bytes.fromhex("0500cc0000000000")


@pytest.fixture
def x5():
    with arm() as host:
        host.enable()
        yield host


def fault(host, name, **arguments):
    host.side.ask("fault", name=name, **arguments)


def idle(host, motor):
    return EC_IDLE if motor in host.encos else DM_IDLE


def test_a_muted_motor_obeys_and_does_not_answer(x5) -> None:
    fault(x5, "mute", motor=6)
    for _ in range(20):
        x5.send(6, x5.order(6, q=0.3, kp=100.0, kd=2.0))
        assert x5.silent()
        x5.advance(5)
    assert x5.twin._arm.shaft(4).position > 0.1
    x5.side.ask("heal")
    assert x5.do(6)[0] == 1


def test_a_deaf_motor_hears_nothing_and_gives_up(x5) -> None:
    x5.do(6, q=0.5, kp=10.0)
    fault(x5, "deaf", motor=6)
    for _ in range(21):
        x5.send(6, x5.order(6, q=0.5, kp=10.0))
        x5.advance(5)
    assert x5.answer(0) is None
    x5.side.ask("heal")
    assert x5.do(6)[0] == 0xD


@pytest.mark.parametrize("motor", [2, 7])
def test_answers_can_be_too_short(x5, motor) -> None:
    fault(x5, "bad-dlc", motor=motor)
    assert len(x5.ask(motor, idle(x5, motor))[1]) == 4
    x5.side.ask("heal")
    assert len(x5.ask(motor, idle(x5, motor))[1]) == 8


def test_answers_can_come_from_nobody(x5) -> None:
    fault(x5, "unknown-id", motor=5)
    assert x5.ask(5, DM_IDLE)[0] == 0x123
    fault(x5, "unknown-id", motor=5, id=0x205)
    assert x5.ask(5, DM_IDLE)[0] == 0x205


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("over-voltage", 8),
        ("under-voltage", 9),
        ("over-current", 0xA),
        ("driver-hot", 0xB),
        ("over-temperature", 0xC),
        ("rotor-hot", 0xC),
        ("command-lost", 0xD),
        ("overload", 0xE),
    ],
)
def test_a_damiao_motor_stops_with_its_code_until_healed_and_cleared(x5, name, code) -> None:
    x5.cycles(5, {6: {"q": 0.5, "kp": 20.0, "kd": 1.0}})
    fault(x5, name, motor=6)
    status, _, _, _ = x5.do(6, q=0.5, kp=20.0)
    assert status == code
    x5.advance(5)
    assert abs(x5.do(6, q=0.5, kp=20.0)[3]) < 0.004
    for special in (CLEAR, ENABLE):
        assert x5.ask(6, special)[1][0] >> 4 == code  # the cause is still there
    x5.side.ask("heal")
    assert x5.ask(6, ENABLE)[1][0] >> 4 == code
    assert x5.ask(6, CLEAR)[1][0] >> 4 == 0
    assert x5.ask(6, ENABLE)[1][0] >> 4 == 1


@pytest.mark.parametrize(
    ("name", "code"), [("over-temperature", 1), ("over-current", 2), ("over-voltage", 3), ("under-voltage", 4), ("encoder", 5)]
)
def test_an_encos_motor_reports_its_error_and_stops_until_healed(x5, name, code) -> None:
    held = {"q": X5.home[1], "kp": 300.0, "kd": 5.0}
    x5.cycles(40, {2: held})
    fault(x5, name, motor=2)
    assert x5.do(2, **held)[0] == code
    x5.advance(5)
    assert abs(x5.do(2, **held)[3]) < 0.03
    x5.side.ask("heal")
    assert x5.do(2, **held)[0] == 0
    x5.advance(5)
    assert abs(x5.do(2, **held)[3]) > 1.0


def test_an_overheated_motor_shows_its_temperature(x5) -> None:
    fault(x5, "over-temperature", motor=5)
    assert x5.ask(5, DM_IDLE)[1][7] == 130
    fault(x5, "over-temperature", motor=1)
    assert x5.ask(1, EC_IDLE)[1][6] == 255  # 102.5 deg C is the most that its byte can say


def test_a_motor_that_works_hard_warms_up_and_trips() -> None:
    with arm(timeout=0.0) as host:
        host.enable()
        order = {"q": 12.0, "kp": 500.0, "kd": 1.0}  # against its stop, at its peak torque
        temperatures = []
        while host.do(6, **order)[0] == 1 and len(temperatures) < 200:
            host.advance(1000)
            temperatures.append(host.ask(0x7FF, bytes.fromhex("0600cc0000000000"))[1][6])
        assert 10 < len(temperatures) < 100  # s
        assert temperatures[:-1] == sorted(temperatures[:-1])
        assert temperatures[-2] >= 105  # and at 110 deg C it stopped
        assert host.do(6)[0] == 0xB


def test_sensors_can_be_wrong(x5) -> None:
    true = x5.do(6)
    fault(x5, "offset", motor=6, position=0.5, torque=-0.8)
    wrong = x5.do(6)
    assert wrong[1] - true[1] == pytest.approx(0.5, abs=1e-3)
    assert wrong[3] - true[3] == pytest.approx(-0.8, abs=0.01)


def test_a_motor_can_be_configured_otherwise(x5) -> None:
    fault(x5, "register", motor=7, register=23, value=10.0)
    assert x5.register(7, 23) == 10.0
    assert x5.register(6, 23) == 18.0


def test_a_bus_that_is_off_says_so_once_and_is_then_silent(x5) -> None:
    fault(x5, "bus-off")
    message = x5.bus.recv(PATIENCE)
    assert message.is_error_frame
    assert message.arbitration_id == 0x40
    for motor in EVERYONE:
        x5.send(motor, idle(x5, motor))
    assert x5.silent()
    x5.advance(100)
    x5.side.ask("heal")
    assert x5.ask(5, DM_IDLE)[1][0] >> 4 == 0xD  # it heard nothing for 0.1 s


def test_an_adapter_that_is_unplugged_sends_its_members_away(x5) -> None:
    fault(x5, "unplug")
    x5.advance(0)
    with pytest.raises(python_can.CanOperationError):
        x5.ask(5, DM_IDLE)
    x5.side.ask("heal")
    x5.close()
    x5.__init__(x5.twin, "arx-x5")
    assert x5.ask(5, DM_IDLE)[1][0] & 15 == 5


def test_a_fault_that_nobody_knows_is_refused_with_those_that_are(x5) -> None:
    with pytest.raises(RobotFault, match=r"unknown fault of motor 5 'melt'; known: .*bad-dlc.*overload"):
        fault(x5, "melt", motor=5)
    with pytest.raises(RobotFault, match="unknown motor 3; known: 1, 2, 4, 5, 6, 7, 8"):
        fault(x5, "mute", motor=3)
    with pytest.raises(RobotFault, match="others have no registers"):
        fault(x5, "register", motor=1, register=23, value=10.0)
    with pytest.raises(RobotFault, match="bad id"):
        fault(x5, "unknown-id", motor=5, id=0x1000)


def test_a_simulation_that_diverges_is_started_anew_and_the_fault_is_told(x5, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes what it warns of into a file where it runs
    x5.do(6)
    x5.twin._arm.data.qvel[4] = 1e12
    with pytest.raises(RobotFault, match="diverged and was started anew"):
        x5.advance(5)
    assert x5.twin._arm.supported
    assert x5.do(6)[1] == pytest.approx(X5.home[4], abs=4e-4)
    assert x5.advance(5)["ticks"] == 5
    assert len(JOINTS) == 6
