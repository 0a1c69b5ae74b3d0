"""Frames on the wire of a CAN twin, byte by byte, as the vendors' documents and the ARX SDK have them."""

from struct import pack, unpack

import pytest
from can_host import CLEAR, DISABLE, DM_IDLE, EC_IDLE, ENABLE, EVERYONE, GRIPPER, JOINTS, ZERO, arm

from user_gym.robots import specs

pytest.importorskip("can", reason="python-can is not installed")
X5_HOME = specs.spec("arx-x5").home


@pytest.fixture
def x5():
    with arm() as host:
        yield host


def test_a_disabled_motor_answers_its_clearing_with_status_zero(x5) -> None:
    # 1.55 rad below the middle of +-12.5: 0x7FFF + trunc; velocity and torque are half a step negative; 25 deg C twice.
    number, data = x5.ask(6, CLEAR)
    assert number == 0x000
    assert data == bytes.fromhex("067FFF7FF7FF1919")


def test_enabling_shows_in_the_high_nibble_and_disabling_too(x5) -> None:
    assert x5.ask(6, ENABLE)[1].hex() == "167fff7ff7ff1919"
    assert x5.ask(6, DM_IDLE)[1][0] == 0x16
    assert x5.ask(6, DISABLE)[1][0] == 0x06
    assert x5.ask(6, DM_IDLE)[1][0] == 0x06  # a guess of the facts: a disabled motor answers orders


def test_an_encos_motor_answers_the_sdks_idle_frame_with_a_report_of_type_one(x5) -> None:
    number, data = x5.ask(1, EC_IDLE)
    assert number == 1
    assert data[0] == 0x20  # type 1, no error
    assert (data[6], data[7]) == (100, 100)  # 25 deg C = (100 - 50) / 2
    position = int.from_bytes(data[1:3], "big")
    assert position == int((X5_HOME[0] + 12.5) * 65535 / 25.0)


def test_an_encos_motor_ignores_enable_as_the_order_of_another_mode(x5) -> None:
    x5.send(1, ENABLE)
    assert x5.silent()


@pytest.mark.parametrize(("number", "value"), [(21, 12.5), (22, 45.0), (23, 18.0), (20, 10.0)])
@pytest.mark.parametrize("motor", [5, 8])
def test_ranges_are_those_that_arx_has_written(x5, motor, number, value) -> None:
    assert x5.register(motor, number) == value


def test_register_frames_are_as_documented(x5) -> None:
    assert x5.ask(0x7FF, bytes.fromhex("0500331500000000")) == (0, bytes.fromhex("0500331500004841"))  # PMAX 12.5
    assert x5.ask(0x7FF, bytes.fromhex("0500330900000000")) == (0, bytes.fromhex("05003309d0070000"))  # 2000 x 50 us
    assert x5.ask(0x7FF, bytes.fromhex("05005509a00f0000")) == (0, bytes.fromhex("05005509a00f0000"))
    assert x5.ask(0x7FF, bytes.fromhex("0500330900000000")) == (0, bytes.fromhex("05003309a00f0000"))
    assert x5.ask(0x7FF, bytes.fromhex("0500cc0000000000"))[1][0] == 0x05  # feedback without motion
    x5.send(0x7FF, bytes.fromhex("0100330900000000"))  # an Encos motor has no registers
    x5.send(0x7FF, bytes.fromhex("0500336300000000"))  # nor a DaMiao one number 99
    assert x5.silent()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_range_that_would_divide_by_nothing_is_not_taken(x5, value) -> None:
    assert x5.register(5, 22, value) == 45.0
    assert x5.register(5, 22) == 45.0


def test_a_written_range_changes_what_the_fields_mean(x5) -> None:
    assert x5.register(5, 21, 25.0) == 25.0
    word = int.from_bytes(x5.ask(5, CLEAR)[1][1:3], "big")
    assert -25.0 + 50.0 * word / 65535 == pytest.approx(X5_HOME[3], abs=1e-3)


def test_the_position_register_tells_the_angle_and_the_rotors(x5) -> None:
    assert x5.register(5, 81) == pytest.approx(X5_HOME[3], abs=1e-6)
    assert x5.register(5, 80) == pytest.approx(10 * X5_HOME[3], abs=1e-5)


