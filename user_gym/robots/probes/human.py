"""SpaceMice and gamepads on this machine, as the kernel lists them, and whether this user may read them. None is opened."""

from __future__ import annotations

import os
from pathlib import Path

from user_gym.core import Device
from user_gym.errors import LinkLost

_RAW, _INPUT = Path("/sys/class/hidraw"), Path("/sys/class/input")
_SPACE = ("3dconnexion", "spacemouse", "spacenavigator", "spacepilot", "space explorer")


def find() -> tuple[Device, ...]:
    """Each device, with the file to read it by as its address."""
    found = []
    for entry in sorted(_RAW.glob("hidraw*")):
        name = _name(entry / "device" / "uevent", "HID_NAME=")
        if any(word in name.lower() for word in _SPACE):
            found.append(_device(entry.name, "spacemouse", name))
    for entry in sorted(_INPUT.glob("js*")):
        found.append(_device(entry.name, "gamepad", _name(entry / "device" / "name", "")))
    return tuple(found)


def ask(model: str, address: str) -> str:
    """Which device is there. Raises LinkLost where none is, or this user may not read it."""
    if model == "keyboard":
        return "of the terminal"
    there = [d for d in find() if d.model == model]
    if address and Path(address).exists():
        there = [d for d in there if Path(d.address).resolve() == Path(address).resolve()] or [_device(address, model, "")]
    elif address or not there:
        listed = ", ".join(d.address for d in there)
        raise LinkLost(f"no {model} {f'at {address}' if address else 'is plugged in'}; there are: {listed or 'none'}")
    usable = [d for d in there if d.healthy]
    if not usable:
        raise LinkLost(there[0].reason)
    return usable[0].reason


def _device(name: str, model: str, words: str) -> Device:
    path = name if name.startswith("/") else f"/dev/{name}" if model == "spacemouse" else f"/dev/input/{name}"
    if os.access(path, os.R_OK):
        return Device(Path(name).name, "teleop", model, path, reason=words)
    cure = "add a udev rule, or this user to the group 'input'"
    return Device(Path(name).name, "teleop", model, path, healthy=False, reason=f"{path} may not be read by this user; {cure}")


def _name(path: Path, key: str) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:  # unplugged this moment
        return ""
    return next((line.removeprefix(key) for line in lines if line.startswith(key)), "")
