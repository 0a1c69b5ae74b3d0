"""Which robots the rows of a vector environment are: ids of the inventory, addresses, or options spelled out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from user_gym.core import Device
from user_gym.errors import BadOption, NoRobot, UnknownName
from user_gym.robots import inventory


def places(robots: Sequence[str | Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """The options of each row.

    Args:
        robots: for each row the id of a robot in the inventory, or an address as the single environment takes it, or a dict of
            options such as {"address": ..., "twin": ...}.
        count: number of rows.

    Raises:
        BadOption: not `count` of them, or one twice.
        UnknownName: a word that is neither an id nor an address.
        NoRobot: the robot's entry in the inventory is broken.
    """
    if isinstance(robots, str) or len(robots) != count:
        raise BadOption("robots", robots, f"a list of {count}: ids of the inventory, addresses, or dicts of options")
    known = {device.id: device for device in inventory.read().devices if device.kind == "robot"} if _words(robots) else {}
    rows = [dict(robot) if isinstance(robot, Mapping) else _place(robot, known) for robot in robots]
    addresses = [row["address"] for row in rows if "address" in row]
    if len(set(addresses)) < len(addresses):
        raise BadOption("robots", robots, "each robot once; two arms cannot be one robot")
    return rows


def _words(robots: Sequence[Any]) -> bool:
    return any(isinstance(robot, str) for robot in robots)


def _place(robot: str, known: Mapping[str, Device]) -> dict[str, Any]:
    device = known.get(robot)
    if device is None:
        if "." not in robot and ":" not in robot:
            raise UnknownName("robot of the inventory", robot, known, "or give an address")
        return {"address": robot}
    if not device.healthy:
        raise NoRobot(f"robot {robot!r} of the inventory cannot be used: {device.reason}")
    twin = {} if device.twin is None else {"twin": device.twin}
    return {"robot": device.model, "address": device.address, **twin, **device.options}
