import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_gym.errors import BadOption
from user_gym.robots.motors import EC_A4310
from user_gym.robots.wire import encos
from user_gym.robots.wire.encos import Feedback, Report
from user_gym.robots.wire.mit import Mit

RANGES = EC_A4310.ranges


@pytest.mark.parametrize(
    ("order", "golden"),
    [
        (Mit(), "00 00 00 7f ff 7f f7 ff"),  # the frame that the ARX SDK polls with
        (Mit(12.5, 18.0, 500.0, 5.0, 30.0), "1f ff ff ff ff ff ff ff"),
        (Mit(0.0, 0.0, 0.0, 5.0, 0.0), "00 01 ff 7f ff 7f f7 ff"),
    ],
)
def test_orders_equal_frames_seen_or_computed_by_hand(order, golden):
    assert encos.encode_order(order, RANGES) == bytes.fromhex(golden)


@given(st.floats(-12.5, 12.5), st.floats(-18, 18), st.floats(0, 500), st.floats(0, 5), st.floats(-30, 30))
def test_an_order_survives_within_a_step_of_each_field(position, velocity, kp, kd, torque):
    sent = Mit(position, velocity, kp, kd, torque)
    heard = encos.decode_order(encos.encode_order(sent, RANGES), RANGES)
    assert heard is not None
    for a, b, step in zip(sent, heard, (25 / 65535, 36 / 4095, 500 / 4095, 5 / 511, 60 / 4095), strict=True):
        assert -1e-9 <= a - b <= step * 1.000001


def test_the_same_bits_mean_ten_times_the_damping_at_the_documented_full_scale():
    frame = encos.encode_order(Mit(kd=5.0), RANGES)
    heard = encos.decode_order(frame, RANGES._replace(kd=50.0))
    assert heard is not None
    assert heard.kd == pytest.approx(50.0)


@given(st.integers(0, 31), st.floats(-12.5, 12.5), st.floats(-18, 18), st.floats(-30, 30))
def test_feedback_survives_within_a_step_of_each_field(error, position, velocity, torque):
    sent = Feedback(error, position, velocity, torque, 41.5, 38.0)
    heard = encos.decode_feedback(encos.encode_feedback(sent, RANGES), RANGES)
    assert heard is not None
    assert (heard.error, *heard[4:]) == (error, 41.5, 38.0)
    for a, b, step in zip(sent[1:4], heard[1:4], (25 / 65535, 36 / 4095, 60 / 4095), strict=True):
        assert -1e-9 <= a - b <= step * 1.000001


def test_a_feedback_frame_is_read_bit_by_bit():
    assert encos.decode_feedback(bytes.fromhex("22 ff ff 00 0f ff 8c 96"), RANGES) == Feedback(2, 12.5, -18.0, 30.0, 45.0, 50.0)


def test_frames_of_other_kinds_are_told_apart():
    report = Report(2, 0, 1.25, -3.5)
    assert encos.decode_report(encos.encode_report(report)) == report
    assert encos.decode_feedback(encos.encode_report(report), RANGES) is None
    assert encos.decode_report(encos.encode_feedback(Feedback(0, 0, 0, 0, 25, 25), RANGES)) is None
    assert encos.decode_order(b"\x20" + bytes(7), RANGES) is None
    assert encos.decode_feedback(encos.encode_order(Mit(), RANGES), RANGES) is None  # another host's order is no feedback


@given(st.binary(max_size=16))
def test_hostile_bytes_are_decoded_or_refused(data):
    for decode in (lambda d: encos.decode_order(d, RANGES), lambda d: encos.decode_feedback(d, RANGES), encos.decode_report):
        if len(data) == encos.SIZE:
            decode(data)
        else:
            with pytest.raises(BadOption, match="8 bytes"):
                decode(data)
