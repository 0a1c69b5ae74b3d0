"""DaMiao motors' CAN frames (DM-J4310, DM-J4340), both directions: orders, feedback, registers. Pure; it knows no bus.

Classical CAN, 1 Mbit/s, 11-bit identifiers, 8 bytes, most significant bit first; registers little-endian. An order goes to
the motor's own identifier, a register request to REGISTERS; the answer to either comes on the motor's feedback identifier,
which is 0 for every motor of an ARX arm. Sources: the vendor's public driver code and frames seen of the ARX SDK.
"""

from __future__ import annotations

import struct
from enum import Enum, IntEnum
from typing import NamedTuple

from user_gym.errors import BadOption
from user_gym.robots.wire.mit import KP_MAX, Mit, Ranges, from_bits, to_bits

SIZE = 8  # bytes of every frame, either way
REGISTERS = 0x7FF  # identifier of register requests
FEEDBACK = 0x000  # identifier of all feedback on an ARX arm; elsewhere motor id + 0x10 is usual
TIMEOUT_UNIT = 50e-6  # s, of Register.TIMEOUT
TIMEOUT_OFF = 0  # guessed: a motor with this value never times out


class Special(Enum):
    """Orders that are no motion."""

    ENABLE = b"\xff\xff\xff\xff\xff\xff\xff\xfc"
    DISABLE = b"\xff\xff\xff\xff\xff\xff\xff\xfd"
    SAVE_ZERO = b"\xff\xff\xff\xff\xff\xff\xff\xfe"
    CLEAR_ERROR = b"\xff\xff\xff\xff\xff\xff\xff\xfb"


class Status(IntEnum):
    """High nibble of a feedback frame; from OVER_VOLTAGE on it is a fault."""

    DISABLED = 0x0
    ENABLED = 0x1
    OVER_VOLTAGE = 0x8
    UNDER_VOLTAGE = 0x9
    OVER_CURRENT = 0xA
    DRIVER_HOT = 0xB
    ROTOR_HOT = 0xC
    COMMAND_LOST = 0xD
    OVERLOAD = 0xE


class Operation(IntEnum):
    """What a register request asks for."""

    READ = 0x33
    WRITE = 0x55
    STORE = 0xAA
    REQUEST_FEEDBACK = 0xCC


class Register(IntEnum):
    """The registers that matter here."""

    UNDER_VOLTAGE = 0
    TORQUE_CONSTANT = 1
    OVER_TEMPERATURE = 2
    OVER_CURRENT = 3
    FEEDBACK_ID = 7
    MOTOR_ID = 8
    TIMEOUT = 9  # units of TIMEOUT_UNIT
    CONTROL_MODE = 10
    GEAR_RATIO = 20
    POSITION_RANGE = 21
    VELOCITY_RANGE = 22
    TORQUE_RANGE = 23
    BAUD_RATE = 35
    MOTOR_POSITION = 80
    OUTPUT_POSITION = 81


INTEGERS = frozenset(
    {Register.FEEDBACK_ID, Register.MOTOR_ID, Register.TIMEOUT, Register.CONTROL_MODE, Register.BAUD_RATE}
)  # the others are float32


class ControlMode(IntEnum):
    """Value of Register.CONTROL_MODE."""

    MIT = 1
    POSITION_VELOCITY = 2
    VELOCITY = 3
    FORCE_POSITION = 4


class Feedback(NamedTuple):
    """What a motor tells of itself, once for every frame it got."""

    motor: int  # low nibble of its identifier
    status: int  # a `Status`, or a number that nobody documented
    position: float  # rad
    velocity: float  # rad/s
    torque: float  # wire units
    driver_temperature: int  # deg C
    rotor_temperature: int  # deg C


class Request(NamedTuple):
    """A question to a motor about a register, or an order to change one."""

    motor: int
    operation: int
    register: int
    value: bytes = bytes(4)


class Reply(NamedTuple):
    """A motor's answer: the same header, and the value."""

    motor: int
    operation: int
    register: int
    value: float  # whole for the registers of INTEGERS


_FLOAT, _INTEGER, _HEADER = struct.Struct("<f"), struct.Struct("<I"), struct.Struct("<HBB4s")


