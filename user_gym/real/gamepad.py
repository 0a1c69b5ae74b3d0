"""Gamepads, by the events of Linux' /dev/input/event*, as the kernel's gamepad document names sticks and buttons."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from user_gym.errors import BadOption, LinkLost
from user_gym.real.character import CharacterDevice
from user_gym.real.hand import Button, Feel, Hand
from user_gym.robots import stop

EVENT = struct.Struct("@llHHi")  # struct input_event: seconds, microseconds, type, code, value
KEY, ABSOLUTE, SYNCHRONISE, DROPPED = 1, 3, 0, 3  # linux/input-event-codes.h
GAMEPAD = 0x130  # the button that every gamepad has, and nothing else
# Code of an absolute axis -> axis of the hand and its sign. Sticks count to the right and towards the person.
AXES = {
    0x00: (1, -1.0),  # left stick: left
    0x01: (0, -1.0),  # left stick: forward
    0x03: (5, -1.0),  # right stick: turn about the vertical
    0x04: (2, -1.0),  # right stick: up
    0x10: (3, 1.0),  # cross: lean to the right
    0x11: (4, -1.0),  # cross: lean forward
}
BUTTONS = {
    0x130: Button.GRIPPER,  # south: A, cross
    0x131: Button.STOP,  # east: B, circle
    0x133: Button.SUCCESS,  # north: Y, triangle
    0x134: Button.RERECORD,  # west: X, square
    0x13A: Button.FAILURE,  # select
    0x13B: Button.TERMINATE,  # start
}
CURE = "sudo usermod -aG input $USER, then log in anew"
_SYS = Path("/sys/class/input")


class Event(NamedTuple):
    """One change."""

    kind: int
    code: int
    value: int | float  # of an absolute axis: -1 .. 1


class Gamepad(Hand):
    """Left stick: in the plane; right stick: up and turn; cross: lean; buttons as in `BUTTONS`.

    Args:
        path: such as /dev/input/event5 or /dev/input/js0; empty: the first one plugged in, looked for at each connect.
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
        # A stick that is held still says nothing: it stays where it is.
        super().__init__(_Evdev(path), gripper, feel or Feel(), float("inf"), on_stop, clock)

    def decode(self, said: list[Event]) -> None:
        """Some changes."""
        for event in said:
            if event.kind == ABSOLUTE and event.code in AXES:
                axis, sign = AXES[event.code]
                self.move(axis, sign * event.value)
            elif event.kind == KEY and event.code in BUTTONS and event.value == 1:  # 0: released, 2: repeated
                self.press(BUTTONS[event.code])


def events(piece: bytes) -> Iterator[tuple[int, int, int]]:
    """(type, code, value) of each whole event in a piece of bytes."""
    for _, _, kind, code, value in EVENT.iter_unpack(piece[: len(piece) // EVENT.size * EVENT.size]):
        yield kind, code, value


def find(root: Path = _SYS) -> str:
    """The first gamepad plugged in, such as /dev/input/event5. Raises LinkLost where there is none."""
    for entry in sorted(root.glob("event*"), key=lambda path: int(path.name.removeprefix("event"))):
        words = (entry / "device" / "capabilities" / "key").read_text().split()  # 64 bits each, the highest first
        place, bit = divmod(GAMEPAD, 64)
        if len(words) > place and int(words[-1 - place], 16) >> bit & 1:
            return f"/dev/input/{entry.name}"
    raise LinkLost("no gamepad is plugged in")


def events_of(path: str, root: Path = _SYS) -> str:
    """The event device of a joystick device: /dev/input/js0 is what discovery lists."""
    if not Path(path).name.startswith("js"):
        return path
    for entry in (root / Path(path).name / "device").glob("event*"):
        return f"/dev/input/{entry.name}"
    raise LinkLost(f"{path} is not plugged in")


class _Evdev(CharacterDevice):
    """Changes as lists of events; where the sticks are when it is opened comes first."""

    def __init__(self, path: str) -> None:
        if path and not path.startswith("/"):
            raise BadOption("path", path, "a device such as /dev/input/event5, or '' for the first gamepad")
        super().__init__(f"gamepad {path}".strip(), 64 * EVENT.size, CURE)
        self._path = path
        self._ranges: dict[int, tuple[float, float]] = {}  # middle and half of each axis
        self._first: list[Event] = []

    def open(self, path: str = "") -> None:
        super().open(path or (events_of(self._path) if self._path else find()))
        self._ranges, self._first = {}, []
        for code in AXES:
            value, low, high = self._absolute(code)
            if high > low:
                self._ranges[code] = (low + high) / 2, (high - low) / 2
                self._first.append(Event(ABSOLUTE, code, self._unit(code, value)))

    def read(self) -> list[Event] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._first:
            first, self._first = self._first, []
            return first
        piece = super().read()
        if piece is None:
            return None
        said = []
        for kind, code, value in events(piece):
            if kind == SYNCHRONISE and code == DROPPED:
                raise LinkLost(f"{self.name}: the kernel dropped events; where the sticks are is asked anew")
            if kind == ABSOLUTE and code in self._ranges:
                said.append(Event(kind, code, self._unit(code, value)))
            elif kind == KEY:
                said.append(Event(kind, code, value))
        return said

    def _unit(self, code: int, value: int) -> float:
        middle, half = self._ranges[code]
        return (value - middle) / half

    def _absolute(self, code: int) -> tuple[int, int, int]:
        """Value, lowest and highest of an axis; all 0 where the pad has no such axis."""
        request = 2 << 30 | 24 << 16 | ord("E") << 8 | 0x40 + code  # EVIOCGABS: read struct input_absinfo, six ints
        try:
            info = fcntl.ioctl(self.file, request, bytes(24))
        except OSError:  # it has no such axis
            return 0, 0, 0
        return struct.unpack_from("@iii", info)
