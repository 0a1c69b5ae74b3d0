"""An ARX arm's motors on a CAN bus: orders in N m go out, readings come back. Frames that are none are counted and dropped.

It knows the motors and no arm: neither a pose nor a limit. It never sends a frame that writes or stores a register or a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from user_gym.errors import LinkLost
from user_gym.robots.motors import Arm, Motor, Protocol
from user_gym.robots.wire import buses, can_frame, damiao, encos
from user_gym.robots.wire.damiao import Operation, Register, Reply, Request, Special, Status
from user_gym.robots.wire.mit import Mit, Ranges

_MOST = 4096  # frames taken in one go: a babbling member cannot stop the loop


class Reading(NamedTuple):
    """What one motor told."""

    motor: int  # place in `Arm.motors`
    position: float  # rad
    velocity: float  # rad/s
    torque: float  # N m at the joint
    temperature: float  # deg C, of the winding
    fault: str | None  # what the motor complains of; None: it is well
    enabled: bool  # an Encos motor always is
    timed_out: bool = False  # the fault is only that nobody spoke to it for its TIMEOUT


class Line:
    """The bus and the motors on it.

    Args:
        address: of the bus, as `robots.wire.buses` writes it.
        arm: the motors.
        feedback_id: identifier of the DaMiao motors' answers; None: the motor's own + 0x10, as elsewhere than on ARX arms.
    """

    def __init__(self, address: str, arm: Arm, feedback_id: int | None = damiao.FEEDBACK) -> None:
        self.address, self.arm = address, arm
        self.dropped = 0  # frames that were none of ours, spoiled, or told of an error on the wire
        self._damiao = {m.id: i for i, m in enumerate(arm.motors) if m.kind.protocol is Protocol.DAMIAO}
        self._encos = {m.id: i for i, m in enumerate(arm.motors) if m.kind.protocol is Protocol.ENCOS}
        self._answers = {i: m + 0x10 if feedback_id is None else feedback_id for m, i in self._damiao.items()}
        self._answer_ids = frozenset(self._answers.values())
        self._bus: Any = None

    def connect(self) -> None:
        """Join the bus. Raises LinkLost, BadOption, MissingExtra, MissingSystem."""
        if self._bus is not None:
            return
        self._bus = buses.connect(self.address)
        from can import CanError, Message

        self._message, self._error = Message, CanError

    def close(self) -> None:
        """Leave it. May be called twice."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.shutdown()

    def order(self, orders: Sequence[Mit]) -> None:
        """One order in N m for each motor of the arm. Raises LinkLost."""
        for motor, wanted in zip(self.arm.motors, orders, strict=True):
            self._send(motor.id, _frame(motor, wanted))

    def order_one(self, motor: int, wanted: Mit) -> None:
        """One order to one motor. Raises LinkLost."""
        self._send(self.arm.motors[motor].id, _frame(self.arm.motors[motor], wanted))

    def say(self, motor: int, special: Special) -> None:
        """A special order to one DaMiao motor. Raises LinkLost."""
        self._send(self.arm.motors[motor].id, special.value)

    def ask(self, motor: int, register: Register) -> None:
        """Request a register of one DaMiao motor. Raises LinkLost."""
        request = Request(self.arm.motors[motor].id, Operation.READ, register)
        self._send(damiao.REGISTERS, damiao.encode_request(request))

    def ask_state(self, motor: int) -> None:
        """Ask a DaMiao motor for feedback, and nothing else: it answers disabled or not. Raises LinkLost."""
        request = Request(self.arm.motors[motor].id, Operation.REQUEST_FEEDBACK, 0)
        self._send(damiao.REGISTERS, damiao.encode_request(request))

    def readings(self, count: int = 0, patience: float = 0.0) -> list[Reading]:
        """What motors have told since the last call; waits `patience` s for each of the first `count`. Raises LinkLost."""
        found: list[Reading] = []
        for message in self._messages(lambda: patience if len(found) < count else 0.0):
            reading = self._reading(message)
            if reading is None:
                self.dropped += 1
            else:
                found.append(reading)
        return found

    def replies(self) -> list[Reply]:
        """Register values that have come; feedback that came meanwhile is dropped. Only while a request is under way."""
        found = []
        for message in self._messages(lambda: 0.0):
            if message.arbitration_id in self._answer_ids and len(message.data) == damiao.SIZE:
                reply = damiao.decode_reply(message.data)
                if reply is not None:
                    found.append(reply)
        return found

    def _messages(self, patience: Callable[[], float]) -> Iterator[Any]:
        bus = self._opened()
        for _ in range(_MOST):
            try:
                message = bus.recv(patience())
            except (self._error, OSError) as error:
                raise LinkLost(f"CAN bus {self.address!r} is gone: {error}; look at the adapter, then reset") from error
            if message is None:
                return
            if not message.is_error_frame:
                yield message
            elif message.arbitration_id & can_frame.BUS_OFF:
                raise LinkLost(f"CAN bus {self.address!r} is off: too many errors on the wire; look at the cable, then reset")
            else:
                self.dropped += 1  # one collision is no reason to stop; many are, as many spoiled frames are

    def _reading(self, message: Any) -> Reading | None:
        if message.is_extended_id or message.is_remote_frame or message.is_fd or len(message.data) != damiao.SIZE:
            return None
        encos_motor = self._encos.get(message.arbitration_id)
        if encos_motor is not None:
            return self._from_encos(encos_motor, message.data)
        if message.arbitration_id not in self._answer_ids:
            return None
        motor = self._damiao.get(message.data[0] & 0xF)
        if motor is None or self._answers[motor] != message.arbitration_id:
            return None
        kind = self.arm.motors[motor].kind
        told = damiao.decode_feedback(message.data, kind.ranges)
        wrong = told.status >= Status.OVER_VOLTAGE
        position, velocity, torque = _middle(told.position, told.velocity, told.torque, kind.ranges)
        return Reading(
            motor,
            position,
            velocity,
            torque * kind.report_scale,
            told.rotor_temperature,
            _name(Status, told.status) if wrong else None,
            told.status == Status.ENABLED,
            told.status == Status.COMMAND_LOST,
        )

    def _from_encos(self, motor: int, data: bytes) -> Reading | None:
        kind = self.arm.motors[motor].kind
        told = encos.decode_feedback(data, kind.ranges)
        if told is None:
            return None
        wrong = told.error not in (encos.Error.NONE, encos.Error.TEMPERATURE_WARNING)
        position, velocity, torque = _middle(told.position, told.velocity, told.torque, kind.ranges)
        fault = _name(encos.Error, told.error) if wrong else None
        return Reading(motor, position, velocity, torque * kind.report_scale, told.coil_temperature, fault, True)

    def _send(self, identifier: int, data: bytes) -> None:
        bus = self._opened()
        try:
            bus.send(self._message(arbitration_id=identifier, data=data, is_extended_id=False))
        except (self._error, OSError) as error:
            raise LinkLost(f"CAN bus {self.address!r} takes no frame: {error}; look at the adapter, then reset") from error

    def _opened(self) -> Any:
        if self._bus is None:
            raise LinkLost(f"CAN bus {self.address!r} is not open; reset joins it anew")
        return self._bus