def test_zero_is_where_it_was_set_and_orders_count_from_there(x5) -> None:
    x5.enable(5)
    x5.ask(5, ZERO)
    assert x5.do(5)[1] == pytest.approx(0.0, abs=2e-4)
    reports = x5.cycles(40, {5: {"q": 0.05, "kp": 300.0, "kd": 3.0}})
    assert reports[5][1] == pytest.approx(0.05, abs=0.01)


def test_orders_of_a_mode_that_the_motor_is_not_in_are_not_answered(x5) -> None:
    x5.enable(5)
    x5.ask(0x7FF, bytes([5, 0, 0x55, 10]) + pack("<I", 2))
    x5.send(5, DM_IDLE)
    assert x5.silent()


@pytest.mark.parametrize(("number", "size"), [(1, 4), (5, 4), (5, 0), (8, 7), (0x7FF, 3), (3, 8), (0x105, 8), (0x205, 8)])
def test_frames_of_another_length_or_to_nobody_are_not_answered(x5, number, size) -> None:
    x5.send(number, bytes(size))
    assert x5.silent()


def test_queries_of_an_encos_motor_are_answered_in_full_precision(x5) -> None:
    number, data = x5.ask(2, bytes([0xE0, 1]))
    assert (number, data[0] >> 5) == (2, 2)
    assert unpack(">f", data[1:5])[0] == pytest.approx(X5_HOME[1], abs=1e-6)
    x5.send(2, bytes([0xE0, 99]))
    assert x5.silent()


def test_every_motor_of_both_arms_answers_and_no_other_does() -> None:
    for robot, encos in (("arx-x5", JOINTS[:3]), ("arx-l5", ())):
        with arm(robot) as host:
            for number in range(1, 16):
                host.send(number, EC_IDLE if number in encos else DM_IDLE)
            heard = []
            while (found := host.answer(0.05)) is not None:
                heard.append(found[0] or found[1][0] & 0xF)
            assert tuple(heard) == EVERYONE


def test_the_feedback_id_can_be_that_of_other_arms() -> None:
    with arm(feedback_id=None) as host:
        assert host.ask(5, CLEAR)[0] == 0x15
        assert host.ask(GRIPPER, CLEAR)[0] == 0x18
        host.ask(0x7FF, bytes([5, 0, 0x55, 7]) + pack("<I", 0x77))
        assert host.ask(5, CLEAR)[0] == 0x77


def test_a_motor_left_alone_gives_up_after_its_timeout_and_has_to_be_cleared(x5) -> None:
    x5.enable(5)
    assert x5.do(5, q=X5_HOME[3], kp=100.0, kd=1.0)[0] == 1
    x5.advance(99)
    assert x5.ask(0x7FF, bytes.fromhex("0500cc0000000000"))[1][0] == 0x15
    x5.advance(1)  # 0.1 s after the last order; asking a register did not count
    status, _, _, torque = x5.do(5, q=X5_HOME[3], kp=100.0, kd=1.0)
    assert status == 0xD
    x5.advance(1)
    assert abs(x5.do(5)[3]) < 0.004
    assert x5.ask(5, ENABLE)[1][0] == 0xD5
    assert x5.ask(5, CLEAR)[1][0] == 0x05
    assert x5.ask(5, ENABLE)[1][0] == 0x15
    assert torque < 10


def test_without_a_timeout_a_motor_follows_its_last_order_for_ever() -> None:
    with arm(timeout=0.0) as host:
        host.enable()
        host.cycles(20, host.hold())
        host.advance(3000)
        status, q, _, _ = host.read(5, host.ask(5, host.order(5, q=X5_HOME[3], kp=200.0, kd=3.0)))
        assert status == 1
        assert q == pytest.approx(X5_HOME[3], abs=0.02)


def test_encos_motors_latch_their_last_order_while_the_others_let_go(x5) -> None:
    x5.enable()
    held = x5.hold()
    x5.cycles(40, held)
    x5.advance(1000)
    assert x5.read(2, x5.ask(2, x5.order(2, **held[2])))[1] == pytest.approx(held[2]["q"], abs=0.05)
    status, q, _, _ = x5.read(5, x5.ask(5, DM_IDLE))
    assert status == 0xD
    assert abs(q - held[5]["q"]) > 0.05  # the wrist fell
