"""Which robots the rows of a vector environment are: names, ids of the inventory, addresses, or options spelled out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from user_gym.errors import BadOption, UnknownName
from user_gym.robots import inventory, specs


def places(robots: Sequence[str | Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """The options of each row.

    Args:
        robots: for each row an id of the inventory or a robot's name, as `robot=`; or an address, as `address=`; or a dict of
            options, such as {"address": "127.0.0.77", "twin": "127.0.0.77:1339"}.
        count: number of rows.

    Raises:
        BadOption: not `count` of them, or one robot twice.
        UnknownName: a word that is none of all that.
    """
    if isinstance(robots, str) or len(robots) != count:
        raise BadOption("robots", robots, f"a list of {count}: ids of the inventory, addresses, or dicts of options")
    named = any(isinstance(robot, str) and robot not in specs.known() for robot in robots)
    ids = [device.id for device in inventory.read().of_kind("robot")] if named else []
    rows = [dict(robot) if isinstance(robot, Mapping) else _place(robot, ids) for robot in robots]
    single = [row.get("address", row.get("robot")) for row in rows if "address" in row or row.get("robot") in ids]
    if len(set(single)) < len(single):
        raise BadOption("robots", robots, "each robot once: no two arms are the same")
    return rows


def _place(robot: str, ids: Collection[str]) -> dict[str, Any]:
    if robot in ids or robot in specs.known():
        return {"robot": robot}
    if "." in robot or ":" in robot:
        return {"address": robot}
    raise UnknownName("robot", robot, [*specs.known(), *ids], "or give an address")
