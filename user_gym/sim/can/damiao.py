"""The firmware of a DaMiao motor: enable, disable, clear, orders under the MIT law, registers and the command time-out."""

from __future__ import annotations

import math

from user_gym.errors import BadOption
from user_gym.robots.motors import Motor as MotorSpec
from user_gym.robots.wire import damiao
from user_gym.robots.wire.can_frame import Frame
from user_gym.robots.wire.damiao import ControlMode, Operation, Register, Special, Status
from user_gym.robots.wire.mit import Ranges
from user_gym.sim.can.motor import OVERHEATED, Motor, Shaft

DRIVER_LIMIT = 110.0  # deg C, our own choice; the rotor's is a register
MAX_TIMEOUT = 3600.0  # s
_ROUNDING = 1e-9  # s
_CODES = {
    **{s.name.lower().replace("_", "-"): int(s) for s in Status if s >= Status.OVER_VOLTAGE},
    "over-temperature": int(Status.ROTOR_HOT),
}
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


class DamiaoMotor(Motor):
    """A DM-J4310 or DM-J4340.

    Args:
        spec: which motor it is.
        feedback_id: identifier of its answers.
        timeout: s without an order after which it gives up; 0: never.

    Raises:
        BadOption: a feedback identifier or a time-out that no motor has.
    """

    codes = _CODES

    def __init__(self, spec: MotorSpec, feedback_id: int, timeout: float) -> None:
        if not 0 <= feedback_id < damiao.REGISTERS:
            raise BadOption("feedback_id", feedback_id, f"0 .. {damiao.REGISTERS - 1}")
        if not 0 <= timeout <= MAX_TIMEOUT:
            raise BadOption("timeout", timeout, f"0 (never) .. {MAX_TIMEOUT:g} (seconds)")
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
