"""Which robot is meant by `robot=` of a real id, and which of the inventory's is free, healthy and able to do the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from user_gym.core import Device
from user_gym.errors import Busy, NoRobot, UnknownName
from user_gym.robots import discovery, inventory, lease, notes, specs
from user_gym.robots.lease import Hold

ANY = "any"  # the first of the inventory that can do the task
DEFAULT = "franka-fr3"  # where the inventory has none, or an address says which arm


class Meant(NamedTuple):
    """What `robot=` stands for."""

    model: str  # a robot's name
    options: dict[str, Any]  # of the backend; with `device`, the id of the inventory's entry, where one was named


def choose(robot: str, task: str, options: Mapping[str, Any]) -> Meant:
    """Which model is meant. Reads the inventory, where the name is not enough; leases and asks nothing.

    Args:
        robot: a robot's name, the id of one in the inventory, or ANY.
        task: name of the task.
        options: of the backend.

    Raises:
        UnknownName: neither a robot's name nor an id of the inventory.
        BadOption: the inventory cannot be read.
    """
    if robot in specs.known():
        return Meant(robot, dict(options))
    if robot == ANY and options.get("address") is not None:
        return Meant(DEFAULT, dict(options))
    robots = _own_first(inventory.read().of_kind("robot"))
    if robot == ANY:
        able = [d for d in robots if d.healthy and d.does(task)]
        free = [d for d in able if lease.own(d) or lease.holder(d) is None]
        return Meant((*free, *able)[0].model if able else DEFAULT, dict(options))
    for device in robots:
        if device.id == robot and device.model in specs.known():
            return Meant(device.model, {**options, "device": robot})
    raise UnknownName("robot", robot, [*specs.known(), *(d.id for d in robots)], "user-gym devices lists the robots here")


def take(model: str, task: str, device: str | None = None, adopt: bool = False) -> tuple[Device, Hold]:
    """Lease the first robot of the inventory that is free, healthy and able to do the task.

    Args:
        model: a robot's name.
        task: name of the task.
        device: id of the only one that will do; None: any of the model.
        adopt: take it over from a driver process whose program is gone, too; only the one that was named.

    Raises:
        NoRobot: there is none; the message says of each candidate why not, and of no other where one was named.
        BadOption: the inventory cannot be read.
    """
    known = inventory.read()
    robots = _own_first(known.of_kind("robot"))
    reasons: list[str] = []
    if device is not None:
        robots = [robot for robot in robots if robot.id == device]
        if not robots:
            raise NoRobot(f"robot {device!r} is not in {inventory.path()}; list it there, or name another")
    for candidate in robots:
        hold = _try(candidate, model, task, reasons, adopt and device is not None)
        if hold is not None:
            return candidate, hold
    if device is not None:
        raise NoRobot(f"robot {reasons[0]}; user-gym devices shows how it is")
    listed = "; ".join(reasons) or "the inventory has no robot"
    raise NoRobot(
        f"no {model} is free, healthy and able to do {task}: {listed}; list robots in {inventory.path()}, or give address="
    )


def _own_first(robots: Sequence[Device]) -> list[Device]:
    """What a grant of the pool lends to this process is meant before what is free by chance."""
    return sorted(robots, key=lambda device: not lease.own(device))


def _try(candidate: Device, model: str, task: str, reasons: list[str], adopt: bool) -> Hold | None:
    """Lease it and ask it how it is; or say why not."""

    def no(why: str) -> None:
        reasons.append(f"{candidate.id!r} ({candidate.model} at {candidate.address}): {why}")

    if candidate.model != model:
        return no(f"is no {model}")
    if not candidate.healthy:
        return no(candidate.reason)
    if not candidate.does(task):
        return no(f"is set up for {', '.join(candidate.tasks)}")
    try:
        hold = lease.attempt(candidate, adopt=adopt)
    except Busy as refused:
        return no(str(refused))
    if hold is None:
        return no(f"is leased {notes.describe(lease.holder(candidate))}")
    if hold.bond is not None:  # it is under its driver's orders this moment, which knows how it is
        return hold
    try:
        found = discovery.examine(candidate)
    except BaseException:
        hold.release()
        raise
    if not found.healthy:
        hold.release()
        return no(found.reason)
    return hold
