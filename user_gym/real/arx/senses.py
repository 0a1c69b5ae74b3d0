"""Whether what an ARX arm's motors tell can be believed, and what they tell. It sends nothing and decides no motion.

Rules (each has a test): silence, fault codes, implausible positions, a jaw that is none, torque that stays too high.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from user_gym.core import RobotSpec
from user_gym.errors import LinkLost, Reflex, RobotFault, Stopped
from user_gym.real.arx.line import Reading
from user_gym.robots.motors import Arm

SILENT = 4  # orders in a row without an answer, 20 ms at 200 Hz: damp until it answers
DEAD = 20  # 100 ms: a fault
GONE = 200  # 1 s without a word from any motor: the arm is switched off, or the bus is gone
OUTSIDE = 0.2  # rad past a joint's limit
JAW_SLACK = 0.005  # m past the jaw's range; the arm has to be powered on with its jaw closed
OVERLOADED = 20  # cycles in a row above the threshold
_JUMP = 1.5  # times the joint's greatest speed
_NOISE = 0.02  # rad
_CEILING = 0.95  # of the most that a report can say


class Senses:
    """The newest of each motor.

    Args:
        spec: the arm.
        arm: its motors.
    """

    def __init__(self, spec: RobotSpec, arm: Arm) -> None:
        self._spec, self._arm, n = spec, arm, len(arm.motors)
        self.position, self.velocity, self.torque = np.zeros(n), np.zeros(n), np.zeros(n)
        self.unanswered = [0] * n  # orders in a row
        self._since: list[float | None] = [None] * n  # s: the last position is of this moment or later
        self._doubted = [False] * n
        self._overloaded = [0] * n
        peaks = [min(m.kind.peak, _CEILING * m.kind.reported_most) for m in arm.joints]
        self.torque_limits = [*np.minimum(peaks, spec.tau_max).tolist(), arm.jaw.most_torque]
        self._low, self._high = spec.q_min - OUTSIDE, spec.q_max + OUTSIDE
        jaw_speed = abs(arm.jaw.open_angle / arm.jaw.open_width) * spec.gripper.speed
        self._speeds = [*spec.dq_max.tolist(), jaw_speed]

    @property
    def dead(self) -> bool:
        """No motor answers any more."""
        return min(self.unanswered) >= GONE

    @property
    def silent(self) -> bool:
        """Some motor has not answered for a while: nobody knows where it is."""
        return max(self.unanswered) >= SILENT

    @property
    def missing(self) -> list[str]:
        """Motors that have told nothing yet."""
        return [self.name(i) for i, since in enumerate(self._since) if since is None]

    def name(self, motor: int) -> str:
        """For people."""
        what = "gripper" if motor == self._spec.dof else f"joint {motor + 1}"
        return f"motor {self._arm.motors[motor].id} ({what}) of {self._spec.name}"

    def ordered(self) -> None:
        """Every motor was sent an order."""
        self.unanswered = [n + 1 for n in self.unanswered]

    def look(self, readings: Iterable[Reading]) -> None:
        """Believe motors that need not be enabled yet; what they tell next may be some time later."""
        for reading in readings:
            self._keep(reading, 0.0)

    def wake(self, time: float) -> None:
        """All motors were enabled at `time` (s): count from here."""
        self._since = [time] * len(self._since)

    def lose(self) -> None:
        """The bus itself is gone: nobody answers."""
        self.unanswered = [GONE] * len(self.unanswered)

    def take(self, readings: Iterable[Reading], ordered: float, heard: float) -> RobotFault | None:
        """Believe them, or not; the first thing that is wrong.

        Args:
            readings: what motors told; nothing in them says when.
            ordered: s, when the order went out that they answer.
            heard: s, now. Much later where this program did not get to read them: they are old, and must not be taken for new.
        """
        found: RobotFault | None = None
        for reading in readings:
            self.unanswered[reading.motor] = 0
            wrong = self._wrong(reading, ordered, heard)
            found = found or wrong
        for i, torque in enumerate(self.torque.tolist()):
            self._overloaded[i] = self._overloaded[i] + 1 if abs(torque) > self.torque_limits[i] else 0
            if self._overloaded[i] >= OVERLOADED and found is None:
                limit = self.torque_limits[i]
                found = Reflex(f"{self.name(i)} pushes with {torque:.2f} N m; allowed: {limit:.2f}; look what is in its way")
        return found or self._silence()

    def check(self, motor: int) -> RobotFault | None:
        """Whether a position is one that this motor can have."""
        at = float(self.position[motor])
        if motor < self._spec.dof:
            if not self._low[motor] <= at <= self._high[motor]:
                low, high = self._spec.q_min[motor], self._spec.q_max[motor]
                reads = f"{self.name(motor)} reads {at:.3f} rad; allowed: {low} .. {high}, and {OUTSIDE} more"
                return Stopped(f"{reads}; move it there by hand; if it is there, its zero is lost")
            return None
        jaw = self._arm.jaw
        width = at / jaw.open_angle * jaw.open_width
        if not -JAW_SLACK <= width <= jaw.open_width + JAW_SLACK:
            reads = f"{self.name(motor)} reads a width of {width:.4f} m; allowed: 0 .. {jaw.open_width}"
            return Stopped(f"{reads}; power the arm on with a closed jaw")
        return None

    def _keep(self, reading: Reading, since: float) -> None:
        i = reading.motor
        self.position[i], self.velocity[i], self.torque[i] = reading.position, reading.velocity, reading.torque
        self._since[i] = since

    def _wrong(self, reading: Reading, ordered: float, heard: float) -> RobotFault | None:
        i = reading.motor
        doubt = self._jump(reading, heard)
        if not self._doubted[i]:
            self._keep(reading, ordered)
        if reading.fault is not None:
            return Reflex(f"{self.name(i)} stopped and reports {reading.fault} at {reading.temperature:.0f} deg C")
        if not reading.enabled:
            return Reflex(f"{self.name(i)} is disabled; another program, or its own power, has switched it off")
        return doubt or self.check(i)

    def _jump(self, reading: Reading, heard: float) -> RobotFault | None:
        """From then on the motor's position is not believed any more: gravity is carried as it was before.

        Judged by the longest time that may lie between two readings; in a cycle that is on time that is two periods.
        """
        i = reading.motor
        since = self._since[i]
        if since is None or self._doubted[i]:
            return None
        far, most = abs(reading.position - float(self.position[i])), _JUMP * self._speeds[i] * (heard - since) + _NOISE
        if far <= most:
            return None
        self._doubted[i] = True
        took = f"within {heard - since:.3f} s; allowed: {most:.3f}; is its encoder well?"
        return Stopped(f"{self.name(i)} jumped by {far:.3f} rad {took}")

    def _silence(self) -> RobotFault | None:
        silent = [i for i, n in enumerate(self.unanswered) if n >= DEAD]
        if not silent:
            return None
        names = ", ".join(map(self.name, silent))
        return LinkLost(
            f"no answer from {names} to the last {max(self.unanswered)} orders; look at power and cable, then reset"
        )
