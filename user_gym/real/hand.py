"""What every device of a human's hand has in common: six axes and a few buttons become the actions of `control="tcp"`.

A Teleop that knows no device: a decoder says which axis is where and what was pressed; here that becomes an order in
[-1, 1], in the base frame of the robot, with dead zone, speed and gripper.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from user_gym.core import F64, RobotState, TeleopOrder
from user_gym.errors import BadOption, Closed
from user_gym.real.reader import Reader, Source
from user_gym.robots import stop

_log = logging.getLogger(__name__)


class Button(Enum):
    """What a person can say besides moving."""

    GRIPPER = "gripper"  # open if closed, close if open
    SUCCESS = "success"
    FAILURE = "failure"
    TERMINATE = "terminate"  # end the episode without a verdict
    RERECORD = "rerecord"  # end it and drop it
    STOP = "stop"  # every robot of this user, at once


@dataclass(frozen=True, slots=True)
class Feel:
    """How a device feels in the hand.

    Raises:
        BadOption: a value is not allowed.
    """

    dead_zone: float = 0.1  # of an axis' full way; inside, nothing moves
    speed: tuple[float, float] = (1.0, 1.0)  # largest action of a translation, of a rotation; 0 < s <= 1
    facing: float = 0.0  # rad about the base's z: where the person looks; 0: stands behind the robot, pi: opposite to it
    hold: float = 0.5  # s after the last movement that the person keeps the robot, so that the policy does not jump in

    def __post_init__(self) -> None:
        if not 0.0 <= self.dead_zone < 1.0:
            raise BadOption("dead_zone", self.dead_zone, "0 to below 1")
        if len(self.speed) != 2 or not all(0.0 < s <= 1.0 for s in self.speed):
            raise BadOption("speed", self.speed, "(translation, rotation), each above 0, at most 1")
        if not math.isfinite(self.facing):
            raise BadOption("facing", self.facing, "a finite angle in rad")
        if not 0.0 <= self.hold < math.inf:
            raise BadOption("hold", self.hold, "0 or more, in s")

    def action(self, axes: F64) -> F64:
        """Axes (6,) as the person sees them to an action (6,) in the base frame, both in [-1, 1]."""
        size = np.abs(axes)
        out = np.sign(axes) * np.maximum(size - self.dead_zone, 0.0) / (1.0 - self.dead_zone)
        c, s = math.cos(self.facing), math.sin(self.facing)
        for first in (0, 3):
            x, y = out[first : first + 2]
            out[first : first + 2] = c * x - s * y, s * x + c * y
        out *= np.repeat(self.speed, 3)
        return np.clip(out, -1.0, 1.0)


class Hand(ABC):
    """A Teleop read by a thread of its own, latest value; a subclass decodes what its device says.

    While the device is unplugged it is inactive, and it is back as soon as it is plugged in again. Axes, for decoders: what
    a person means who looks along the base's +x: forward, left, up, then rotations about these (right-handed).

    Args:
        source: the device.
        gripper: whether the task moves the gripper: actions have seven entries then, else six.
        feel: dead zone, speed, direction of view.
        lasting: s that an axis stays where it was last said to be, unless it is said again.
        on_stop: called on the reader's thread when the person wants every robot to stop.
        clock: monotonic, s.
    """

    def __init__(
        self,
        source: Source[Any],
        gripper: bool,
        feel: Feel,
        lasting: float,
        on_stop: Callable[[], object] = stop.tell,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = source.name
        self._gripper, self._feel, self._lasting, self._on_stop, self._clock = gripper, feel, lasting, on_stop, clock
        self._reader: Reader[Any] = Reader(source, self.decode, self._forget)
        self._lock = threading.Lock()
        self._axes, self._said = np.zeros(6), np.full(6, -np.inf)  # where each is, and since when
        self._moved = -np.inf  # s, when the person last moved something
        self._pressed: set[Button] = set()
        self._fingers: float | None = None  # -1 closed, 1 open; None: as the robot has them

    def connect(self) -> None:
        """Open the device. Raises LinkLost where it is not there, MissingSystem where it may not be read."""
        self._reader.connect()

    def reset(self) -> None:
        """A new episode begins: what was pressed before does not count, and the gripper is what the robot says."""
        with self._lock:
            self._pressed.clear()
            self._fingers = None

    def read(self, state: RobotState) -> TeleopOrder:
        """The newest order; never blocks. Raises Closed, or RobotFault where nobody reads the device any more."""
        if not self._reader.running:
            raise Closed(f"{self.name} is not connected; call connect()")
        self._reader.check()
        now = self._clock()
        with self._lock:
            axes = self._feel.action(np.where(now - self._said <= self._lasting, self._axes, 0.0))
            pressed, self._pressed = self._pressed, set()
            if self._fingers is None:
                self._fingers = 1.0 if float(state.gripper) > 0.5 else -1.0
            if Button.GRIPPER in pressed and self._gripper:
                self._fingers = -self._fingers
                self._moved = now
            if axes.any():
                self._moved = now
            active = now - self._moved <= self._feel.hold
            fingers = [self._fingers] if self._gripper else []
        verdict = False if Button.FAILURE in pressed else True if Button.SUCCESS in pressed else None
        action = np.concatenate([axes, fingers]).astype(np.float32)
        return TeleopOrder(action, active, verdict, Button.TERMINATE in pressed, Button.RERECORD in pressed)

    def close(self) -> None:
        """End the thread and release the device; may be called twice."""
        self._reader.close()

    @abstractmethod
    def decode(self, said: Any) -> None:
        """Take what the device said, on the reader's thread: call `move` and `press`."""

    def move(self, axis: int, value: float) -> None:
        """An axis is now at value, in [-1, 1]."""
        with self._lock:
            now = self._clock()
            if max(abs(value), abs(self._axes[axis])) > self._feel.dead_zone:
                self._moved = now
            self._axes[axis] = min(max(value, -1.0), 1.0)
            self._said[axis] = now

    def press(self, button: Button) -> None:
        """A button went down."""
        if button is Button.STOP:
            self._stop_all()
        with self._lock:
            self._pressed ^= {button} if button is Button.GRIPPER else {button} - self._pressed

    def _stop_all(self) -> None:
        """Whatever goes wrong with it, the device is read on: the person may press again."""
        try:
            told = self._on_stop()
        except Exception:
            _log.exception("%s could not stop the robots", self.name)
            return
        if isinstance(told, stop.Told) and told.failed:
            _log.error("%s could not stop %s", self.name, "; ".join(told.failed))

    def _forget(self) -> None:
        """The device is gone: nobody pushes anything any more."""
        with self._lock:
            self._axes = np.zeros(6)
