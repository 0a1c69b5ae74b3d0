"""The robots that user_gym knows, by name. A record each; no device, no backend."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from user_gym.core import RobotSpec
from user_gym.errors import UnknownName
from user_gym.robots.arx import L5, X5
from user_gym.robots.franka import FER, FR3

SPECS: Mapping[str, RobotSpec] = MappingProxyType({s.name: s for s in (FR3, FER, X5, L5)})


def spec(name: str) -> RobotSpec:
    """The arm called `name`, as in `gym.make(..., robot=name)`. Raises UnknownName."""
    try:
        return SPECS[name]
    except KeyError:
        raise UnknownName("robot", name, SPECS) from None
