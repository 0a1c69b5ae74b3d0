"""Options that are numbers, checked once at the edge: a wrong type is refused in the same words as a wrong value."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from user_gym.errors import BadOption


def whole(name: str, value: Any, least: int, allowed: str = "") -> int:
    """The value as an int. Raises BadOption unless it is a whole number, `least` or more; True and 3.0 are none."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise BadOption(name, value, allowed or f"a whole number, {least} or more")
    return int(value)


def real(name: str, value: Any, low: float, high: float, allowed: str) -> float:
    """The value as a float. Raises BadOption unless it is a number in low .. high, both included; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
        raise BadOption(name, value, allowed)
    return float(value)
