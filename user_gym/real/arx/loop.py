"""The control loop of an ARX arm: one order to each motor per cycle, and what they told. It also runs when nobody gives orders.

    law(newest) -> orders -> bus -> wait for the cycle's end -> readings -> believe them or damp -> newest

Where time runs by itself a thread turns it; on a gated twin whoever moves its time does. Orders of one cycle act on what the
motors told in the one before, either way. After a fault the arm is damped with its weight carried until `wake`. Where the
loop itself was held up (a suspended process), what lies on the bus is of before: it is damped until fresh answers came.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from user_gym.core import RobotSpec
from user_gym.errors import LinkLost, RobotFault, Stopped, UserGymError
from user_gym.real.arx.law import JUMP, Damp, Grip, Law, Measured
from user_gym.real.arx.line import Line
from user_gym.real.arx.senses import SILENT, Senses
from user_gym.real.clock import WallClock
from user_gym.robots import dynamics, kinematics
from user_gym.robots.dynamics import Payload

SPOILED = 50  # frames per second that were none: more is no accident
PATIENCE = 0.5  # s of the wall's time that a twin whose own time stands still may take to answer
_JOIN = 2.0  # s
_log = logging.getLogger(__name__)


class Loop:
    """Laws in, measurements out. `law` may be set by another thread at any time.

    Args:
        spec: the arm.
        line: its motors, open.
        carried: by the tool.
        dt: s of a cycle.
    """

    def __init__(self, spec: RobotSpec, line: Line, carried: Payload, dt: float) -> None:
        self._spec, self._line, self._carried, self.dt = spec, line, carried, dt
        self.senses = Senses(spec, line.arm)
        self.law: Law = Damp(spec)
        self.grip: Grip | None = None
        self.fault: RobotFault | None = None
        self._newest: Measured | None = None
        self._pacer = WallClock()
        self._thread: threading.Thread | None = None
        self._ending = False
        self._free = False  # time runs by itself
        self._time = 0.0  # s, of a twin's gate
        self._ordered = 0.0  # s, when the newest orders began to go out
        self._dropped = [line.dropped] * round(1.0 / dt)  # of the last second

    @property
    def newest(self) -> Measured:
        """What was told last. Raises LinkLost before anything was."""
        if self._newest is None:
            raise LinkLost(f"{self._spec.name} has told nothing yet; connect() asks it")
        return self._newest

    @property
    def late(self) -> int:
        """Cycles of the thread that began too late."""
        return self._pacer.overruns

    @property
    def running(self) -> bool:
        """Whether the thread turns it."""
        return self._thread is not None

    def start(self) -> None:
        """Turn it by a thread from now on."""
        self._ending, self._free = False, True
        self._ordered = now = self._now()
        self.senses.wake(now)
        self.publish(now)
        self._pacer.start()
        self._thread = threading.Thread(target=self._run, name=f"{self._spec.name} loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if there is one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ending = True
            thread.join(_JOIN)

    def cycle(self, wait: Callable[[float], None]) -> None:
        """One cycle; `wait` lets `dt` s pass. Raises what `wait` raises; other faults are kept in `fault`."""
        try:
            self._order()
        except LinkLost as lost:
            self.give_up(lost)
        wait(self.dt)
        self._time += self.dt
        try:
            self.hear(self._now())
        except LinkLost as lost:
            self.give_up(lost)

    def look(self) -> None:
        """Order and read without letting time pass: for a twin whose time stands still."""
        try:
            self._order()
            answering = self.senses.unanswered.count(1)
            self.hear(self._now(), answering, PATIENCE)
        except LinkLost as lost:
            self.senses.lose()
            self.give_up(lost)

    def hear(self, now: float, count: int = 0, patience: float = 0.0) -> None:
        """Take what has come; wait `patience` s for each of the first `count`. Raises LinkLost."""
        fault = self.senses.take(self._line.readings(count, patience), self._ordered, now)
        self._dropped.append(self._line.dropped)
        spoiled = self._line.dropped - self._dropped.pop(0)
        if spoiled > SPOILED:
            fault = fault or LinkLost(f"{spoiled} frames of the last second on {self._line.address!r} were none; who speaks?")
        if fault is not None:
            self.give_up(fault)
        self.publish(now)

    def publish(self, now: float) -> None:
        """Make one record of what the motors told."""
        s, n, before = self.senses, self._spec.dof, self._newest
        q, tau = s.position[:n].copy(), s.torque[:n].copy()
        frames = kinematics.links(self._spec, q)
        gravity = dynamics.gravity(self._spec, q, self._carried, frames)
        self._newest = Measured(
            time=now,
            cycles=0 if before is None else before.cycles + 1,
            q=q,
            dq=s.velocity[:n].copy(),
            tau=tau,
            gravity=gravity,
            tool=kinematics.linearise(self._spec, q, frames),
            jaw=float(s.position[n]),
            jaw_speed=float(s.velocity[n]),
            jaw_torque=float(s.torque[n]),
            pushed=(0.0 if before is None else before.pushed) + (gravity - tau),
        )

    def give_up(self, fault: RobotFault) -> None:
        """From now on damp, and carry the weight."""
        if self.fault is None:
            _log.warning("%s", fault)
            self.fault, self.law = fault, Damp(self._spec)

    def _order(self) -> None:
        now, begun = self.newest, self._now()
        assert self.grip is not None
        late, self._ordered = begun - self._ordered > SILENT * self.dt, begun
        # What is known answers the orders before, and is as old: no stiffness towards where the arm was then.
        orders = self._obeyed(late).orders(now, self.dt)
        for i, order in enumerate(orders):
            jumps = order.kp > 0 and not abs(order.position - now.q[i]) <= JUMP
            if jumps or not math.isfinite(sum(order)):
                far = f"{order.position:.3f} rad with stiffness while at {now.q[i]:.3f}; allowed: within {JUMP}"
                self.give_up(Stopped(f"{self.senses.name(i)} would be ordered to {far}"))
                orders = self._obeyed(late).orders(now, self.dt)
                break
        self.senses.ordered()
        self._line.order([*orders, self.grip.order(now, self.dt)])

    def _obeyed(self, late: bool) -> Law:
        """The law, unless something is wrong: another thread may set one just after a fault, and it must not be followed."""
        law = self.law
        if isinstance(law, Damp) or (self.fault is None and not late and not self.senses.silent):
            return law
        return Damp(self._spec)

    def _now(self) -> float:
        """S of the wall, or of a twin's gate."""
        return time.monotonic() if self._free else self._time

    def _run(self) -> None:
        while not self._ending:
            try:
                self.cycle(self._pacer.tick)
            except UserGymError as error:
                self.give_up(RobotFault(str(error)))
            except Exception as error:  # top of a thread: the arm must not be left alone
                _log.exception("loop of %s", self._spec.name)
                self.give_up(RobotFault(f"loop of {self._spec.name} broke: {type(error).__name__}: {error}"))
                self._pacer.tick(self.dt)
