import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_gym.errors import BadOption
from user_gym.robots.motors import DM_J4310
from user_gym.robots.wire import damiao
from user_gym.robots.wire.damiao import Feedback, Operation, Register, Reply, Request, Special, Status
from user_gym.robots.wire.mit import Mit

RANGES = DM_J4310.ranges  # 12.5 / 45 / 18, as ARX has set them


@pytest.mark.parametrize(
    ("order", "golden"),
    [
        (Mit(), "7f ff 7f f0 00 00 07 ff"),  # zeros of signed fields are half a step negative
        (Mit(12.5, 45.0, 500.0, 5.0, 18.0), "ff ff ff ff ff ff ff ff"),
        (Mit(-12.5, -45.0, 0.0, 0.0, -18.0), "00 00 00 00 00 00 00 00"),
        (Mit(99.0, -99.0, 999.0, -1.0, 99.0), "ff ff 00 0f ff 00 0f ff"),  # clamped
        (Mit(1.0, 0.0, 200.0, 1.0, 2.0), "8a 3c 7f f6 66 33 38 e3"),
    ],
)
def test_orders_equal_frames_computed_by_hand(order, golden):
    assert damiao.encode_order(order, RANGES) == bytes.fromhex(golden)


@given(st.floats(-12.5, 12.5), st.floats(-45, 45), st.floats(0, 500), st.floats(0, 5), st.floats(-18, 18))
def test_an_order_survives_within_a_step_of_each_field(position, velocity, kp, kd, torque):
    sent = Mit(position, velocity, kp, kd, torque)
    heard = damiao.decode_order(damiao.encode_order(sent, RANGES), RANGES)
    for a, b, step in zip(sent, heard, (25 / 65535, 90 / 4095, 500 / 4095, 5 / 4095, 36 / 4095), strict=True):
        assert -1e-9 <= a - b <= step * 1.000001


@given(st.integers(0, 15), st.integers(0, 15), st.floats(-12.5, 12.5), st.floats(-45, 45), st.floats(-18, 18))
def test_feedback_survives_within_a_step_of_each_field(motor, status, position, velocity, torque):
    sent = Feedback(motor, status, position, velocity, torque, 31, 44)
    heard = damiao.decode_feedback(damiao.encode_feedback(sent, RANGES), RANGES)
    assert heard[:2] == (motor, status)
    assert heard[5:] == (31, 44)
    for a, b, step in zip(sent[2:5], heard[2:5], (25 / 65535, 90 / 4095, 36 / 4095), strict=True):
        assert -1e-9 <= a - b <= step * 1.000001


def test_a_feedback_frame_is_read_nibble_by_nibble():
    heard = damiao.decode_feedback(bytes.fromhex("a5 ff ff 00 0f ff 1e 2d"), RANGES)
    assert heard == Feedback(5, Status.OVER_CURRENT, 12.5, -45.0, 18.0, 30, 45)


def test_special_orders_have_the_documented_last_byte():
    assert {s.name: s.value[-1] for s in Special} == {"ENABLE": 0xFC, "DISABLE": 0xFD, "SAVE_ZERO": 0xFE, "CLEAR_ERROR": 0xFB}
    assert all(s.value[:7] == b"\xff" * 7 and damiao.special(s.value) is s for s in Special)
    assert damiao.special(damiao.encode_order(Mit(), RANGES)) is None


def test_a_register_request_is_little_endian_and_names_the_motor():
    request = Request(5, Operation.READ, Register.TIMEOUT)
    assert damiao.encode_request(request) == bytes.fromhex("05 00 33 09 00 00 00 00")
    assert damiao.decode_request(damiao.encode_request(request)) == request


def test_replies_carry_floats_and_whole_numbers():
    assert damiao.encode_reply(Reply(8, Operation.READ, Register.POSITION_RANGE, 12.5)) == bytes.fromhex(
        "08 00 33 15 00 00 48 41"
    )
    for register, value in ((Register.TIMEOUT, 2000), (Register.TORQUE_RANGE, 18.0)):
        reply = Reply(8, Operation.READ, register, value)
        assert damiao.decode_reply(damiao.encode_reply(reply)) == reply


def test_feedback_of_an_enabled_motor_is_no_reply():
    frame = damiao.encode_feedback(Feedback(5, Status.ENABLED, 0.1, 0.0, 0.0, 30, 30), RANGES)
    assert damiao.decode_reply(frame) is None


def test_a_reply_read_as_feedback_says_disabled_at_the_end_of_the_range():  # facts, 8.9
    frame = damiao.encode_reply(Reply(5, Operation.READ, Register.TIMEOUT, 2000))
    heard = damiao.decode_feedback(frame, RANGES)
    assert heard.status == Status.DISABLED
    assert heard.position == pytest.approx(-12.48, abs=0.02)


@given(st.binary(max_size=16))
def test_hostile_bytes_are_decoded_or_refused(data):
    for decode in (lambda d: damiao.decode_order(d, RANGES), lambda d: damiao.decode_feedback(d, RANGES), damiao.decode_reply):
        if len(data) == damiao.SIZE:
            decode(data)
        else:
            with pytest.raises(BadOption, match="8 bytes"):
                decode(data)
