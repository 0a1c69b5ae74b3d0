"""The firmware of an Encos motor: no enable, no time-out, no register that is public."""

from __future__ import annotations

from user_gym.robots.wire import encos
from user_gym.robots.wire.can_frame import Frame
from user_gym.sim.can.motor import AMBIENT, OVERHEATED, ROTOR_RISE, Motor, Shaft

LIMIT = 100.0  # deg C of the coil, our own choice
_CODES = {e.name.lower().replace("_", "-"): int(e) for e in encos.Error if 0 < e < encos.Error.TEMPERATURE_WARNING}


class EncosMotor(Motor):
    """An EC-A4310: it acts on the first order it hears, and follows the last one for ever."""

    codes = _CODES

    def hear(self, frame: Frame, shaft: Shaft, now: float) -> list[Frame]:
        """An order or a query to its own identifier; settings are not emulated."""
        if frame.id != self.id:
            return []
        angle, error, scale = shaft.position - self.zero, self._error(), self.kind.report_scale
        if len(frame.data) == 2 and frame.data[0] == encos.QUERY:
            value = {1: angle, 2: shaft.velocity}.get(frame.data[1])
            if value is None:
                return []
            report = encos.Report(frame.data[1] + 1, error, value, shaft.torque / scale)
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
        if self.fault is None and self.rotor >= LIMIT:
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
