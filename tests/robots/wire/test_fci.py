"""Franka's layouts against libfranka-common's tables, and bytes that a wheel sent."""

from __future__ import annotations

import struct

import pytest

from user_gym.robots.wire import fci, fci_gripper
from user_gym.robots.wire.fci import Call, Generator, Outcome

OFFSETS = {  # field: in version 5, in version 10
    "message_id": (0, 0),
    "O_T_EE": (8, 8),
    "O_T_EE_d": (136, 72),
    "F_T_EE": (264, 136),
    "EE_T_K": (392, 200),
    "F_T_NE": (520, 264),
    "NE_T_EE": (648, 328),
    "m_ee": (776, 392),
    "I_ee": (784, 396),
    "F_x_Cee": (856, 432),
    "m_load": (880, 444),
    "I_load": (888, 448),
    "F_x_Cload": (960, 484),
    "elbow": (984, 496),
    "elbow_d": (1000, 504),
    "tau_J": (1016, 512),
    "tau_J_d": (1072, 540),
    "dtau_J": (1128, 568),
    "q": (1184, 596),
    "q_d": (1240, 624),
    "dq": (1296, 652),
    "dq_d": (1352, 680),
    "ddq_d": (1408, 708),
    "joint_contact": (1464, 736),
    "cartesian_contact": (1520, 764),
    "joint_collision": (1568, 788),
    "cartesian_collision": (1624, 816),
    "tau_ext_hat_filtered": (1672, 840),
    "O_F_ext_hat_K": (1728, 868),
    "K_F_ext_hat_K": (1776, 892),
    "O_dP_EE_d": (1824, 916),
    "O_ddP_O": (1872, 940),
    "elbow_c": (1896, 952),
    "delbow_c": (1912, 960),
    "ddelbow_c": (1928, 968),
    "O_T_EE_c": (1944, 976),
    "O_dP_EE_c": (2072, 1040),
    "O_ddP_EE_c": (2120, 1064),
    "theta": (2168, 1088),
    "dtheta": (2224, 1116),
    "motion_generator_mode": (2280, 1288),
    "controller_mode": (2281, 1289),
    "errors": (2282, 1290),
    "reflex_reason": (2323, 1331),
    "robot_mode": (2364, 1372),
    "control_command_success_rate": (2365, 1373),
}


@pytest.mark.parametrize("name", OFFSETS)
def test_each_field_of_a_state_lies_where_the_vendors_header_has_it(name: str) -> None:
    assert (fci.V5.state.fields[name][1], fci.V10.state.fields[name][1]) == OFFSETS[name]


def test_no_field_of_a_state_is_left_out() -> None:
    assert set(fci.V5.state.names) == set(OFFSETS)
    assert set(fci.V10.state.names) == {*OFFSETS, "accelerometer_top", "accelerometer_bottom"}


def test_the_sizes_are_those_that_wheels_accept() -> None:
    assert (fci.V5.state.itemsize, fci.V10.state.itemsize) == (2373, 1377)
    assert (fci.V5.command.itemsize, fci.V10.command.itemsize) == (370, 371)
    assert (fci.V5.move.size, fci.V10.move.size) == (56, 113)
    assert fci_gripper.STATE.itemsize == 23
    assert (fci.ROBOT.header.size, fci.GRIPPER.header.size) == (12, 10)
    assert len(fci.ERRORS) == 41


def test_a_commands_fields_lie_where_the_vendors_header_has_them() -> None:
    offsets = {name: field[1] for name, field in fci.V10.command.fields.items()}
    assert offsets == {
        "message_id": 0, "q_c": 8, "dq_c": 64, "O_T_EE_c": 120, "O_dP_EE_c": 248, "elbow_c": 296, "valid_elbow": 312,
        "motion_generation_finished": 313, "tau_J_d": 314, "torque_command_finished": 370,
    }  # fmt: skip


def test_calls_are_numbered_as_each_version_has_them() -> None:
    assert [fci.V5.number_of(call) for call in (Call.SET_COLLISION_BEHAVIOR, Call.SET_LOAD, Call.LOAD_MODEL_LIBRARY)] == [
        4,
        10,
        13,
    ]
    assert [fci.V10.number_of(call) for call in (Call.SET_COLLISION_BEHAVIOR, Call.SET_LOAD, Call.GET_ROBOT_MODEL)] == [
        3,
        9,
        11,
    ]
    assert (fci.V5.number_of(Call.AUTOMATIC_ERROR_RECOVERY), fci.V10.number_of(Call.AUTOMATIC_ERROR_RECOVERY)) == (12, 10)
    with pytest.raises(KeyError):
        fci.V10.number_of(Call.LOAD_MODEL_LIBRARY)


@pytest.mark.parametrize(
    ("call", "outcome", "five", "ten"),
    [
        (Call.MOVE, Outcome.SUCCESS, 0, 0),
        (Call.MOVE, Outcome.STARTED, 1, 1),
        (Call.MOVE, Outcome.PREEMPTED, 2, 2),
        (Call.MOVE, Outcome.NOT_POSSIBLE, 3, 5),
        (Call.MOVE, Outcome.INVALID, 5, 7),
        (Call.MOVE, Outcome.REFLEX, 6, 8),
        (Call.MOVE, Outcome.EMERGENCY, 7, 9),
        (Call.MOVE, Outcome.ABORTED, 9, 11),
        (Call.STOP_MOVE, Outcome.REFLEX, 3, 4),
        (Call.AUTOMATIC_ERROR_RECOVERY, Outcome.MANUAL_RECOVERY, 2, 3),
        (Call.SET_LOAD, Outcome.INVALID, 2, 2),
    ],
)
def test_outcomes_have_the_numbers_of_each_version(call: Call, outcome: Outcome, five: int, ten: int) -> None:
    assert (fci.V5.status(call, outcome), fci.V10.status(call, outcome)) == (five, ten)


def test_a_connect_of_franky_is_read_and_answered_byte_by_byte() -> None:
    request = bytes.fromhex("000000000000000010000000" + "0a00" + "39b5")
    header = fci.ROBOT.read(request)
    assert header == (0, 0, 16)
    assert fci.CONNECT_REQUEST.unpack(request[12:]) == (10, 0xB539)
    reply = fci.ROBOT.reply(0, 0, fci.ACCEPTED, fci.CONNECT_VERSION.pack(10))
    assert reply == bytes.fromhex("00000000000000000f000000" + "00" + "0a00")
    assert fci.ROBOT.read(request[:11]) is None


def test_a_gripper_connect_is_14_bytes() -> None:
    assert fci.GRIPPER.reply(0, 0, 0, fci.CONNECT_VERSION.pack(3)) == bytes.fromhex("0000000000000e0000000000" + "0300")


def test_a_move_names_controller_and_generator_one_below_the_states_numbers() -> None:
    payload = struct.pack("<II6d", 2, 4, *[10.0, 3.12, 6.28] * 2) + bytes(57)
    controller, generator, *_ = fci.V10.move.unpack(payload)
    assert (controller, fci.V10.generators[generator]) == (2, Generator.NONE)
    assert Generator.NONE not in fci.V5.generators
