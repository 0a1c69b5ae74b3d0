"""All robots, cameras and GPUs of one machine, granted to jobs all at once or not at all.

    with Pool().request(robots=["franka-fr3"], gpus=1, timeout=600) as grant:
        env = gymnasium.make("User/PegInsert-real-v0", robot=grant.robots[0].id)

Jobs stand in one line across processes (`line`): a job may only be served before another if it takes nothing that the other
could use. A grant ends with its process. Nothing here waits while it holds a device, so jobs that ask once for all they need
never block each other for ever; one that asks for more while it holds a grant waits until its time-out at most.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple

from user_gym.core import Device, Inventory
from user_gym.errors import BadOption, Busy, NoRobot, UnknownName
from user_gym.robots import inventory, lease, line, locks, notes
from user_gym.robots.address import physical
from user_gym.robots.lease import Hold
from user_gym.robots.line import Place, Ticket

_POLL = 0.03  # s between two looks at the line


class _Item(NamedTuple):
    device: Device
    address: str  # the physical one
    named: bool  # by its id: then also where its driver process holds it after its program has ended


_Choice = tuple[_Item, ...]  # a device, and what comes with it
_Slots = Sequence[Sequence[_Choice]]  # for each thing asked for, what could serve it


class Grant:
    """Devices that belong to this process until `release`. Each is lent to the next environment here that asks for it."""

    def __init__(self, devices: Sequence[Device], holds: Sequence[Hold]) -> None:
        self.devices = tuple(devices)
        self._holds = tuple(holds)

    @property
    def robots(self) -> tuple[Device, ...]:
        """The robots, in the order in which they were asked for."""
        return tuple(d for d in self.devices if d.kind == "robot")

    @property
    def cameras(self) -> tuple[Device, ...]:
        """The cameras asked for, and those that belong to the robots."""
        return tuple(d for d in self.devices if d.kind == "camera")

    @property
    def gpus(self) -> tuple[Device, ...]:
        """The GPUs; the address of one is what CUDA_VISIBLE_DEVICES wants to hear."""
        return tuple(d for d in self.devices if d.kind == "gpu")

    def release(self) -> None:
        """Let go of all devices. An environment that uses one keeps it until it is closed. May be called twice."""
        for hold in self._holds:
            hold.release()

    def __enter__(self) -> Grant:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class Pool:
    """The devices of this machine.

    Args:
        inventory: what there is; None: the machine's inventory file and GPUs, read anew at each request.
    """

    def __init__(self, inventory: Inventory | None = None) -> None:
        self._inventory = inventory

    def request(
        self,
        robots: Sequence[str] = (),
        cameras: Sequence[str] = (),
        gpus: int = 0,
        timeout: float = 0.0,
        priority: int = 0,
    ) -> Grant:
        """Wait until everything asked for is free and it is this job's turn, then take it all.

        Args:
            robots: ids or models, one per robot wanted; a robot brings its cameras. One that is named by its id is taken over
                where its driver process still holds it after the program of this user that drove it has ended.
            cameras: ids or models of cameras besides those.
            gpus: how many.
            timeout: s; 0: now or never.
            priority: higher comes first; equal ones in the order of asking.

        Raises:
            UnknownName: no device has this id or model.
            BadOption: a number that is none.
            NoRobot: there will never be enough healthy devices, however long one waits; the message lists them.
            Busy: not free within `timeout`; the message names the owners, and who waits ahead.
        """
        if not (type(gpus) is int and gpus >= 0):
            raise BadOption("gpus", gpus, "a whole number from 0")
        if not timeout >= 0:
            raise BadOption("timeout", timeout, "seconds from 0")
        deadline = time.monotonic() + timeout
        slots = self._slots(self._read(gpus > 0), robots, cameras, gpus)
        candidates = tuple(sorted({item.address for item in _items(slots)}))
        now, command = time.monotonic(), notes.command()
        ticket = Ticket(tuple(robots), tuple(cameras), gpus, priority, candidates, os.getpid(), command, now)
        with Place(ticket) as place:
            while True:
                with locks.alone("line.lock", deadline):
                    grant = _grant(slots, place)
                if grant is not None:
                    return grant
                if time.monotonic() >= deadline:
                    raise Busy(_refusal(slots, place, timeout))
                time.sleep(min(_POLL, max(deadline - time.monotonic(), 0.0)))

    def queue(self) -> tuple[Ticket, ...]:
        """Who waits on this machine, the next one first."""
        return line.waiting()

    def _read(self, gpus: bool) -> Inventory:
        if self._inventory is not None:
            return self._inventory
        found = inventory.read()
        if not gpus:
            return found
        from user_gym.robots.probes import gpu

        return Inventory((*found.devices, *gpu.find()))

    def _slots(self, known: Inventory, robots: Sequence[str], cameras: Sequence[str], gpus: int) -> _Slots:
        """What could serve each request, robots with their cameras. Raises UnknownName, BadOption, NoRobot."""
        slots = [[(d, *_cameras(known, d)) for d in _named(known, "robot", name)] for name in robots]
        slots += [[(d,) for d in _named(known, "camera", name)] for name in cameras]
        slots += [[(d,) for d in known.of_kind("gpu") if d.healthy]] * gpus
        places = {d.id: physical(d) for slot in slots for choice in slot for d in choice}
        asked = {*robots}
        items = [[tuple(_Item(d, places[d.id], d.id in asked) for d in choice) for choice in slot] for slot in slots]
        if _assign(items, lambda _: True) is None:
            wanted = [*robots, *cameras, *([f"{gpus} GPUs"] if gpus else [])]
            there = [f"{d.id} ({d.model}{'' if d.healthy else f', bad: {d.reason}'})" for d in known.devices]
            raise NoRobot(f"this machine can never grant {', '.join(wanted)} at once; it has: {', '.join(there) or 'nothing'}")
        return items


def _named(known: Inventory, kind: str, name: str) -> list[Device]:
    """The healthy devices that an id or a model means. Cameras of a robot come with the robot only."""
    devices = known.of_kind(kind)
    found = [d for d in devices if d.id == name] or [d for d in devices if d.model == name and (kind == "robot" or not d.robot)]
    if not found:
        raise UnknownName(kind, name, {word for d in devices for word in (d.id, d.model)}, "user-gym devices lists them")
    if kind == "camera" and found[0].robot:
        raise BadOption(
            "camera", name, "one that belongs to no robot", f"ask for the robot {found[0].robot!r}: it brings this one"
        )
    return [d for d in found if d.healthy]


def _cameras(known: Inventory, robot: Device) -> tuple[Device, ...]:
    return tuple(d for d in known.attached(robot.id) if d.kind == "camera" and d.healthy)


def _items(slots: _Slots) -> tuple[_Item, ...]:
    """Every device that could serve, once."""
    return tuple({item.device.id: item for slot in slots for choice in slot for item in choice}.values())


def _assign(slots: _Slots, usable: Callable[[_Item], bool]) -> list[_Choice] | None:
    """One choice for each slot, no device twice, all usable; None if there is no such assignment.

    A slot is one id, all of one model, or all GPUs: of two slots one contains the other, or they share nothing. Serving those
    with the fewest choices first then finds an assignment wherever there is one.
    """
    chosen: dict[int, _Choice] = {}
    used: set[str] = set()
    for number in sorted(range(len(slots)), key=lambda n: len(slots[n])):
        for choice in slots[number]:
            if used.isdisjoint(item.device.id for item in choice) and all(map(usable, choice)):
                chosen[number] = choice
                used.update(item.device.id for item in choice)
                break
        else:
            return None
    return [chosen[number] for number in range(len(slots))]


def _grant(slots: _Slots, place: Place) -> Grant | None:
    """Take everything, or nothing. Called by one process at a time."""
    claimed = {address for ticket in place.ahead() for address in ticket.candidates}
    free = {item.device.id for item in _items(slots) if item.address not in claimed and _free(item)}
    choices = _assign(slots, lambda item: item.device.id in free)
    if choices is None:
        return None
    holds: list[Hold] = []
    with ExitStack() as otherwise:
        for item in (item for choice in choices for item in choice):
            hold = lease.attempt(item.device, item.address, own=False, adopt=item.named)
            if hold is None:  # an environment took it without asking the pool
                return None
            otherwise.callback(hold.release)
            holds.append(hold)
        otherwise.pop_all()
    for hold in holds:
        hold.lend()
    return Grant([item.device for choice in choices for item in choice], holds)


def _free(item: _Item) -> bool:
    owner = lease.holder(item.device, item.address)
    return owner is None or owner.passing or (item.named and owner.waiting)


def _refusal(slots: _Slots, place: Place, timeout: float) -> str:
    parts = [f"not everything was free within {timeout:g} s"]
    for item in _items(slots):
        if (owner := lease.holder(item.device, item.address)) is not None:
            parts.append(f"{item.device.id!r} is leased {notes.describe(owner)}")
    parts += [f"pid {ticket.pid} waits ahead: {ticket.command}" for ticket in place.ahead()]
    return "; ".join(parts)
