"""All motors of an arm, with their faults and their wire, in the twin's time. It knows no socket and no wall clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from user_gym.robots.wire import damiao
from user_gym.robots.wire.can_frame import Frame
from user_gym.sim.can.arm import CanArm
from user_gym.sim.can.faults import Faults
from user_gym.sim.can.motor import Motor
from user_gym.sim.can.wire import Wire

_THERMAL = 0.05  # s between two looks at the temperatures


class Drives:
    """Frames in, answers out, and time in ticks.

    Args:
        arm: whose shafts the motors turn.
        motors: in the order of its shafts, the gripper's last.
        wire: frames take its time; None: they take none.
        send: what to do with an answer.
    """

    def __init__(self, arm: CanArm, motors: Sequence[Motor], wire: Wire | None, send: Callable[[Frame], None]) -> None:
        self._arm, self._motors, self._wire, self._send = arm, motors, wire, send
        self.ids = {motor.id: i for i, motor in enumerate(motors)}
        self.faults = Faults({motor.id: motor for motor in motors})
        self._everyone = tuple(range(len(motors)))
        self._thermal = round(_THERMAL / arm.dt)
        self._tick, self._dt = 0, arm.dt

    @property
    def now(self) -> float:
        """s since the twin was made."""
        return self._tick * self._dt

    @property
    def moving(self) -> bool:
        """Whether any motor was told to hold, move or push."""
        return any(motor.active for motor in self._motors)

    def inject(self, name: str, **arguments: Any) -> None:
        """Begin a fault. Raises UnknownName, BadOption."""
        motor = self.faults.inject(name, **arguments)
        if motor is not None:
            self._arm.follow(self.ids[motor.id], motor.law)

    def hear(self, frame: Frame) -> None:
        """A member of the bus sends a frame now."""
        if self._wire is None:
            self._deliver(frame, self.now)
        else:
            self._wire.put(0, frame, self.now)

    def step(self, ticks: int) -> None:
        """Let time pass, from one event to the next. Raises RobotFault where the simulation diverges."""
        end = self._tick + ticks
        while self._tick < end:
            due = min(motor.deadline() for motor in self._motors)
            if self._wire is not None:
                due = min(due, self._wire.due())
            stop = min(end, self._tick - self._tick % self._thermal + self._thermal)
            if due < stop * self._dt:
                stop = min(stop, max(self._tick + 1, math.ceil(due / self._dt - 1e-6)))
            passed, self._tick = stop - self._tick, stop
            self._arm.step(passed)
            self._check()
            if self._wire is not None:
                for when, sender, frame in self._wire.arrived(self.now):
                    if sender:
                        self._send(frame)
                    else:
                        self._deliver(frame, when)

    def _check(self) -> None:
        now, warm = self.now, self._tick % self._thermal == 0
        for i, motor in enumerate(self._motors):
            if warm:
                motor.heat(self._arm.shaft(i).torque, self._thermal * self._dt)
            if motor.check(now):
                self._arm.follow(i, motor.law)

    def _deliver(self, frame: Frame, now: float) -> None:
        """A frame reaches the motors, and they answer."""
        one = self.ids.get(frame.id)
        if one is None and frame.id != damiao.REGISTERS:
            return
        for i in self._everyone if one is None else (one,):
            motor = self._motors[i]
            if motor.id in self.faults.deaf:
                continue
            law = motor.law
            answers = motor.hear(frame, self.faults.sense(motor.id, self._arm.shaft(i)), now)
            if motor.law is not law:
                self._arm.follow(i, motor.law)
            if self._arm.supported and motor.active and i < self._everyone[-1]:
                self._arm.release()
            for answer in answers:
                self._answer(motor.id, answer, now)

    def _answer(self, motor: int, answer: Frame, now: float) -> None:
        spoiled = self.faults.spoil(motor, answer)
        if spoiled is None:
            return
        if self._wire is None:
            self._send(spoiled)
        else:
            self._wire.put(motor, spoiled, now)
