"""What is there and well, now: the inventory and what is plugged in, each device asked by its probe, all at the same time.

A probe moves nothing and takes nothing. A leased device is not asked at all; while a robot is asked, the probe itself holds its
lease, so that no job can start in the middle. One that hangs is listed as bad and stops nobody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

from user_gym.core import Device, Inventory, Lease
from user_gym.errors import UserGymError
from user_gym.robots import inventory, lease, locks, specs
from user_gym.robots.address import physical
from user_gym.robots.probes import can, fci, gpu, human, twin, video

PATIENCE = 1.0  # s that one device has for each answer
_SPARE = 0.5  # s that a probe may take beside its two answers, of a side door and of the robot
_ANSWERS = 0.2  # s for the motors of a bus: they answer within a millisecond
_T = TypeVar("_T")


class Sighting(NamedTuple):
    """A device as it was found."""

    device: Device  # healthy, or with the reason why not
    lease: Lease | None  # whose it is; None: it was free


class Change(NamedTuple):
    """What became different between two looks at a device."""

    before: Sighting | None  # None: it is new
    now: Sighting | None  # None: it is gone


def examine(device: Device, timeout: float = PATIENCE) -> Device:
    """Ask a device that this process may use, and say how it is. Any failure is a reason, never an error.

    Args:
        device: as the inventory has it; one that is bad already stays as it is.
        timeout: s for each answer.
    """
    if not device.healthy:
        return device
    try:
        return replace(device, reason=ask(device, timeout))
    except UserGymError as error:
        return replace(device, healthy=False, reason=str(error))


def ask(device: Device, timeout: float = PATIENCE) -> str:
    """As `examine`: what a device that is well says of itself. Raises LinkLost, or what else is wrong with it."""
    match device.kind:
        case "robot":
            words = [twin.ask(device.model, device.twin, timeout)] if device.twin else []
            words.append(_robot(device, timeout))
            return "; ".join(words)
        case "camera":
            return video.ask(device.model, device.address)
        case "teleop":
            return human.ask(device.model, device.address)
        case _:
            return device.reason


def _robot(device: Device, timeout: float) -> str:
    if device.address.startswith("virtual:"):
        return "not asked: a virtual bus ends at the border of its process"
    match specs.spec(device.model).family:
        case "franka":
            return fci.ask(device.model, device.address, timeout)
        case "arx":
            return can.ask(device.model, device.address, min(timeout, _ANSWERS))
        case family:  # of another package
            return f"not asked: there is no probe for {family}"


def probe(device: Device, timeout: float = PATIENCE) -> Sighting:
    """As `examine`, but only if nobody has it."""
    if device.kind != "robot" or not device.healthy:
        return Sighting(examine(device, timeout), lease.holder(device) if device.healthy else None)
    hold = lease.attempt(device, own=False, passing=True)
    if hold is None:
        return Sighting(device, lease.holder(device))
    with hold:
        return Sighting(examine(device, timeout), None)


def look(known: Inventory | None = None, timeout: float = PATIENCE) -> tuple[Sighting, ...]:
    """All devices of this machine, in the inventory's order, then what is plugged in besides.

    Args:
        known: the inventory; None: read it.
        timeout: s for each answer.

    Raises:
        BadOption: the inventory cannot be read, or no folder for leases can be made.
    """
    return _look(known, timeout, {})


def watch(known: Inventory | None = None, period: float = 1.0, timeout: float = PATIENCE) -> Iterator[Change]:
    """Every change from now on, the first look being one of each device; it never ends.

    Args:
        known: the inventory; None: read it anew for each look.
        period: s between two looks.
        timeout: as for `look`.
    """
    before: dict[str, Sighting] = {}
    hanging: dict[str, threading.Thread] = {}
    due = time.monotonic()
    while True:
        now = {sighting.device.id: sighting for sighting in _look(known, timeout, hanging)}
        for id in [*now, *(id for id in before if id not in now)]:
            if before.get(id) != now.get(id):
                yield Change(before.get(id), now.get(id))
        before, due = now, max(due + period, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0.0))


def _look(known: Inventory | None, timeout: float, hanging: dict[str, threading.Thread]) -> tuple[Sighting, ...]:
    locks.folder()  # that there is none is an error, and no device's fault
    listed = (inventory.read() if known is None else known).devices
    devices = (*listed, *_plugged(listed, timeout, hanging))
    probes = {d.id: partial(probe, d, timeout) for d in devices}
    found = _together(probes, 2 * timeout + _SPARE, hanging)
    silent = "its probe has not come back; the device or its driver hangs"
    return tuple(found.get(d.id) or Sighting(replace(d, healthy=False, reason=silent), None) for d in devices)


def _plugged(listed: Sequence[Device], timeout: float, hanging: dict[str, threading.Thread]) -> Sequence[Device]:
    """What is plugged in and not listed."""
    finds = {find.__module__: find for find in (video.find, human.find, gpu.find)}
    found = [device for devices in _together(finds, timeout, hanging).values() for device in devices]
    if any(d.model == "realsense" for d in listed):  # which of them is which, only librealsense can tell
        found = [d for d in found if d.model != "realsense"]
    places, ids = {physical(d, resolve=False) for d in listed}, {d.id for d in listed}
    return [d for d in found if d.id not in ids and physical(d, resolve=False) not in places]


def _together(jobs: Mapping[str, Callable[[], _T]], patience: float, hanging: dict[str, threading.Thread]) -> dict[str, _T]:
    """Results of the jobs that end within `patience` (s). `hanging`: earlier ones that have not; none is sent after them."""
    results: dict[str, _T] = {}

    def run(name: str, job: Callable[[], _T]) -> None:
        results[name] = job()

    for name in [name for name, thread in hanging.items() if not thread.is_alive()]:
        del hanging[name]
    threads = {
        name: threading.Thread(target=run, args=(name, job), name=f"probe of {name}", daemon=True)
        for name, job in jobs.items()
        if name not in hanging
    }
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + patience
    for name, thread in threads.items():
        thread.join(max(deadline - time.monotonic(), 0.0))
        if thread.is_alive():
            hanging[name] = thread
    return {name: results[name] for name in jobs if name in results}
