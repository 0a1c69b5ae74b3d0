"""The firmware of one motor: which frames it answers, how, and which law it then follows. It knows no bus and no physics.

A motor is told what came and where its shaft is, and gives back its answers; between frames it has a law, torque = kp (position
- q) + kd (velocity - dq) + torque, here in N m at the joint. Guessed where nothing is public: a disabled DaMiao motor answers
orders; after a cleared fault it is disabled; an Encos motor follows its last order for ever.

What both makes share is here; `can_damiao` and `can_encos` are the two.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

from user_gym.robots.motors import Motor as MotorSpec
from user_gym.robots.wire.can_frame import Frame
from user_gym.robots.wire.mit import Mit

LIMP = Mit()
AMBIENT = 25.0  # deg C
# First order, and our own choice: what rated torque, for ever, heats rotor and driver by, and how fast.
ROTOR_RISE, ROTOR_TIME = 60.0, 300.0  # K, s
DRIVER_RISE, DRIVER_TIME = 30.0, 60.0
RATED_SHARE = 0.4  # of the peak torque; both DaMiao types are near it (3 of 7, 9 of 27)
OVERHEATED = 130.0  # deg C, of an injected fault


class Shaft(NamedTuple):
    """What a motor's own sensors say."""

    position: float  # rad
    velocity: float  # rad/s
    torque: float  # N m at the joint


class Motor(ABC):
    """What both makes share.

    Args:
        spec: which motor it is.
    """

    codes: Mapping[str, int]  # the faults that it can report, by name

    def __init__(self, spec: MotorSpec) -> None:
        self.id, self.kind = spec.id, spec.kind
        self.law = LIMP  # in N m
        self.active = False  # it was told to hold, move or push
        self.zero = 0.0  # rad of the shaft where its readout is 0
        self.rotor = self.driver = AMBIENT  # deg C
        self.fault: int | None = None  # code of an injected fault that no order can clear

    @abstractmethod
    def hear(self, frame: Frame, shaft: Shaft, now: float) -> list[Frame]:
        """Take a frame that may be meant for it, at `now` s; its answers."""

    @abstractmethod
    def check(self, now: float) -> bool:
        """Look at temperatures and the time since the last order; whether that ended its motion."""

    @abstractmethod
    def break_down(self, code: int) -> None:
        """Stop with this code until `heal`."""

    def deadline(self) -> float:
        """When (s) it next has to be checked even if nothing comes."""
        return math.inf

    def heat(self, torque: float, seconds: float) -> None:
        """Warm up or cool down under a constant torque (N m)."""
        load = (torque / (RATED_SHARE * self.kind.peak)) ** 2
        self.rotor += (AMBIENT + ROTOR_RISE * load - self.rotor) * seconds / ROTOR_TIME
        self.driver += (AMBIENT + DRIVER_RISE * load - self.driver) * seconds / DRIVER_TIME

    def heal(self) -> None:
        """End an injected fault; what has stopped stays stopped until it is told."""
        if self.fault is not None:
            self.fault, self.rotor, self.driver = None, AMBIENT, AMBIENT

    def _follow(self, order: Mit) -> None:
        scale = self.kind.order_scale
        position, velocity, kp, kd, torque = order
        self.law, self.active = Mit(position + self.zero, velocity, kp, kd, torque * scale), True

    def _stop(self) -> None:
        self.law, self.active = LIMP, False
