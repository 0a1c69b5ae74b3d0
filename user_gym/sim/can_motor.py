"""The firmware of one motor: which frames it answers, how, and which law it then follows. It knows no bus and no physics.

A motor is told what came and where its shaft is, and gives back its answers; between frames it has a law, torque = kp (position
- q) + kd (velocity - dq) + torque, here in N m at the joint. Guessed where nothing is public: a disabled DaMiao motor answers
orders; after a cleared fault it is disabled; an Encos motor follows its last order for ever.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

from user_gym.errors import BadOption
from user_gym.robots.motors import Kind, Protocol
from user_gym.robots.motors import Motor as MotorSpec
from user_gym.robots.wire import damiao, encos
from user_gym.robots.wire.can_frame import Frame
from user_gym.robots.wire.damiao import ControlMode, Operation, Register, Special, Status
from user_gym.robots.wire.mit import Mit, Ranges

LIMP = Mit()
AMBIENT = 25.0  # deg C
# First order, and our own choice: what rated torque, for ever, heats rotor and driver by, and how fast.
ROTOR_RISE, ROTOR_TIME = 60.0, 300.0  # K, s
DRIVER_RISE, DRIVER_TIME = 30.0, 60.0
RATED_SHARE = 0.4  # of the peak torque; both DaMiao types are near it (3 of 7, 9 of 27)
DRIVER_LIMIT = 110.0  # deg C; the rotor's is a register
_ROUNDING = 1e-9  # s
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


class DamiaoMotor(Motor):
    """A DM-J4310 or DM-J4340.

    Args:
        spec: which motor it is.
        feedback_id: identifier of its answers.
        timeout: s without an order after which it gives up; 0: never.
    """

    def __init__(self, spec: MotorSpec, feedback_id: int, timeout: float) -> None:
        super().__init__(spec)
        self.status = Status.DISABLED
        ranges = spec.kind.ranges
        self.registers: dict[int, float] = {
            Register.UNDER_VOLTAGE: 15.0,
            Register.TORQUE_CONSTANT: 0.945 if spec.kind.name == "DM-J4310" else 4.074,
            Register.OVER_TEMPERATURE: 100.0,
            Register.OVER_CURRENT: 0.98,
            Register.FEEDBACK_ID: feedback_id,
            Register.MOTOR_ID: spec.id,
            Register.TIMEOUT: round(timeout / damiao.TIMEOUT_UNIT),
            Register.CONTROL_MODE: ControlMode.MIT,
            Register.GEAR_RATIO: 10.0 if spec.kind.name == "DM-J4310" else 40.0,
            Register.POSITION_RANGE: ranges.position,
            Register.VELOCITY_RANGE: ranges.velocity,
            Register.TORQUE_RANGE: ranges.torque,
            Register.BAUD_RATE: 4,  # 1 Mbit/s
            Register.MOTOR_POSITION: 0.0,
            Register.OUTPUT_POSITION: 0.0,
        }
        self._heard = -math.inf
        self._configure()

    def _configure(self) -> None:
        registers = self.registers
        self._ranges = Ranges(*(registers[r] for r in _RANGES), kd=self.kind.ranges.kd)
        self._timeout = registers[Register.TIMEOUT] * damiao.TIMEOUT_UNIT or math.inf

    def hear(self, frame: Frame, shaft: Shaft, now: float) -> list[Frame]:
        """An order, a special order or a register request; anything else is not for it."""
        if len(frame.data) != damiao.SIZE:
            return []
        if frame.id == damiao.REGISTERS:
            return self._request(frame.data, shaft)
        if frame.id != self.id:
            return []
        special = damiao.special(frame.data)
        if special is not None:
            self._special(special, shaft)
        elif self.registers[Register.CONTROL_MODE] != ControlMode.MIT:
            return []  # the other modes are not emulated, and a motor does not answer orders of a mode it is not in
        elif self.status is Status.ENABLED:
            self._follow(damiao.decode_order(frame.data, self._ranges))
        self._heard = now
        return [self._feedback(shaft)]

    def _special(self, special: Special, shaft: Shaft) -> None:
        if special is Special.ENABLE:
            if self.status is Status.DISABLED:
                self.status, self.active = Status.ENABLED, True
        elif special is Special.DISABLE:
            if self.status is Status.ENABLED:
                self.status = Status.DISABLED
                self._stop()
        elif special is Special.CLEAR_ERROR:
            if self.fault is None and self.status is not Status.ENABLED:
                self.status = Status.DISABLED
        else:
            self.zero = shaft.position

    def _request(self, data: bytes, shaft: Shaft) -> list[Frame]:
        request = damiao.decode_request(data)
        if request.motor != self.id:
            return []
        if request.operation == Operation.REQUEST_FEEDBACK:
            return [self._feedback(shaft)]
        register = request.register
        if register not in self.registers or request.operation not in (Operation.READ, Operation.WRITE, Operation.STORE):
            return []
        if request.operation == Operation.WRITE:
            self.write(register, damiao.unpack_value(register, request.value))
        angle = shaft.position - self.zero
        self.registers[Register.OUTPUT_POSITION] = angle
        self.registers[Register.MOTOR_POSITION] = angle * self.registers[Register.GEAR_RATIO]
        # Of a store nothing is kept: a twin is as new at every start.
        reply = damiao.Reply(self.id, request.operation, register, self.registers[register])
        return [Frame(int(self.registers[Register.FEEDBACK_ID]), damiao.encode_reply(reply))]

    def write(self, register: int, value: float) -> None:
        """Change a register if it can be changed to that; else it keeps its value, which the motor's answer shows."""
        limits = _WRITABLE.get(register)
        if limits is not None and limits[0] <= value <= limits[1]:
            self.registers[register] = value
            self._configure()

    def _feedback(self, shaft: Shaft) -> Frame:
        feedback = damiao.Feedback(
            motor=self.id & 0xF,
            status=self.status,
            position=shaft.position - self.zero,
            velocity=shaft.velocity,
            torque=shaft.torque / self.kind.report_scale,
            driver_temperature=int(self.driver),
            rotor_temperature=int(self.rotor),
        )
        return Frame(int(self.registers[Register.FEEDBACK_ID]), damiao.encode_feedback(feedback, self._ranges))

    def deadline(self) -> float:
        """When it gives up."""
        return self._heard + self._timeout if self.status is Status.ENABLED else math.inf

    def check(self, now: float) -> bool:
        """Too long alone, or too hot."""
        if self.status is not Status.ENABLED:
            return False
        if now >= self.deadline() - _ROUNDING:
            self.status = Status.COMMAND_LOST
        elif self.driver >= DRIVER_LIMIT:
            self.status = Status.DRIVER_HOT
        elif self.rotor >= self.registers[Register.OVER_TEMPERATURE]:
            self.status = Status.ROTOR_HOT
        else:
            return False
        self._stop()
        return True

    def break_down(self, code: int) -> None:
        """Stop with this status until `heal`, and then until it is cleared."""
        self.fault, self.status = code, Status(code)
        if code == Status.ROTOR_HOT:
            self.rotor = OVERHEATED
        elif code == Status.DRIVER_HOT:
            self.driver = OVERHEATED
        self._stop()


