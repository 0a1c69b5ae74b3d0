"""What each kind of device needs on this machine, and whether it is there. Nothing is installed, opened or moved."""

from __future__ import annotations

import importlib.util
import os
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from user_gym.core import Device, Inventory, Lease
from user_gym.errors import UserGymError

_NETWORKS = Path("/sys/class/net")
_ARPHRD_CAN = "280"
_REALTIME = Path("/sys/kernel/realtime")
_LEAST_PRIORITY = 80  # of real time; libfranka asks for nearly the highest


class Verdict(Enum):
    """Of one finding."""

    THERE = "ok"
    MISSING = "MISSING"  # and the inventory needs it
    BAD = "BAD"  # a device of the inventory
    ABSENT = "-"  # and nothing in the inventory needs it


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str  # what it is for
    subject: str
    verdict: Verdict
    words: str = ""  # what was found
    cure: str = ""


class _Package(NamedTuple):
    area: str
    model: str  # of the devices that need it
    module: str
    distribution: str
    versions: tuple[int, int]  # major versions: first that will do, first that will not
    extra: str


# The same bounds as in pyproject.toml; a test compares them.
PACKAGES = (
    _Package("Franka FR3", "franka-fr3", "franky", "franky-control", (2, 3), "franka"),
    _Package("Franka FER", "franka-fer", "panda_py", "panda-python", (1, 2), "franka"),
    _Package("ARX", "arx-x5 arx-l5", "can", "python-can", (4, 5), "arx"),
    _Package("cameras", "opencv", "cv2", "opencv-python-headless", (4, 99), "camera"),
    _Package("cameras", "realsense", "pyrealsense2", "pyrealsense2", (2, 3), "camera"),
)


def examine(known: Inventory) -> list[Finding]:
    """All findings, the inventory's own devices first. Raises BadOption where no folder for leases can be made."""
    return [
        *_devices(known),
        *(_package(package, known) for package in PACKAGES),
        *_can(known),
        *_real_time(known),
        _pictures(),
        *_gpus(),
    ]


def _verdict(there: bool, needed: bool) -> Verdict:
    return Verdict.THERE if there else Verdict.MISSING if needed else Verdict.ABSENT


def _devices(known: Inventory) -> Iterator[Finding]:
    from user_gym.robots import discovery

    listed = {device.id for device in known.devices}
    for device, owner in discovery.look(known):
        if device.id in listed:
            words = device.reason if owner is None or not device.healthy else _owned(owner)
            yield Finding(device.kind, device.id, Verdict.THERE if device.healthy else Verdict.BAD, words)
        elif not device.healthy and device.kind != "gpu":  # plugged in, and cannot be used
            yield Finding(device.kind, device.id, Verdict.ABSENT, device.reason)


def _owned(owner: Lease) -> str:
    if owner.waiting:
        return f"held by its driver (pid {owner.pid}), waits for an owner or user-gym stop --release"
    return f"leased by pid {owner.pid}: {owner.command}"


def _package(package: _Package, known: Inventory) -> Finding:
    models = package.model.split()
    needed = any(device.model in models for device in known.devices)
    cure = f"pip install 'user-gym[{package.extra}]'"
    there = importlib.util.find_spec(package.module) is not None
    try:
        version = metadata.version(package.distribution)
    except metadata.PackageNotFoundError:
        if there and package.module == "cv2":  # OpenCV comes in several distributions
            return Finding(package.area, package.distribution, Verdict.THERE, "another distribution of OpenCV")
        words = f"a package of another project is called {package.module}, too" if there else ""
        return Finding(package.area, package.distribution, _verdict(False, needed), words, cure)
    first, end = package.versions
    fits = there and first <= int(version.partition(".")[0]) < end
    words = version if fits else f"{version}; needed: {first} or newer, before {end}"
    return Finding(package.area, package.distribution, _verdict(fits, needed), words, "" if fits else cure)


def _can(known: Inventory) -> Iterator[Finding]:
    needed = any(device.kind == "robot" and device.address.startswith("socketcan:") for device in known.devices)
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError as error:
        yield Finding("ARX", "SocketCAN", _verdict(False, needed), f"not in this kernel ({error})", "modprobe can_raw")
        return
    interfaces = sorted(p.parent.name for p in _NETWORKS.glob("*/type") if p.read_text().strip() == _ARPHRD_CAN)
    words = f"interfaces: {', '.join(interfaces) or 'none'}"
    cure = "" if interfaces else "plug in a CAN adapter: ip link set can0 up type can bitrate 1000000"
    yield Finding("ARX", "SocketCAN", _verdict(bool(interfaces), needed), words, cure)


def _real_time(known: Inventory) -> Iterator[Finding]:
    """Only hardware needs it: a twin waits."""
    needed = any(_is_franka_hardware(device) for device in known.devices)
    realtime = _REALTIME.exists() and _REALTIME.read_text().strip() == "1"
    cure = "" if realtime else "a kernel with PREEMPT_RT (Ubuntu: pro enable realtime-kernel); twins need none"
    yield Finding("Franka", "real-time kernel", _verdict(realtime, needed), os.uname().release, cure)
    limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    allowed = os.geteuid() == 0 or limit == resource.RLIM_INFINITY or limit >= _LEAST_PRIORITY
    cure = "" if allowed else "in /etc/security/limits.conf: @realtime - rtprio 99, and this user in the group realtime"
    yield Finding("Franka", "real-time priority", _verdict(allowed, needed), "" if allowed else f"up to {limit}", cure)


def _is_franka_hardware(device: Device) -> bool:
    return device.kind == "robot" and device.model.startswith("franka-") and device.healthy and device.twin is None


def _pictures() -> Finding:
    from user_gym.sim.painter import open_context

    try:
        open_context(16, 16).free()
    except UserGymError as error:
        return Finding("twins", "drawing pictures", Verdict.ABSENT, str(error))
    return Finding("twins", "drawing pictures", Verdict.THERE, os.environ.get("MUJOCO_GL", "egl"))


def _gpus() -> Iterator[Finding]:
    from user_gym.robots.probes import gpu

    found = gpu.find()
    if not found:
        yield Finding("learning", "GPU", Verdict.ABSENT, "NVML finds none; small policies train on the CPU")
    for device in found:
        yield Finding("learning", device.id, _verdict(device.healthy, needed=False), f"{device.model} {device.reason}".strip())
    there = importlib.util.find_spec("torch") is not None
    cure = "" if there else "pip install 'user-gym[train]'"
    yield Finding("learning", "torch", _verdict(there, needed=False), metadata.version("torch") if there else "", cure)
