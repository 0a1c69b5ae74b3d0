"""Encos motors' CAN frames (EC-A4310), both directions. Pure; it knows no bus.

Classical CAN, 1 Mbit/s, 8 bytes, most significant bit first; orders and feedback have the motor's own identifier. These motors
have no enable, disable, time-out or range register that is public: they act on the first frame they hear.

Verified on the wire, with the vendor's own SDK as host and an emulator as motor: where the fields of orders and of the answer
to them are, the identifiers, and that the SDK scales +-12.5 rad, +-18 rad/s, +-30, kd 0 .. 5. From public drivers, seen on no
wire: error codes, temperatures, reports of types 2 and 3, queries, settings. Nothing was verified on a motor. That SDK and
emulator agree on kd proves nothing of it: the general documentation says 0 .. 50 for the same bits, no register tells, and at
50 an arm would be damped ten times as much as it is told. Measure it by a small motion before the first run of a real X5.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from user_gym.errors import BadOption
from user_gym.robots.wire.mit import KP_MAX, Mit, Ranges, from_bits, to_bits

SIZE = 8  # bytes of orders and feedback
SETTINGS = 0x7FF  # identifier of settings; nothing here ever sends one
STATE_REPORT = 1  # type of the feedback that answers an order under the MIT law
HYBRID = 0  # mode of an order under the MIT law
QUERY = 0xE0  # first byte of a query, DLC 2; the second byte says of what


class Error(IntEnum):
    """What a motor complains of in its feedback. TEMPERATURE_WARNING alone is no fault yet."""

    NONE = 0
    OVER_TEMPERATURE = 1
    OVER_CURRENT = 2
    OVER_VOLTAGE = 3
    UNDER_VOLTAGE = 4
    ENCODER = 5
    BRAKE_VOLTAGE = 6
    DRIVER = 7
    TEMPERATURE_WARNING = 8


class Feedback(NamedTuple):
    """What a motor tells of itself, once for every order."""

    error: int  # an `Error`, or a number that nobody documented
    position: float  # rad
    velocity: float  # rad/s
    torque: float  # wire units: called a current by the vendor
    coil_temperature: float  # deg C
    driver_temperature: float  # deg C


def encode_order(order: Mit, ranges: Ranges) -> bytes:
    """The frame of one order under the MIT law."""
    word = (
        HYBRID << 61
        | to_bits(order.kp, 0.0, KP_MAX, 12) << 49
        | to_bits(order.kd, 0.0, ranges.kd, 9) << 40
        | to_bits(order.position, -ranges.position, ranges.position, 16) << 24
        | to_bits(order.velocity, -ranges.velocity, ranges.velocity, 12) << 12
        | to_bits(order.torque, -ranges.torque, ranges.torque, 12)
    )
    return word.to_bytes(SIZE, "big")


def decode_order(data: bytes, ranges: Ranges) -> Mit | None:
    """What a motor understands; None for an order of another mode. Raises BadOption for a frame that is none."""
    word = int.from_bytes(_whole(data), "big")
    if word >> 61 != HYBRID:
        return None
    return Mit(
        position=from_bits(word >> 24 & 0xFFFF, -ranges.position, ranges.position, 16),
        velocity=from_bits(word >> 12 & 0xFFF, -ranges.velocity, ranges.velocity, 12),
        kp=from_bits(word >> 49 & 0xFFF, 0.0, KP_MAX, 12),
        kd=from_bits(word >> 40 & 0x1FF, 0.0, ranges.kd, 9),
        torque=from_bits(word & 0xFFF, -ranges.torque, ranges.torque, 12),
    )


def encode_feedback(feedback: Feedback, ranges: Ranges) -> bytes:
    """The frame in which a motor tells of itself; current and torque have the same full scale."""
    word = (
        STATE_REPORT << 61
        | (feedback.error & 0x1F) << 56
        | to_bits(feedback.position, -ranges.position, ranges.position, 16) << 40
        | to_bits(feedback.velocity, -ranges.velocity, ranges.velocity, 12) << 28
        | to_bits(feedback.torque, -ranges.torque, ranges.torque, 12) << 16
        | _temperature(feedback.coil_temperature) << 8
        | _temperature(feedback.driver_temperature)
    )
    return word.to_bytes(SIZE, "big")


def decode_feedback(data: bytes, ranges: Ranges) -> Feedback | None:
    """What a motor told; None for a report of another type. Raises BadOption for a frame that is none."""
    word = int.from_bytes(_whole(data), "big")
    if word >> 61 != STATE_REPORT:
        return None
    return Feedback(
        error=word >> 56 & 0x1F,
        position=from_bits(word >> 40 & 0xFFFF, -ranges.position, ranges.position, 16),
        velocity=from_bits(word >> 28 & 0xFFF, -ranges.velocity, ranges.velocity, 12),
        torque=from_bits(word >> 16 & 0xFFF, -ranges.torque, ranges.torque, 12),
        coil_temperature=((word >> 8 & 0xFF) - 50) / 2,
        driver_temperature=((word & 0xFF) - 50) / 2,
    )


class Report(NamedTuple):
    """Feedback of type 2 or 3: one number in full precision."""

    type: int  # 2: position, 3: velocity
    error: int
    value: float  # rad or rad/s
    current: float  # A


_REPORT = struct.Struct(">Bfhx")


def encode_report(report: Report) -> bytes:
    """The frame of such a report."""
    return _REPORT.pack(report.type << 5 | report.error & 0x1F, report.value, round(report.current * 100))


def decode_report(data: bytes) -> Report | None:
    """Such a report, or None for a frame of another type. Raises BadOption for a frame that is none."""
    head, value, current = _REPORT.unpack(_whole(data))
    if head >> 5 not in (2, 3):
        return None
    return Report(head >> 5, head & 0x1F, value, current / 100)


def _temperature(degrees: float) -> int:
    return min(max(round(degrees * 2 + 50), 0), 255)


def _whole(data: bytes) -> bytes:
    if len(data) != SIZE:
        raise BadOption("Encos frame", bytes(data).hex(" "), f"{SIZE} bytes")
    return data
