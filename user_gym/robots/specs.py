"""The robots that user_gym knows, by name. A record each; no device, no backend.

Another package adds an arm by an entry point of the group "user_gym.robots": its name, and where its RobotSpec is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType

import numpy as np

from user_gym.core import RobotSpec
from user_gym.errors import BadOption, UnknownName
from user_gym.robots import plugins
from user_gym.robots.arx import L5, X5
from user_gym.robots.franka import FER, FR3

GROUP = "user_gym.robots"
SPECS: Mapping[str, RobotSpec] = MappingProxyType({s.name: s for s in (FR3, FER, X5, L5)})

for _record in (part for s in SPECS.values() for part in (s, s.compliance, *s.cameras)):
    for _field in fields(_record):
        if isinstance(_value := getattr(_record, _field.name), np.ndarray):
            _value.flags.writeable = False  # every environment of a process shares these arrays


def known() -> tuple[str, ...]:
    """All names that `spec` answers to, those of other packages included."""
    return tuple(sorted({*SPECS, *plugins.names(GROUP)}))


def spec(name: str) -> RobotSpec:
    """The arm called `name`, as in `gym.make(..., robot=name)`.

    Raises:
        UnknownName: nobody registered it.
        BadOption: another package registered it, but not with a RobotSpec.
    """
    if name in SPECS:
        return SPECS[name]
    found = plugins.find(GROUP, name)
    if found is None:
        raise UnknownName("robot", name, known())
    if not isinstance(found, RobotSpec):
        raise BadOption(f"robot {name!r}", found, f"a RobotSpec behind the entry point of {GROUP!r}")
    return found
