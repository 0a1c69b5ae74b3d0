"""SpaceMice and gamepads on this machine, as the kernel lists them, and whether this user may read them. None is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from user_gym.core import Device
from user_gym.errors import LinkLost

_RAW, _INPUT = Path("/sys/class/hidraw"), Path("/sys/class/input")
_3DCONNEXION, _LOGITECH = 0x256F, 0x046D  # who sells SpaceMice now, and who did
_LOGITECHS_SPACEMICE = range(0xC603, 0xC62C)  # its other products are ordinary mice
_GAMEPAD = 0x130  # the button that every gamepad has, and nothing else (linux/input-event-codes.h: BTN_GAMEPAD)


def find() -> tuple[Device, ...]:
    """Each device, with the file to read it by as its address."""
    return (*_spacemice(), *_gamepads())


def ask(model: str, address: str) -> str:
    """Which device is there. Raises LinkLost where none is, or this user may not read it."""
    if model == "keyboard":
        return "of the terminal"
    there = [d for d in find() if d.model == model]
    if address and Path(address).exists():  # also one by another name, such as /dev/input/js0 or a link of udev
        there = [d for d in there if Path(d.address).resolve() == Path(address).resolve()] or [_device(address, model, address)]
    elif address or not there:
        listed = ", ".join(d.address for d in there)
        raise LinkLost(f"no {model} {f'at {address}' if address else 'is plugged in'}; there are: {listed or 'none'}")
    usable = [d for d in there if d.healthy]
    if not usable:
        raise LinkLost(there[0].reason)
    return usable[0].reason


def _spacemice() -> Iterator[Device]:
    for entry in sorted(_RAW.glob("hidraw*")):
        lines = _text(entry / "device" / "uevent").splitlines()
        _, vendor, product = (int(part, 16) for part in _value(lines, "HID_ID", "0:0:0").split(":"))
        if vendor == _3DCONNEXION or (vendor == _LOGITECH and product in _LOGITECHS_SPACEMICE):
            yield _device(f"/dev/{entry.name}", "spacemouse", _value(lines, "HID_NAME", ""))


def _gamepads() -> Iterator[Device]:
    for entry in sorted(_INPUT.glob("event*")):
        words = _text(entry / "device" / "capabilities" / "key").split()  # 64 bits each, the highest first
        place, bit = divmod(_GAMEPAD, 64)
        if len(words) > place and int(words[-1 - place], 16) >> bit & 1:
            yield _device(f"/dev/input/{entry.name}", "gamepad", _text(entry / "device" / "name"))


def _device(path: str, model: str, words: str) -> Device:
    if os.access(path, os.R_OK):
        return Device(Path(path).name, "teleop", model, path, reason=words)
    cure = "add a udev rule" if model == "spacemouse" else "sudo usermod -aG input $USER, then log in anew"
    return Device(Path(path).name, "teleop", model, path, healthy=False, reason=f"{path} may not be read by you; {cure}")


def _value(lines: Sequence[str], key: str, default: str) -> str:
    return next((line.removeprefix(f"{key}=") for line in lines if line.startswith(f"{key}=")), default)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # unplugged this moment
        return ""
