"""How an ARX arm is made ready without moving: look at it first, then clear, enable and hold each motor in one pass.

A pause between enabling and holding lets an arm in mid-air sag by 0.2 rad. Nothing is enabled where anything is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from user_gym.core import RobotSpec
from user_gym.errors import BadOption, LinkLost, Reflex
from user_gym.real.arx.law import Damp, Grip, Joints, Measured
from user_gym.real.arx.line import Line
from user_gym.real.arx.loop import Loop
from user_gym.robots.motors import MOST_TIMEOUT, Protocol
from user_gym.robots.wire.damiao import TIMEOUT_OFF, TIMEOUT_UNIT, ControlMode, Register, Special
from user_gym.robots.wire.mit import Mit

TRIES = 4  # rounds that a motor may be silent
_RANGE = 1e-3  # relative


class Ready(NamedTuple):
    """What a start needs besides its loop."""

    wait: Callable[[float], None]  # lets a cycle pass
    any_timeout: bool  # an operator takes motors whose TIMEOUT is off or long
    clear: bool  # an operator, or a reset after a fault, has fault codes cleared
    old: Loop | None = None  # stopped; it has damped the arm until now, and goes on if this start fails

    @property
    def last(self) -> Measured | None:
        """What that loop knew of the arm; None: nobody knows where it is."""
        return None if self.old is None or self.old.senses.dead else self.old.newest


def _damped(spec: RobotSpec, ready: Ready, dt: float) -> Sequence[Mit]:
    """What keeps each joint from dropping until its position is known: damping, and the weight that was carried last."""
    if ready.last is None:
        return [Mit(kd=damping) for damping in spec.joint_damping.tolist()]
    return Damp(spec).orders(ready.last, dt)


def check_registers(spec: RobotSpec, line: Line, ready: Ready, dt: float) -> None:
    """Compare what can be compared: DaMiao motors only. An Encos motor tells nothing of its ranges or a time-out.

    Nothing is ordered, unless an old loop carried the arm: then the joints go on being damped, with their weight.

    Raises:
        LinkLost: a motor does not answer.
        BadOption: a motor is set up otherwise than ARX does it.
    """
    asked = [i for i, m in enumerate(line.arm.motors) if m.kind.protocol is Protocol.DAMIAO]
    line.readings()
    registers = (
        Register.CONTROL_MODE,
        Register.TIMEOUT,
        Register.POSITION_RANGE,
        Register.VELOCITY_RANGE,
        Register.TORQUE_RANGE,
    )
    for register in registers:
        values = _read(spec, line, asked, register, ready, dt)
        for i in asked:
            motor = line.arm.motors[i]
            if i not in values:
                raise LinkLost(f"motor {motor.id} of {spec.name} on {line.address!r} tells no register; is it powered?")
            _check(f"{register.name} of motor {motor.id} of {spec.name}", register, values[i], motor.kind.ranges, ready)


def _read(spec: RobotSpec, line: Line, asked: list[int], register: Register, ready: Ready, dt: float) -> dict[int, float]:
    values: dict[int, float] = {}
    for _ in range(TRIES):
        for i in asked:
            if i not in values:
                line.ask(i, register)
        if ready.last is not None:
            for i, order in enumerate(_damped(spec, ready, dt)):
                line.order_one(i, order)
        ready.wait(dt)
        for reply in line.replies():
            for i in asked:
                if line.arm.motors[i].id == reply.motor and reply.register == register:
                    values[i] = reply.value
        if len(values) == len(asked):
            break
    return values


def _check(name: str, register: Register, value: float, ranges: tuple[float, ...], ready: Ready) -> None:
    if register is Register.CONTROL_MODE:
        if value != ControlMode.MIT:
            raise BadOption(name, value, f"{ControlMode.MIT.value} (MIT)", "set it with the vendor's tool")
    elif register is Register.TIMEOUT:
        seconds = value * TIMEOUT_UNIT
        if not ready.any_timeout and (value == TIMEOUT_OFF or seconds > MOST_TIMEOUT):
            cure = "set it with the vendor's tool, or pass any_timeout=True and stay at the emergency stop"
            raise BadOption(name, f"{seconds:g} s", f"above 0, at most {MOST_TIMEOUT} s (0 is never)", cure)
    else:
        wanted = ranges[register - Register.POSITION_RANGE]
        if not abs(value - wanted) <= _RANGE * wanted:
            raise BadOption(name, value, f"{wanted}", "every number on the wire would mean something else; is it an ARX arm?")


def wake(spec: RobotSpec, loop: Loop, line: Line, ready: Ready) -> None:
    """Enable all motors and hold them where they are.

    Raises:
        LinkLost: a motor does not answer.
        Reflex: a motor reports a fault, or does not let itself be enabled.
        Stopped: a position is none that the arm can have.
    """
    senses, motors = loop.senses, line.arm.motors
    encos = [m.kind.protocol is Protocol.ENCOS for m in motors]
    damped = _damped(spec, ready, loop.dt)
    for _ in range(TRIES):
        for i in range(len(motors)):
            if encos[i]:
                line.order_one(i, damped[i])  # it answers orders only; this one keeps a held arm from dropping
            else:
                line.ask_state(i)
        ready.wait(loop.dt)
        readings = line.readings()
        for reading in readings:
            if reading.fault is not None and not reading.timed_out and not ready.clear:
                raise Reflex(f"{senses.name(reading.motor)} reports {reading.fault}; recovery clears it")
        senses.look(readings)
        if not senses.missing:
            break
    if senses.missing:
        raise LinkLost(f"no answer from {', '.join(senses.missing)} on {line.address!r}; is the arm powered?")
    for i in range(len(motors)):
        if (wrong := senses.check(i)) is not None:
            raise wrong
    loop.publish(0.0)
    now = loop.newest
    loop.grip = Grip(line.arm.jaw, spec.gripper.speed, now.jaw)
    loop.law = Joints(spec, now.q)
    orders = [*loop.law.orders(now, loop.dt), loop.grip.order(now, loop.dt)]
    off = set(range(len(motors)))
    for _ in range(TRIES):
        for i in np.argsort([not e for e in encos], kind="stable").tolist():  # the shoulder first: it carries most
            if i in off and not encos[i]:
                line.say(i, Special.CLEAR_ERROR)
                line.say(i, Special.ENABLE)
            line.order_one(i, orders[i])
        ready.wait(loop.dt)
        for reading in line.readings():
            (off.discard if reading.enabled and reading.fault is None else off.add)(reading.motor)
        if not off:
            break
    if off:
        for i in range(len(motors)):
            if ready.old is None and not encos[i]:  # else they carry an arm
                line.say(i, Special.DISABLE)
        raise Reflex(f"{', '.join(senses.name(i) for i in sorted(off))} cannot be enabled; power the arm off and on")
