"""What devices there are, as a TOML file says; docs/inventory.md shows one. It asks no device whether that is true.

An entry that is wrong becomes a device that is not healthy and says why, and the others are as good as before. What makes the
whole file unreadable, such as a syntax error, is an error.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from user_gym.core import Device, Inventory
from user_gym.errors import BadOption, UnknownName, UserGymError, nearest
from user_gym.robots import plugins, registry, specs
from user_gym.robots.address import physical
from user_gym.robots.side import endpoint
from user_gym.robots.wire import buses

VARIABLE = "USER_GYM_INVENTORY"
KEYS: Mapping[str, tuple[str, ...]] = {
    "robot": ("id", "model", "address", "twin", "tasks", "options"),
    "camera": ("id", "model", "address", "robot", "name", "options"),
    "teleop": ("id", "model", "address", "robot", "options"),
}
CAMERAS = ("opencv", "realsense")
CAMERA_GROUP = "user_gym.cameras"  # entry points: cameras of other packages
TELEOPS = ("gamepad", "keyboard", "spacemouse")
_TABLES = f"{', '.join(f'[[{kind}]]' for kind in KEYS)} (GPUs are found by themselves)"


def path() -> Path:
    """Where the inventory is: $USER_GYM_INVENTORY, else user_gym/inventory.toml in the user's config folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "user_gym" / "inventory.toml"


def read(file: Path | None = None) -> Inventory:
    """All devices of a file, the broken ones included.

    Args:
        file: the file; None: `path()`. That the user's own file does not exist yet is no error: the inventory is empty.

    Raises:
        BadOption: the file named does not exist or cannot be read, is no TOML, or has a table that is none of ours.
    """
    place = path() if file is None else file
    try:
        content = tomllib.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if file is None and VARIABLE not in os.environ:
            return Inventory(())
        raise BadOption("inventory", str(place), "a file that exists", f"write it, or unset ${VARIABLE}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadOption("inventory", str(place), "a readable text file", str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise BadOption("inventory", str(place), "a TOML file", str(error)) from error
    for name, tables in content.items():
        if name not in KEYS:
            raise BadOption(f"table in {place}", name, _TABLES)
        if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
            raise BadOption(f"table in {place}", name, f"entries that begin with [[{name}]], in double brackets")
    devices: list[Device] = []
    for kind in KEYS:
        for number, table in enumerate(content.get(kind, ()), 1):
            devices.append(_device(kind, number, table, devices, place))
    return Inventory(tuple(devices))


def _device(kind: str, number: int, table: Mapping[str, Any], before: Sequence[Device], place: Path) -> Device:
    id = table.get("id")
    try:
        return _checked(kind, table, before)
    except (UserGymError, ImportError) as error:  # ImportError: a robot of another package that is broken
        named = isinstance(id, str) and id != "" and id not in {device.id for device in before}
        return Device(
            id=str(id) if named else f"{kind}[{number}]",
            kind=kind,
            model=str(table.get("model", "?")),
            address=str(table.get("address", "?")),
            healthy=False,
            reason=f"[[{kind}]] {number} of {place}: {error}",
        )


def _checked(kind: str, table: Mapping[str, Any], before: Sequence[Device]) -> Device:
    for key in table:
        if key not in KEYS[kind]:
            raise BadOption("key", key, ", ".join(KEYS[kind]), nearest(key, KEYS[kind]))
    id, model = _text(table, "id"), _text(table, "model")
    for other in before:
        if other.id == id:
            raise BadOption("id", id, f"one of its own; a {other.kind} before it has this one", "rename one of the two")
    robot = name = None
    match kind:
        case "robot":
            address = _robot_address(specs.spec(model).family, _text(table, "address"))
        case "camera":
            _known("camera model", model, {*CAMERAS, *plugins.names(CAMERA_GROUP)})
            address = _camera_address(table)
            robot, name = _mount(table, before)
        case _:
            _known("teleop model", model, TELEOPS)
            address = _text(table, "address") if "address" in table else ""
            robot = _owner(table, before)
    device = Device(id, kind, model, address, _twin(table), _tasks(table), robot, name, _options(table))
    for other in before:
        if address and other.healthy and physical(other, resolve=False) == physical(device, resolve=False):
            raise BadOption("address", address, f"one of its own; {other.id!r} has this one", "remove one of the two")
    return device


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not (isinstance(value, str) and value.strip() == value != ""):
        raise BadOption(key, value, "a text in quotes, without spaces around it", "" if key in table else f'add {key} = "..."')
    return value


def _known(kind: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise UnknownName(kind, value, known)


def _robot_address(family: str, address: str) -> str:
    if family == "franka" and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", address):
        cure = "leave the port out: it is always 1337" if ":" in address else ""
        raise BadOption("address", address, 'an IP address or host name, such as "172.16.0.2"', cure)
    if family == "arx":
        buses.parse(address)
    return address


def _camera_address(table: Mapping[str, Any]) -> str:
    number = table.get("address")
    if type(number) is int and number >= 0:
        return str(number)
    if number is None and table.get("model") == "realsense":
        return ""  # the only one that is plugged in
    return _text(table, "address")


def _twin(table: Mapping[str, Any]) -> str | None:
    if "twin" not in table:
        return None
    endpoint(twin := _text(table, "twin"))
    return twin


def _tasks(table: Mapping[str, Any]) -> tuple[str, ...]:
    tasks = table.get("tasks", [])
    if not (isinstance(tasks, list) and all(isinstance(task, str) for task in tasks)):
        raise BadOption("tasks", tasks, 'a list of names, such as ["PegInsert"]')
    for task in tasks:
        _known("task", task, registry.tasks())
    return tuple(tasks)


def _options(table: Mapping[str, Any]) -> Mapping[str, Any]:
    options = table.get("options", {})
    if not isinstance(options, dict):
        raise BadOption("options", options, "a table, such as { name = 1 }")
    return options


def _owner(table: Mapping[str, Any], before: Sequence[Device]) -> str | None:
    if "robot" not in table:
        return None
    _known("robot", robot := _text(table, "robot"), [d.id for d in before if d.kind == "robot"])
    return robot


def _mount(table: Mapping[str, Any], before: Sequence[Device]) -> tuple[str | None, str | None]:
    """Robot and name of a camera. One that belongs to a robot is one of the cameras of the robot's spec."""
    robot = _owner(table, before)
    if robot is None:
        return None, _text(table, "name") if "name" in table else None
    name, model = _text(table, "name"), next(d.model for d in before if d.id == robot)
    if model in specs.known():  # else the robot's own entry is the one to be mended
        _known(f"camera of {model!r}", name, [camera.name for camera in specs.spec(model).cameras])
    return robot, name
