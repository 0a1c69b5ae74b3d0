"""What callers ask of a real cell and arm, checked before anything is opened or sent: a wrong type is refused in the words of a
wrong value.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from user_gym.core import Command, Start
from user_gym.errors import BadAction, BadOption, UserGymError
from user_gym.robots.plugins import load_object


def text(name: str, value: object, example: str) -> None:
    """Raise BadOption unless the value is None or a text without spaces around it."""
    if value is not None and not (isinstance(value, str) and value and value == value.strip() and value.isprintable()):
        raise BadOption(name, value, f"a text such as {example!r}, or None")


def table(name: str, value: object) -> None:
    """Raise BadOption unless the value is None or a mapping with texts as keys."""
    if value is not None and not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
        raise BadOption(name, value, "a dict with names as keys, or None")


def yes_or_no(name: str, value: object) -> None:
    """Raise BadOption unless the value is True or False: a text such as "no" would count as yes."""
    if not isinstance(value, bool):
        raise BadOption(name, value, "True | False")


def driver(path: str, options: Mapping[str, Any]) -> None:
    """Raise BadOption unless there is such a driver, and it takes these options. It is imported, a vendor's package is not."""
    try:
        found = load_object(path)
        parameters = list(inspect.signature(found).parameters.values())
    except UserGymError:
        raise
    except (ImportError, TypeError, ValueError) as error:
        raise BadOption("driver", path, "'module:Class' of a Driver", str(error)) from error
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return
    if len(parameters) < 4:
        raise BadOption("driver", path, "'module:Class' of a Driver, made from (spec, control, address, clock, **options)")
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    names = [p.name for p in parameters[4:]]
    for name in options:
        if name not in names:
            raise BadOption("driver option", name, ", ".join(names) or "none", f"of {path}")


def order(command: object, dof: int) -> None:
    """Raise BadAction unless it is a Command of one arm of so many joints: arrays (6,) or (dof,) of numbers, and a number."""
    if not isinstance(command, Command):
        raise BadAction(f"order {_described(command)}; allowed: a Command")
    for name, value, shape in (
        ("tcp", command.tcp, (6,)),
        ("joints", command.joints, (dof,)),
        ("gripper", command.gripper, ()),
    ):
        if value is None and shape:
            continue
        sound = isinstance(value, np.ndarray | np.generic if shape else np.ndarray | np.generic | float | int)
        if not sound or np.shape(value) != shape or np.asarray(value).dtype.kind not in "fiu":
            allowed = f"an array of shape {shape} of numbers" if shape else "one number, 0 .. 1"
            raise BadAction(f"order {name} {_described(value)}; allowed: {allowed}")


def start(value: object) -> None:
    """Raise BadOption unless it is a Start."""
    if not isinstance(value, Start):
        raise BadOption("start", value, "a Start")


def _described(value: object) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return f"of shape {value.shape} and dtype {value.dtype}"
    return f"{reprlib.repr(value)} of type {type(value).__name__}"
