"""The law that ARX's motors follow, torque = kp (position - q) + kd (velocity - dq) + torque, and how its numbers become bits.

Both kinds of motor, DaMiao and Encos, take the same five numbers; they differ in where the bits are. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

KP_MAX = 500.0  # N m/rad, of both kinds


class Mit(NamedTuple):
    """What a motor shall do until it hears something else. Torques are in the wire's own units: see `robots.motors`."""

    position: float = 0.0  # rad
    velocity: float = 0.0  # rad/s
    kp: float = 0.0  # N m/rad
    kd: float = 0.0  # N m s/rad
    torque: float = 0.0  # wire units


class Ranges(NamedTuple):
    """What full scale of each field means. Both ends must agree: nothing on the wire tells."""

    position: float  # rad, +-
    velocity: float  # rad/s, +-
    torque: float  # wire units, +-
    kd: float = 5.0  # N m s/rad, 0 .. kd


def to_bits(value: float, low: float, high: float, bits: int) -> int:
    """The number of `bits` bits for a value, clamped to low .. high and rounded down as the firmware does it.

    Rounding down makes 0 of a symmetric range half a step negative.
    """
    if value < low:
        return 0
    top = (1 << bits) - 1
    return top if value > high else int((value - low) * top / (high - low))


def from_bits(number: int, low: float, high: float, bits: int) -> float:
    """The value of such a number."""
    return low + number * (high - low) / ((1 << bits) - 1)
