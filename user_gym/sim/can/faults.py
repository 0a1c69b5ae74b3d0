"""What can go wrong between a CAN twin's motors and its bus, on demand."""

from __future__ import annotations

from collections.abc import Mapping

from user_gym.errors import BadOption, UnknownName
from user_gym.robots.wire.can_frame import Frame
from user_gym.sim.can.damiao import DamiaoMotor
from user_gym.sim.can.motor import Motor, Shaft

# name            arguments                what happens
# mute            motor                    it hears and obeys, and does not answer
# deaf            motor                    it hears nothing, as with its cable out; a DaMiao motor gives up after its time-out
# bad-dlc         motor                    its answers have four bytes
# unknown-id      motor, id=0x123          its answers come on an identifier that nobody expects
# offset          motor, position=0.0, velocity=0.0, torque=0.0    its sensors are wrong by this (rad, rad/s, N m)
# register        motor, register, value   a DaMiao motor was configured otherwise
# bus-off         -                        an error frame, then silence both ways
# unplug          -                        the adapter is gone: members of a served bus are sent away, and stay away
# over-temperature | over-current | over-voltage | under-voltage     motor     it stops and reports it until healed, a DaMiao
#                                          motor until it is then cleared; each make has more, see its `codes`
UNEXPECTED = 0x123
_SHORT = 4  # bytes
_NAMES = ("mute", "deaf", "bad-dlc", "unknown-id", "offset", "register", "bus-off", "unplug")


class Faults:
    """Faults of one twin; motors are named by their CAN identifier.

    Args:
        motors: by identifier.
    """

    def __init__(self, motors: Mapping[int, Motor]) -> None:
        self._motors = motors
        self._heal()

    def _heal(self) -> None:
        self.bus_off = self.unplugged = False
        self.deaf: set[int] = set()
        self._mute: set[int] = set()
        self._short: set[int] = set()
        self._ids: dict[int, int] = {}
        self._offsets: dict[int, Shaft] = {}

    def inject(
        self,
        name: str,
        motor: int = 0,
        id: int = UNEXPECTED,
        position: float = 0.0,
        velocity: float = 0.0,
        torque: float = 0.0,
        register: int = 0,
        value: float = 0.0,
    ) -> Motor | None:
        """Begin a fault; the motor that it is of. Raises UnknownName for a fault or a motor that is none, BadOption."""
        if name in ("bus-off", "unplug"):
            self.bus_off |= name == "bus-off"
            self.unplugged |= name == "unplug"
            return None
        if motor not in self._motors:
            raise UnknownName("motor", motor, map(str, self._motors))
        found = self._motors[motor]
        codes = found.codes
        if name in codes:
            found.break_down(codes[name])
        elif name == "mute":
            self._mute.add(motor)
        elif name == "deaf":
            self.deaf.add(motor)
        elif name == "bad-dlc":
            self._short.add(motor)
        elif name == "unknown-id":
            if not 0 <= id < 0x800:
                raise BadOption("id", id, "0 .. 0x7FF")
            self._ids[motor] = id
        elif name == "offset":
            self._offsets[motor] = Shaft(float(position), float(velocity), float(torque))
        elif name == "register":
            if not isinstance(found, DamiaoMotor):
                raise BadOption("motor", motor, "a DaMiao motor: others have no registers")
            found.write(register, value)
        else:
            raise UnknownName(f"fault of motor {motor}", name, [*_NAMES, *codes])
        return found

    def heal(self) -> None:
        """End them all; registers stay as they are."""
        self._heal()
        for motor in self._motors.values():
            motor.heal()

    def sense(self, motor: int, shaft: Shaft) -> Shaft:
        """What a motor's sensors say with its fault."""
        wrong = self._offsets.get(motor)
        return shaft if wrong is None else Shaft(*(a + b for a, b in zip(shaft, wrong, strict=True)))

    def spoil(self, motor: int, answer: Frame) -> Frame | None:
        """What leaves a motor instead of its answer."""
        if motor in self._mute:
            return None
        if motor in self._ids:
            answer = answer._replace(id=self._ids[motor])
        return answer._replace(data=answer.data[:_SHORT]) if motor in self._short else answer