def encode_order(order: Mit, ranges: Ranges) -> bytes:
    """The frame of one order under the MIT law."""
    position, velocity, torque = ranges.position, ranges.velocity, ranges.torque
    word = (
        to_bits(order.position, -position, position, 16) << 48
        | to_bits(order.velocity, -velocity, velocity, 12) << 36
        | to_bits(order.kp, 0.0, KP_MAX, 12) << 24
        | to_bits(order.kd, 0.0, ranges.kd, 12) << 12
        | to_bits(order.torque, -torque, torque, 12)
    )
    return word.to_bytes(SIZE, "big")


def decode_order(data: bytes, ranges: Ranges) -> Mit:
    """What a motor understands; ask `special` first. Raises BadOption for a frame that is none."""
    word = int.from_bytes(_whole(data), "big")
    position, velocity, torque = ranges.position, ranges.velocity, ranges.torque
    return Mit(
        position=from_bits(word >> 48, -position, position, 16),
        velocity=from_bits(word >> 36 & 0xFFF, -velocity, velocity, 12),
        kp=from_bits(word >> 24 & 0xFFF, 0.0, KP_MAX, 12),
        kd=from_bits(word >> 12 & 0xFFF, 0.0, ranges.kd, 12),
        torque=from_bits(word & 0xFFF, -torque, torque, 12),
    )


def special(data: bytes) -> Special | None:
    """The special order in a frame, or None where it is an order of motion."""
    return _SPECIALS.get(bytes(data))


def encode_feedback(feedback: Feedback, ranges: Ranges) -> bytes:
    """The frame in which a motor tells of itself."""
    velocity = to_bits(feedback.velocity, -ranges.velocity, ranges.velocity, 12)
    torque = to_bits(feedback.torque, -ranges.torque, ranges.torque, 12)
    word = (
        (feedback.status & 0xF) << 60
        | (feedback.motor & 0xF) << 56
        | to_bits(feedback.position, -ranges.position, ranges.position, 16) << 40
        | velocity << 28
        | torque << 16
        | _byte(feedback.driver_temperature) << 8
        | _byte(feedback.rotor_temperature)
    )
    return word.to_bytes(SIZE, "big")


def decode_feedback(data: bytes, ranges: Ranges) -> Feedback:
    """What a motor told. Raises BadOption for a frame that is none; a register reply looks like one, see `decode_reply`."""
    word = int.from_bytes(_whole(data), "big")
    return Feedback(
        motor=word >> 56 & 0xF,
        status=word >> 60,
        position=from_bits(word >> 40 & 0xFFFF, -ranges.position, ranges.position, 16),
        velocity=from_bits(word >> 28 & 0xFFF, -ranges.velocity, ranges.velocity, 12),
        torque=from_bits(word >> 16 & 0xFFF, -ranges.torque, ranges.torque, 12),
        driver_temperature=word >> 8 & 0xFF,
        rotor_temperature=word & 0xFF,
    )


def encode_request(request: Request) -> bytes:
    """The frame of a register request, for the identifier REGISTERS."""
    return _HEADER.pack(request.motor, request.operation, request.register, request.value)


def decode_request(data: bytes) -> Request:
    """What a frame to REGISTERS asks. Raises BadOption for a frame that is none."""
    return Request(*_HEADER.unpack(_whole(data)))


def encode_reply(reply: Reply) -> bytes:
    """A motor's answer to a register request."""
    return _HEADER.pack(reply.motor, reply.operation, reply.register, pack_value(reply.register, reply.value))


def decode_reply(data: bytes) -> Reply | None:
    """A motor's answer, or None where the frame does not look like one.

    Feedback of a disabled motor near the end of its position range can look the same: decode replies only while a request is
    under way. Raises BadOption for a frame that is none.
    """
    motor, operation, register, value = _HEADER.unpack(_whole(data))
    if operation not in (Operation.READ, Operation.WRITE, Operation.STORE) or motor > 0x7FF:
        return None
    return Reply(motor, operation, register, unpack_value(register, value))


def pack_value(register: int, value: float) -> bytes:
    """The four bytes of a register's value."""
    return _INTEGER.pack(int(value)) if register in INTEGERS else _FLOAT.pack(value)


def unpack_value(register: int, value: bytes) -> float:
    """The number in a register's four bytes."""
    return (_INTEGER if register in INTEGERS else _FLOAT).unpack(value)[0]


_SPECIALS = {s.value: s for s in Special}


def _byte(number: int) -> int:
    return min(max(number, 0), 255)


def _whole(data: bytes) -> bytes:
    if len(data) != SIZE:
        raise BadOption("DaMiao frame", bytes(data).hex(" "), f"{SIZE} bytes")
    return data
