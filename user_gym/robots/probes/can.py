"""Which motors of an ARX arm answer on a CAN bus. It listens, then only reads registers: no motor is enabled or ordered.

Encos motors have no registers, and their other questions are not public enough to be called harmless: they are not asked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from user_gym.errors import LinkLost, RobotFault
from user_gym.robots import motors
from user_gym.robots.motors import Protocol
from user_gym.robots.wire import buses, damiao
from user_gym.robots.wire.damiao import Operation, Register, Request

if TYPE_CHECKING:
    import can

_LISTEN = 0.03  # s: six periods of a driver at 200 Hz


def ask(model: str, address: str, timeout: float) -> str:
    """Which motors answer, and whether their watchdog is set.

    Args:
        model: name of the arm.
        address: bus string of `wire.buses`.
        timeout: s for the answers.

    Raises:
        BadOption, LinkLost, MissingSystem, MissingExtra: the bus cannot be joined.
        RobotFault: somebody else is talking on the bus.
        LinkLost: a motor does not answer.
    """
    wanted = {motor.id for motor in motors.arm(model).motors if motor.kind.protocol is Protocol.DAMIAO}
    bus = buses.connect(address)
    try:
        deadline = time.monotonic() + timeout
        if (heard := bus.recv(_LISTEN)) is not None:
            raise RobotFault(f"a program without a lease talks on {address}: frame {heard.arbitration_id:#x}; end it")
        found = _read(bus, wanted, deadline)
    finally:
        bus.shutdown()
    if missing := wanted - set(found):
        which = f"motors {', '.join(map(str, sorted(missing)))} of {model} do not answer" if found else "no motor answers"
        raise LinkLost(f"{which} on {address} within {timeout:g} s; check the arm's power and the CAN cable")
    slack = sorted(id for id, time_out in found.items() if not 0 < time_out <= motors.MOST_TIMEOUT)
    if slack:
        return f"{len(found)} motors answer; TIMEOUT of {', '.join(map(str, slack))} is off or over {motors.MOST_TIMEOUT:g} s"
    return f"{len(found)} motors answer"


def _read(bus: can.BusABC, wanted: set[int], deadline: float) -> dict[int, float]:
    """TIMEOUT (s) of each motor that answers before the deadline."""
    import can

    found: dict[int, float] = {}
    for motor in sorted(wanted):
        request = damiao.encode_request(Request(motor, Operation.READ, Register.TIMEOUT))
        try:
            bus.send(can.Message(arbitration_id=damiao.REGISTERS, data=request, is_extended_id=False), timeout=0.1)
        except can.CanError as error:
            raise LinkLost(f"the bus takes no frame: {error}; is an arm with power on it?") from error
    while set(found) != wanted and (left := deadline - time.monotonic()) > 0:
        message = bus.recv(left)
        if message is None or message.is_error_frame or len(message.data) != damiao.SIZE:
            continue
        reply = damiao.decode_reply(bytes(message.data))
        if reply is not None and reply.motor in wanted and reply.register == Register.TIMEOUT:
            found[reply.motor] = reply.value * damiao.TIMEOUT_UNIT
    return found