def _frame(motor: Motor, wanted: Mit) -> bytes:
    """An order's bytes, rounded to the nearest; what velocity lacks by rounding, times kd, is added to the torque."""
    kind, ranges = motor.kind, motor.kind.ranges
    step = _velocity_step(ranges)
    # A field's number is rounded down: half a step more makes that the nearest.
    velocity = wanted.velocity + step / 2
    meant = _rounded(velocity, ranges.velocity, step)
    field = (wanted.torque + wanted.kd * (wanted.velocity - meant)) / kind.order_scale
    order = Mit(wanted.position + ranges.position / 65535, velocity, wanted.kp, wanted.kd, field + ranges.torque / 4095)
    return (damiao if kind.protocol is Protocol.DAMIAO else encos).encode_order(order, ranges)


def _velocity_step(ranges: Ranges) -> float:
    return 2 * ranges.velocity / 4095


def _rounded(value: float, most: float, step: float) -> float:
    """The value that the field of 12 bits will carry."""
    return int((min(max(value, -most), most) + most) / step) * step - most


def _middle(position: float, velocity: float, torque: float, ranges: Ranges) -> tuple[float, float, float]:
    """Motors round down (as they are told to read orders): the middle of a step is right on average."""
    return position + ranges.position / 65535, velocity + ranges.velocity / 4095, torque + ranges.torque / 4095


def _name(kind: Any, code: int) -> str:
    """In words, with the number."""
    try:
        return f"{kind(code).name.lower().replace('_', ' ')} (code {code})"
    except ValueError:
        return f"an undocumented code {code}"
