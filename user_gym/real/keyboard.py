"""The keyboard of the terminal, read key by key. Needs no window system, no privilege and no package.

A terminal tells of keys that go down, not of keys that come up: a key moves for as long as LASTING, and repeats by itself
while it is held. The terminal is given back as it was at `close`, and when the process ends.
"""

from __future__ import annotations

import atexit
import os
import termios
import tty
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from user_gym.errors import LinkLost, MissingSystem
from user_gym.real.character import CharacterDevice
from user_gym.real.hand import Button, Feel, Hand
from user_gym.robots import stop

LASTING = 0.15  # s that one key press moves; terminals repeat a held key about every 0.03 s, at first after 0.25 s or more
MOVES = {
    "w": (0, 1.0), "s": (0, -1.0),
    "a": (1, 1.0), "d": (1, -1.0),
    "r": (2, 1.0), "f": (2, -1.0),
    "l": (3, 1.0), "j": (3, -1.0),
    "i": (4, 1.0), "k": (4, -1.0),
    "u": (5, 1.0), "o": (5, -1.0),
}  # fmt: skip
BUTTONS = {
    " ": Button.GRIPPER,
    "y": Button.SUCCESS,
    "n": Button.FAILURE,
    "t": Button.TERMINATE,
    "b": Button.RERECORD,
    "\x1b": Button.STOP,
}
HELP = """\
w s  forward, back      i k  pitch          y  success: ends the episode
a d  left, right        j l  roll           n  failure: ends the episode
r f  up, down           u o  yaw            t  end the episode without a verdict
space  open or close the gripper            b  end it and drop it: it will be recorded again
Esc  STOP every robot of this user (the emergency stop on the wall stays mandatory)
Capital letters move a quarter as fast."""
SLOW = 0.25


class Keyboard(Hand):
    """Keys as in HELP.

    Args:
        path: of a terminal; /dev/tty is the one that this process was started from.
        gripper, feel, on_stop, clock: as in `Hand`.
    """

    help = HELP

    def __init__(
        self,
        path: str = "/dev/tty",
        gripper: bool = False,
        feel: Feel | None = None,
        on_stop: Callable[[], object] = stop.tell,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(_Terminal(path), gripper, feel or Feel(), LASTING, on_stop, clock)

    def decode(self, said: bytes) -> None:
        """Some keys."""
        for key in keys(said):
            if key.lower() in MOVES:
                axis, value = MOVES[key.lower()]
                self.move(axis, value if key.islower() else SLOW * value)
            elif key.lower() in BUTTONS:
                self.press(BUTTONS[key.lower()])


def keys(piece: bytes) -> Iterator[str]:
    """Single keys. Arrows and function keys, which begin with Esc, are left out; where in doubt, it was Esc."""
    at = 0
    while at < len(piece):
        key = chr(piece[at])
        at += 1
        if key == "\x1b" and piece[at : at + 1] in (b"[", b"O"):  # ECMA-48: CSI or SS3, then up to a final byte
            at += 1
            while at < len(piece) and not 0x40 <= piece[at] <= 0x7E:
                at += 1
            at += 1
            continue
        yield key


class _Terminal(CharacterDevice):
    """A terminal without echo that gives each key at once; Ctrl-C still interrupts."""

    def __init__(self, path: str) -> None:
        super().__init__(f"keyboard of {path}", 256, "run this in a terminal of your own")
        self._path = path
        self._before: list[Any] | None = None

    def open(self, path: str = "") -> None:
        try:
            super().open(path or self._path)
            before = termios.tcgetattr(self.file)
        except (LinkLost, termios.error) as error:
            raise MissingSystem(f"{self.name}: {error}; run this in a terminal, or use a gamepad or SpaceMouse") from error
        if _in_background(self.file):  # reading would stop the whole process (SIGTTIN)
            raise MissingSystem(f"{self.name}: this process is in the background; bring it to the front: fg")
        self._before = before
        tty.setcbreak(self.file, termios.TCSANOW)
        atexit.register(self.close)

    def close(self) -> None:
        """Give the terminal back as it was."""
        before, self._before = self._before, None
        if before is not None:
            atexit.unregister(self.close)
            try:
                termios.tcsetattr(self.file, termios.TCSANOW, before)
            except termios.error as error:
                if self.file >= 0 and os.isatty(self.file):  # else its window was closed
                    raise LinkLost(f"{self.name} cannot be given back: {error}; type: reset") from error
        super().close()


def _in_background(file: int) -> bool:
    try:
        return os.tcgetpgrp(file) != os.getpgrp()
    except OSError:  # not the terminal that controls this process: it stops nobody
        return False
