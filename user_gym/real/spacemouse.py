"""SpaceMice of 3Dconnexion, by the raw HID reports of Linux' /dev/hidraw*. No library and no daemon is needed.

Report 1 carries the translation and report 2 the rotation, three 16-bit numbers each; wireless and Pro models put all six
into report 1. Report 3 is a bit field of buttons. Full deflection is about 350. (The formats are those that pyspacemouse,
spacenavd and libspnav agree on.) A deflected cap reports on and on, about every 10 ms.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from user_gym.errors import BadOption, LinkLost
from user_gym.real.character import CharacterDevice
from user_gym.real.hand import Button, Feel, Hand
from user_gym.robots import stop

FULL = 350.0  # counts at full deflection
LASTING = 0.5  # s: a cap that says nothing for so long is not being pushed
BUTTONS = {0: Button.GRIPPER, 1: Button.SUCCESS}  # left and right; on most models there are no others
VENDORS = (0x256F, 0x046D)  # 3Dconnexion; Logitech, who sold the earlier ones
LOGITECH = range(0xC603, 0xC62C)  # products of that vendor that are SpaceMice; others are ordinary mice
UDEV = 'KERNEL=="hidraw*", ATTRS{idVendor}=="256f", TAG+="uaccess"'
CURE = f"write {UDEV} to /etc/udev/rules.d/70-spacemouse.rules, then plug it in anew"
_SYS = Path("/sys/class/hidraw")


class SpaceMouse(Hand):
    """A six-axis mouse. Left button: gripper; right button: success; both at once: terminate the episode.

    Args:
        path: such as /dev/hidraw3; empty: the first one plugged in, looked for at each connect.
        gripper, feel, on_stop, clock: as in `Hand`.
    """

    def __init__(
        self,
        path: str = "",
        gripper: bool = False,
        feel: Feel | None = None,
        on_stop: Callable[[], object] = stop.tell,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(_HidRaw(path), gripper, feel or Feel(), LASTING, on_stop, clock)
        self._down = 0

    def decode(self, said: bytes) -> None:
        """One HID report."""
        for axis, value in motion(said).items():
            self.move(axis, value)
        held = buttons(said)
        if held is not None:
            fresh, self._down = held & ~self._down, held
            if fresh and held & 3 == 3:
                self.press(Button.TERMINATE)
                return
            for bit, button in BUTTONS.items():
                if fresh >> bit & 1:
                    self.press(button)


def motion(report: bytes) -> dict[int, float]:
    """Axes of one report: 0 forward, 1 left, 2 up, 3 .. 5 rotations about them; none in a report of another kind."""
    if not report or report[0] not in (1, 2) or len(report) < 7:
        return {}
    count = 6 if report[0] == 1 and len(report) >= 13 else 3
    # The device's own axes: x to the right, y towards the person, z down; so are its rotations, right-handed.
    values = [value / FULL for value in struct.unpack_from(f"<{count}h", report, 1)]
    first = 3 if report[0] == 2 else 0
    found = {}
    for start in range(0, count, 3):
        right, towards, down = values[start : start + 3]
        for axis, value in enumerate((-towards, -right, -down)):
            found[first + start + axis] = value
    return found


def buttons(report: bytes) -> int | None:
    """Which buttons are down, as bits; None in a report of another kind."""
    if len(report) < 2 or report[0] != 3:
        return None
    return int.from_bytes(report[1:5], "little")


def find(root: Path = _SYS) -> str:
    """The first SpaceMouse plugged in, such as /dev/hidraw3. Raises LinkLost where there is none."""
    for entry in sorted(root.glob("hidraw*"), key=lambda path: int(path.name.removeprefix("hidraw"))):
        for line in (entry / "device" / "uevent").read_text(errors="replace").splitlines():
            key, _, value = line.partition("=")
            if key != "HID_ID":
                continue
            _, vendor, product = (int(part, 16) for part in value.split(":"))  # bus:vendor:product
            if vendor in VENDORS and (vendor == VENDORS[0] or product in LOGITECH):
                return f"/dev/{entry.name}"
    raise LinkLost("no SpaceMouse is plugged in")


class _HidRaw(CharacterDevice):
    """One report a read."""

    def __init__(self, path: str) -> None:
        if path and not path.startswith("/"):
            raise BadOption("path", path, "a device such as /dev/hidraw3, or '' for the first SpaceMouse")
        super().__init__(f"SpaceMouse {path}".strip(), 64, CURE)
        self._path = path

    def open(self, path: str = "") -> None:
        super().open(path or self._path or find())
