"""Drives an ARX arm over CAN: the `Driver` of the X5 and the L5. It holds them by a loop of its own, whoever gives orders.

These arms have no brakes, so `brakes` is False and the worker keeps the driver alive when its client dies. On a fault the arm
is damped with its weight carried. `close` lets it down slowly, because nothing holds it afterwards: DaMiao motors go limp
after their TIMEOUT, Encos motors follow their last order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from user_gym.core import F64, Command, Compliance, RobotSpec, RobotState
from user_gym.errors import BadAction, BadOption, Closed, LinkLost, RobotFault, Stopped
from user_gym.real.arx import path, start
from user_gym.real.arx.law import Cartesian, Damp, Joints, Law, Measured, Path, cartesian
from user_gym.real.arx.line import Line
from user_gym.real.arx.loop import Loop
from user_gym.real.arx.start import Ready
from user_gym.real.clock import WallClock
from user_gym.real.driver import Clock
from user_gym.robots import compliance as compliances
from user_gym.robots import dynamics, motors, pose
from user_gym.robots.wire import buses, damiao
from user_gym.robots.wire.damiao import Special

LEAVES = ("lower", "hold")
ARRIVED = 5e-4  # rad of the worst joint: 0.3 mm of the tool
_CALM = 0.05  # s at the end of a way before it is judged
_SETTLE = 3.0  # s that friction may cost there
_BLOCKED = 1.0  # s that an arm may stand in front of something
_LOWER_SPEED = 0.15  # rad/s of the fastest joint while it is let down
_LOWER = 0.2  # 1/s: how fast the carried share of the weight shrinks
_LOWER_MOST = 30.0  # s
_SINGULAR = 0.02  # of the Jacobian's singular values, least over greatest; 0.057 and more where tasks are
_log = logging.getLogger(__name__)


class ArxDriver:
    """One ARX arm.

    Args:
        spec: "arx-x5" or "arx-l5".
        control: "tcp": clipped Cartesian impedance, damped by the motors; "joint": joint impedance.
        address: of the CAN bus, as `robots.wire.buses` writes it.
        clock: of a gated twin, which is moved cycle by cycle; or one that runs by itself.
        payload: what the tool carries: kg, then the centre of mass x, y, z m in the TCP frame.
        any_timeout: take motors whose TIMEOUT is off or above 0.2 s.
        feedback_id: of the DaMiao motors; None: each motor's own + 0x10.
        leave: what `close` does where time runs: "lower" lets the arm down, "hold" ends with the orders of a held arm, and what
            the motors then do is theirs: DaMiao joints go limp.

    Raises:
        BadOption: an argument is not allowed.
        UnknownName: the arm has no table of motors.
    """

    brakes = False

    def __init__(
        self,
        spec: RobotSpec,
        control: str,
        address: str,
        clock: Clock,
        payload: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        any_timeout: bool = False,
        feedback_id: int | None = damiao.FEEDBACK,
        leave: str = "lower",
    ) -> None:
        if control not in ("tcp", "joint"):
            raise BadOption("control", control, "tcp | joint")
        if leave not in LEAVES:
            raise BadOption("leave", leave, " | ".join(LEAVES))
        buses.parse(address)
        self.spec, self._control, self._clock = spec, control, clock
        self._table = motors.arm(spec.name)
        self._carried = dynamics.payload(payload)
        self._line = Line(address, self._table, feedback_id)
        self._any_timeout, self._leave = any_timeout, leave
        self._compliance = spec.compliance
        self._dt = 1.0 / spec.control_rate
        self._loop: Loop | None = None
        self._began = 0.0  # s of the loop's time
        self._following = False

    def connect(self) -> None:
        """As `Driver.connect`. Raises Reflex, Stopped as well, where the arm must not be enabled."""
        if self._loop is None:
            self._wake(clear=False)

    def recover(self) -> None:
        """As `Driver.recover`: clears fault codes, enables and holds an arm that has a fault, or that `connect` refused."""
        loop = self._loop
        if loop is not None:
            if loop.fault is None:
                return
            loop.stop()
            if self._clock.frozen and isinstance(loop.fault, LinkLost):
                loop.senses.lose()  # a twin that is gone took its time along: no cycle counts who does not answer
            if loop.senses.dead:
                self._line.close()
        self._wake(clear=True)

    def _wake(self, clear: bool) -> None:
        self._following = False
        ready = Ready(self._pacer(), self._any_timeout, clear, self._loop)
        try:
            self._line.connect()
            loop = Loop(self.spec, self._line, self._carried, self._dt)
            start.check_registers(self.spec, self._line, ready, self._dt)
            start.wake(self.spec, loop, self._line, ready)
        except BaseException:
            if self._loop is None:
                self._line.close()
            else:
                self._turn(self._loop)  # go on damping
            raise
        self._loop = loop
        self._turn(loop)

    def _turn(self, loop: Loop) -> None:
        if not self._clock.frozen:
            loop.start()

    def _pacer(self) -> Callable[[float], None]:
        if self._clock.frozen:
            return self._clock.tick
        pacer = WallClock()
        pacer.start()
        return pacer.tick

    def measure(self) -> RobotState:
        """As `Driver.measure`."""
        loop = self._opened()
        if not loop.running:
            loop.look()
        if loop.fault is not None and loop.senses.dead:
            raise loop.fault
        return self._state(loop.newest, loop.newest)

    def begin(self) -> RobotState:
        """As `Driver.begin`."""
        loop = self._well()
        now = loop.newest
        self._began, self._following = now.time, True
        tcp = _chart(now)
        loop.law = self._law(Command(0.0, tcp) if self._control == "tcp" else Command(0.0, None, now.q))
        self._clock.start()
        return self._state(now, now)

    def exchange(self, command: Command, period: float) -> RobotState:
        """As `Driver.exchange`."""
        loop = self._well()
        if not self._following:
            raise Stopped(f"{self.spec.name} holds; reset() makes it follow orders again")
        law, before = self._law(command), loop.newest
        jaw = self._table.jaw
        assert loop.grip is not None
        loop.law, loop.grip.target = law, min(max(float(command.gripper), 0.0), 1.0) * jaw.open_angle
        try:
            self._pass(period)
        except RobotFault:
            self.hold()
            raise
        if loop.fault is not None:
            raise loop.fault
        return self._state(before, loop.newest)

    def _law(self, command: Command) -> Law:
        order = command.tcp if self._control == "tcp" else command.joints
        size = 6 if self._control == "tcp" else self.spec.dof
        if order is None or order.shape != (size,) or not np.isfinite([*order, float(command.gripper)]).all():
            raise BadAction(f"order {command} for {self.spec.name}; allowed: {size} finite numbers as {self._control}")
        if self._control == "tcp":
            return cartesian(self.spec, self._compliance, order)
        margin = self.spec.joint_margin
        return Joints(self.spec, np.clip(order, self.spec.q_min + margin, self.spec.q_max - margin))

    def _pass(self, period: float) -> None:
        """Let a period pass, on a gated twin cycle by cycle."""
        loop = self._opened()
        if loop.running:
            self._clock.tick(period)
            return
        for _ in range(round(period / self._dt)):
            loop.cycle(self._clock.tick)
            if loop.fault is not None:
                return

    def move(self, waypoints: Sequence[F64], speed: float) -> None:
        """As `Driver.move`. Raises Stopped where something is in the way."""
        loop = self._well()
        self._following = False
        way = Path(self.spec, path.plan(self.spec, loop.newest.q, waypoints, speed, self._dt))
        loop.law = way
        self._clock.start()
        try:
            while not self._arrived(way):
                self._pass(self._dt)
                if loop.fault is not None:
                    raise loop.fault
        except BaseException:
            self.hold()
            raise

    def _arrived(self, way: Path) -> bool:
        if way.waited * self._dt > _BLOCKED:
            raise Stopped(f"something is in the way of {self.spec.name}; look, then reset")
        rested = way.rested * self._dt
        return rested > _SETTLE or (rested > _CALM and way.error < ARRIVED)

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Driver.set_compliance`; its damping is unused: the motors damp."""
        if self._control == "joint":
            raise BadOption(
                "control", "joint", "'tcp' to set a Cartesian compliance", "make the environment with control='tcp'"
            )
        compliances.check(compliance)
        self._compliance = compliance
        if self._loop is not None and isinstance(law := self._loop.law, Cartesian):
            self._loop.law = Cartesian(self.spec, compliance, law.target, law.turn)

    def hold(self) -> None:
        """As `Driver.hold`. After a fault the arm goes on being damped, with its weight carried, until `recover`."""
        loop = self._opened()
        self._following = False
        if loop.fault is None:
            loop.law = Joints(self.spec, loop.newest.q)
            if loop.grip is not None:
                loop.grip.rest(loop.newest.jaw)

    def close(self) -> None:
        """As `Driver.close`, see `leave`. May be called twice."""
        loop = self._loop
        if loop is None:
            return
        try:
            self.hold()
            if loop.running and self._leave == "lower" and not loop.senses.dead:
                self._lower(loop)
        finally:
            self._loop = None
            loop.stop()
            self._line.close()

    def _lower(self, loop: Loop) -> None:
        """Carry less and less of the weight, no faster than the arm sinks slowly; then switch the motors off."""
        share, pacer = 1.0, WallClock()
        pacer.start()
        for _ in range(round(_LOWER_MOST / self._dt)):
            calm = float(np.abs(loop.newest.dq).max()) < _LOWER_SPEED
            share = min(max(share + (-_LOWER if calm else 2 * _LOWER) * self._dt, 0.0), 1.0)
            loop.law = Damp(self.spec, share)
            pacer.tick(self._dt)
            if share == 0.0 or loop.senses.dead:
                break
        else:
            _log.warning("%s did not come to rest within %g s of being let down", self.spec.name, _LOWER_MOST)
        loop.stop()
        for i, motor in enumerate(self._table.motors):
            if motor.kind.protocol is motors.Protocol.DAMIAO:
                self._line.say(i, Special.DISABLE)

    def _state(self, before: Measured, now: Measured) -> RobotState:
        """Of the moment `now`; the wrench is the mean since `before`, without what a singular posture does not tell."""
        if now.cycles > before.cycles:
            pushed = (now.pushed - before.pushed) / (now.cycles - before.cycles)
        else:
            pushed = now.gravity - now.tau
        jacobian, jaw = now.tool.jacobian, self._table.jaw
        return RobotState(
            time=np.asarray(now.time - self._began)[()],
            q=now.q,
            dq=now.dq,
            tau=now.tau,
            tcp=_chart(now),
            velocity=jacobian @ now.dq,
            wrench=np.linalg.pinv(jacobian.T, _SINGULAR) @ pushed,
            gripper=np.asarray(min(max(now.jaw / jaw.open_angle, 0.0), 1.0))[()],
        )

    def _well(self) -> Loop:
        loop = self._opened()
        if loop.fault is not None:
            raise loop.fault
        return loop

    def _opened(self) -> Loop:
        if self._loop is None:
            raise Closed(f"driver of {self.spec.name} is not connected; call connect()")
        return self._loop


def _chart(now: Measured) -> F64:
    """TCP pose chart (6,)."""
    return pose.to_chart(np.concatenate([now.tool.point, pose.from_matrix(now.tool.turn)]))