class EncosMotor(Motor):
    """An EC-A4310: it acts on the first order it hears, and follows the last one for ever."""

    def hear(self, frame: Frame, shaft: Shaft, now: float) -> list[Frame]:
        """An order or a query to its own identifier; settings are not emulated."""
        if frame.id != self.id:
            return []
        angle, error, scale = shaft.position - self.zero, self._error(), self.kind.report_scale
        if len(frame.data) == 2 and frame.data[0] == encos.QUERY:
            value = {1: angle, 2: shaft.velocity}.get(frame.data[1])
            if value is None:
                return []
            report = encos.Report(frame.data[1] + 1, error, value, _clip(shaft.torque / scale, 300.0))
            return [Frame(self.id, encos.encode_report(report))]
        if len(frame.data) != encos.SIZE:
            return []
        order = encos.decode_order(frame.data, self.kind.ranges)
        if order is None:
            return []
        if self.fault is None:
            self._follow(order)
        feedback = encos.Feedback(error, angle, shaft.velocity, shaft.torque / scale, self.rotor, self.driver)
        return [Frame(self.id, encos.encode_feedback(feedback, self.kind.ranges))]

    def _error(self) -> int:
        if self.fault is not None:
            return self.fault
        return encos.Error.TEMPERATURE_WARNING if self.rotor >= AMBIENT + ROTOR_RISE else encos.Error.NONE

    def check(self, now: float) -> bool:
        """Too hot."""
        if self.fault is None and self.rotor >= 100.0:
            self.fault = encos.Error.OVER_TEMPERATURE
            self._stop()
            return True
        return False

    def break_down(self, code: int) -> None:
        """Stop with this error until `heal`."""
        self.fault = encos.Error(code)
        if code == encos.Error.OVER_TEMPERATURE:
            self.rotor = OVERHEATED
        self._stop()


def build(spec: MotorSpec, feedback_id: int, timeout: float) -> Motor:
    """The emulator of a motor. Raises BadOption for a feedback identifier or a time-out that no motor has."""
    if not 0 <= feedback_id < damiao.REGISTERS:
        raise BadOption("feedback_id", feedback_id, f"0 .. {damiao.REGISTERS - 1}")
    if not 0 <= timeout <= 3600:
        raise BadOption("timeout", timeout, "0 (never) .. 3600 (seconds)")
    if spec.kind.protocol is Protocol.ENCOS:
        return EncosMotor(spec)
    return DamiaoMotor(spec, feedback_id, timeout)


def codes(kind: Kind) -> dict[str, int]:
    """The faults that a motor of this kind can report, by name."""
    if kind.protocol is Protocol.ENCOS:
        return {e.name.lower().replace("_", "-"): int(e) for e in encos.Error if 0 < e < encos.Error.TEMPERATURE_WARNING}
    named = {s.name.lower().replace("_", "-"): int(s) for s in Status if s >= Status.OVER_VOLTAGE}
    return {**named, "over-temperature": int(Status.ROTOR_HOT)}


def _clip(value: float, most: float) -> float:
    return min(max(value, -most), most)


_RANGES = (Register.POSITION_RANGE, Register.VELOCITY_RANGE, Register.TORQUE_RANGE)
_LARGE = 1e6
_WRITABLE: dict[int, tuple[float, float]] = {  # register -> least and greatest value; what is not here cannot be changed
    Register.UNDER_VOLTAGE: (10.0, _LARGE),
    Register.TORQUE_CONSTANT: (0.0, _LARGE),
    Register.OVER_TEMPERATURE: (80.0, 200.0),
    Register.OVER_CURRENT: (1e-3, 1.0),
    Register.FEEDBACK_ID: (0, damiao.REGISTERS - 1),
    Register.TIMEOUT: (0, 2**32 - 1),
    Register.CONTROL_MODE: (ControlMode.MIT, ControlMode.FORCE_POSITION),
    Register.BAUD_RATE: (0, 4),
    **{r: (1e-3, _LARGE) for r in _RANGES},
}
