"""Cameras on this machine, as the kernel lists them. None is opened: that could take it from its user."""

from __future__ import annotations

from pathlib import Path

from user_gym.core import Device
from user_gym.errors import LinkLost

_VIDEO = Path("/sys/class/video4linux")
_USB = Path("/sys/bus/usb/devices")


def find() -> tuple[Device, ...]:
    """Each V4L2 device that gives pictures, and each RealSense."""
    found = []
    for entry in sorted(_VIDEO.glob("video*"), key=lambda p: int(p.name.removeprefix("video"))):
        # Index 0 gives the pictures; the further ones of a camera give metadata.
        if _text(entry / "index") in ("0", "") and "RealSense" not in _text(entry / "name"):
            found.append(Device(entry.name, "camera", "opencv", f"/dev/{entry.name}", reason=_text(entry / "name")))
    for entry in _realsense():
        found.append(
            Device(f"usb-{entry.name}", "camera", "realsense", _text(entry / "serial"), reason=_text(entry / "product"))
        )
    return tuple(found)


def ask(model: str, address: str) -> str:
    """Name of a camera. Raises LinkLost where it is not plugged in or may not be read."""
    if model == "realsense":
        plugged = [_text(entry / "product") for entry in _realsense()]
        if not plugged:
            raise LinkLost(f"no RealSense is plugged in{f'; {address!r} is expected' if address else ''}")
        return f"{', '.join(plugged)} plugged in"  # the kernel knows another serial number than librealsense
    if model != "opencv":
        return f"not asked: there is no probe for {model}"
    if "://" in address:
        return "not asked: a stream"
    place = Path(f"/dev/video{address}" if address.isdecimal() else address)
    if not place.exists():
        there = ", ".join(d.address for d in find() if d.model == "opencv")
        raise LinkLost(f"no camera at {place}; there are: {there or 'none'}; plug it in, or correct the inventory")
    return _text(_VIDEO / place.resolve().name / "name")


def _realsense() -> list[Path]:
    return [p.parent for p in sorted(_USB.glob("*/product")) if "RealSense" in _text(p)]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # not there, or unplugged this moment
        return ""
