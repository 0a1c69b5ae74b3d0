"""The FER ("Panda") through the libfranka bindings of panda-python: the impedance law runs here, once a millisecond.

panda-python's own CartesianImpedance controller cannot have the task's compliance: its damping is one ratio for translation
and rotation, its rotation's error is half the angle's sine, and it clips nothing. So the law is ours, called by libfranka
for each tick, and exactly `Compliance`: the error is clipped along the base's axes, and the ordered orientation's. libfranka
filters the torque at 100 Hz and limits its change to 1 N m per millisecond.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from user_gym.core import F64, Command, Compliance, RobotSpec, RobotState
from user_gym.errors import Closed, LinkLost, MissingExtra, NotReset, Reflex, RobotFault
from user_gym.real import franka, franka_path
from user_gym.real.driver import Clock
from user_gym.real.franka_hand import FrankaHand
from user_gym.robots import kinematics, pose, reach

_TICK = 0.001  # s
_END = 1.0  # s of the wall's time that a motion may take to say how it ended
_START = 3.0  # s of the wall's time that a motion may take to begin
_RAMP = 200  # ticks in which a stop brings the torque down to damping
_STILL = 0.02  # rad/s, of every joint, that ends a stop
_LONGEST_STOP = 1000  # ticks
_STOP_DAMPING = np.array([20.0, 20, 20, 20, 5, 5, 5])  # N m s/rad


class _Sample(NamedTuple):
    """One tick, as the robot told it."""

    tick: int  # ms since the robot's start
    q: F64
    dq: F64
    tau: F64
    force: F64  # (6,) of the robot on the world


class PandaDriver:
    """A `Driver` of one FER. Arguments as of `FrankyDriver`."""

    def __init__(
        self,
        spec: RobotSpec,
        control: str,
        address: str,
        clock: Clock,
        load: Sequence[object] | None = None,
        realtime: str = "auto",
        force_threshold: float = 60.0,
        torque_threshold: float = 40.0,
        gripper: bool = True,
        patience: float = 60.0,
    ) -> None:
        self.spec = spec
        self._options = franka.options(control, load, realtime, force_threshold, torque_threshold, gripper, patience)
        self._control, self._address, self._clock = control, address, clock
        self._compliance = spec.compliance
        self._vendor: Any = None
        self._robot: Any = None
        self._model: Any = None
        self._hand: FrankaHand | None = None
        self._motion: _Motion | None = None
        self._law: _Law | None = None
        self._zero = 0
        self._lost = False

    @property
    def hand(self) -> FrankaHand | None:
        """The gripper, with the result of its last order."""
        return self._hand

    def connect(self) -> None:
        """As `Driver.connect`."""
        if self._robot is not None:
            return
        try:
            from panda_py import libfranka
        except ImportError as error:
            raise MissingExtra("panda_py", "franka") from error
        self._vendor = libfranka
        enforce = franka.enforce_realtime(self._options.realtime, self._address)
        realtime = libfranka.RealtimeConfig.kEnforce if enforce else libfranka.RealtimeConfig.kIgnore
        with self._asking():
            robot = franka.bounded(lambda: libfranka.Robot(self._address, realtime), self.spec.name, self._address)
            state = robot.read_once()
            franka.refuse_mode(str(state.robot_mode), self.spec.name, self._address)
            franka.check_tool(self.spec, np.array(state.F_T_EE).reshape(4, 4).T, self._address)
            self._model = robot.load_model()
            self._prepare(robot)
            self._robot, self._lost = robot, False
            if self._options.gripper and self._hand is None:
                fingers = franka.bounded(lambda: libfranka.Gripper(self._address), "gripper", self._address)
                self._hand = FrankaHand(self.spec.gripper, fingers, fingers.read_once)
                self._hand.open()

    def _prepare(self, robot: Any) -> None:
        o = self._options
        torque, force = [o.torque_threshold] * 7, [o.force_threshold] * 6
        robot.set_collision_behavior(torque, torque, force, force)
        if o.load is not None:
            robot.set_load(o.load.mass, list(o.load.com), list(o.load.inertia))

    def measure(self) -> RobotState:
        """As `Driver.measure`; its wrench is the moment's."""
        robot, law = self._connected(), self._law
        if law is not None and self._motion is not None and law.newest is not None:
            sample = law.newest
        else:
            with self._asking():
                sample = _sample(robot.read_once())
        return self._assemble(sample, -sample.force)

    def move(self, waypoints: Sequence[F64], speed: float) -> None:
        """As `Driver.move`: straight lines of the TCP; the elbow ends in the posture of `reach.solve`, wherever it was."""
        franka.check_speed(speed)
        goals = [reach.solve(self.spec, waypoint) for waypoint in waypoints]
        if not goals:
            return
        self.hold()
        robot, vendor = self._connected(), self._vendor
        with self._asking():
            # From where the robot wants to be, not from where it is: its motion generator begins there.
            way = franka_path.plan(self.spec, np.array(robot.read_once().q_d), goals, speed).tolist()
        at = 0

        def follow(state: Any, duration: Any) -> Any:
            nonlocal at
            at = min(at + duration.to_msec(), len(way) - 1)
            positions = vendor.JointPositions(way[at])
            positions.motion_finished = at == len(way) - 1
            return positions

        motion = _Motion("franka-move", lambda: robot.control_joint_position(follow))
        with self._clock.free():
            motion.start()
            self._join(motion)

    def begin(self) -> RobotState:
        """As `Driver.begin`."""
        self.hold()
        robot, vendor = self._connected(), self._vendor
        with self._asking():
            state = robot.read_once()
        franka.refuse_mode(str(state.robot_mode), self.spec.name, self._address)
        law = _Law(self.spec, self._control, self._compliance, self._model, vendor.Torques, np.array(state.q))
        motion = _Motion("franka-control", lambda: robot.control(law))
        self._law, self._motion = law, motion
        motion.start()
        self._clock.start()
        self._tick(_TICK)
        if not law.begun.wait(_START):
            raise LinkLost(f"{self.spec.name} at {self._address} accepted a motion, but none began within {_START} s")
        sample, _ = law.collect()
        self._zero = sample.tick
        self._clock.start()
        return self._assemble(sample, -sample.force)

    def exchange(self, command: Command, period: float) -> RobotState:
        """As `Driver.exchange`."""
        target, law = franka.order(command, self._control, self.spec), self._law
        if self._motion is None or law is None:
            raise NotReset("exchange before begin; call begin first")
        law.follow(target)
        if self._hand is not None:
            self._hand.order(float(command.gripper))
        self._tick(period)
        sample, force = law.collect()
        return self._assemble(sample, -force)

    def _tick(self, period: float) -> None:
        """Let a period pass, and tell how the motion ended where it did."""
        motion = self._motion
        try:
            self._clock.tick(period)
        except (Reflex, LinkLost) as error:  # any other fault of the clock's: the motion goes on until it is told to hold
            self._lost |= isinstance(error, LinkLost)
            self._motion = None
            if motion is not None and motion.wait(_END):
                self._tell(motion)  # the robot's own words before the clock's
            raise
        if motion is not None and motion.wait(0.0):
            self._motion = None
            self._tell(motion)
            raise RobotFault(f"{self.spec.name} at {self._address} ended its motion without a word; call begin again")

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`: it acts from the next tick."""
        franka.check_compliance(compliance, self._control)
        self._compliance = compliance
        if self._law is not None:
            self._law.compliance = compliance

    def hold(self) -> None:
        """As `Driver.hold`: the torque ramps down to damping within 0.2 s, then the robot's own controller holds."""
        self._connected()
        motion, self._motion = self._motion, None
        if motion is None or self._law is None or self._lost:
            return
        # Asked for while a gated twin is frozen, so that it begins at the same tick in every run.
        self._law.stopping = True
        with self._clock.free():
            self._join(motion)

    def _join(self, motion: _Motion) -> None:
        if not motion.wait(self._options.patience):
            self._lost = True
            raise LinkLost(
                f"{self.spec.name} at {self._address} did not end its motion within {self._options.patience} s; "
                "look whether it still moves, or give more patience"
            )
        self._tell(motion)

    def _tell(self, motion: _Motion) -> None:
        with self._asking():
            if motion.error is not None:
                raise motion.error

    def recover(self) -> None:
        """As `Driver.recover`: once, and only what the fault was. A user stop takes a person."""
        self._motion = None
        if self._lost or self._robot is None:
            self._drop()
            self.connect()
            return
        robot = self._robot
        with self._asking():
            if "Reflex" in str(robot.read_once().robot_mode):
                robot.automatic_error_recovery()
            franka.refuse_mode(str(robot.read_once().robot_mode), self.spec.name, self._address)

    def close(self) -> None:
        """As `Driver.close`. A robot that is gone is let go of."""
        try:
            if self._robot is not None:
                self.hold()
        except RobotFault as error:
            logging.getLogger(__name__).warning("%s", error)
        finally:
            self._drop()

    def _drop(self) -> None:
        hand = self._hand
        self._motion = self._law = self._robot = self._model = self._hand = None
        if hand is not None:
            hand.close()

    def _connected(self) -> Any:
        if self._robot is None:
            raise Closed(f"{self.spec.name} at {self._address} is not connected; call connect()")
        return self._robot

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn the vendor's exceptions, all of them RuntimeError, into ours, and remember a lost link."""
        try:
            yield
        except RobotFault as error:
            self._lost |= isinstance(error, LinkLost)
            raise
        except RuntimeError as error:
            told = franka.fault(error, self.spec.name, self._address)
            self._lost |= isinstance(told, LinkLost)
            raise told from error

    def _assemble(self, sample: _Sample, wrench: F64) -> RobotState:
        opening = 0.0 if self._hand is None else self._hand.opening
        time = (sample.tick - self._zero) * _TICK
        return franka.assemble(self.spec, time, sample.q, sample.dq, sample.tau, wrench, opening)


def _sample(state: Any) -> _Sample:
    force = np.array(state.O_F_ext_hat_K)
    return _Sample(state.time.to_msec(), np.array(state.q), np.array(state.dq), np.array(state.tau_J), force)


class _Motion:
    """One blocking control call of libfranka's, in a thread; it keeps how it ended."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self._run, self._over = run, threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)  # libfranka's call cannot be interrupted
        self.error: Exception | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Whether it is over within so many s of the wall's time."""
        return self._over.wait(timeout)

    def _work(self) -> None:
        try:
            self._run()
        except Exception as error:  # top of a thread; whoever waits raises it
            self.error = error
        finally:
            self._over.set()


class _Law:
    """The torque of each tick. libfranka calls it from the motion's thread; orders and stops come from the driver's."""

    def __init__(self, spec: RobotSpec, control: str, compliance: Compliance, model: Any, torques: Any, rest: F64) -> None:
        self._spec, self._model, self._torques, self._rest = spec, model, torques, rest
        self.compliance = compliance
        self.stopping = False
        self.begun = threading.Event()
        self.newest: _Sample | None = None
        self._adding = threading.Lock()
        self._force, self._count = np.zeros(6), 0
        self._last, self._stopped = np.zeros(spec.dof), 0
        self._impedance = self._cartesian if control == "tcp" else self._joint
        if control == "tcp":
            tool = kinematics.linearise(spec, rest)
            self._point, self._turn = tool.point, tool.turn
        self._target = rest

    def follow(self, target: F64) -> None:
        """The order from the next tick on: (6,) of the pose chart, or (dof,) rad."""
        if self._impedance == self._cartesian:
            at = pose.from_chart(target)
            self._point, self._turn = at[:3], pose.matrix(at[3:])
        else:
            self._target = target.copy()

    def collect(self) -> tuple[_Sample, F64]:
        """The newest tick, and the mean force since the last call."""
        sample = self.newest
        if sample is None:
            raise LinkLost(f"{self._spec.name} sent no state since its motion began")
        with self._adding:
            force = self._force / self._count if self._count else sample.force
            self._force, self._count = np.zeros(6), 0
        return sample, force

    def __call__(self, state: Any, duration: Any) -> Any:
        """One tick."""
        sample = _sample(state)
        with self._adding:
            self._force, self._count = self._force + sample.force, self._count + 1
        if self.stopping:
            torque, over = self._stop(sample)
        else:
            torque, over = self._impedance(sample) + self._model.coriolis(state), False
            self._last = torque
        answer = self._torques(torque.tolist())
        answer.motion_finished = over
        self.newest = sample
        self.begun.set()
        return answer

    def _cartesian(self, sample: _Sample) -> F64:
        spec, c, q, dq = self._spec, self.compliance, sample.q, sample.dq
        tool = kinematics.linearise(spec, q)
        jacobian, turn = tool.jacobian, self._turn
        error = np.empty(6)
        error[:3] = self._point - tool.point
        error[3:] = pose.log(pose.from_matrix(tool.turn.T @ turn))  # along the ordered orientation's axes, and the tool's
        force = c.stiffness * np.minimum(np.maximum(error, -c.error_clip), c.error_clip)
        force[3:] = turn @ force[3:]
        force -= c.damping * (jacobian @ dq)
        posture = franka.POSTURE_STIFFNESS * (self._rest - q) - 2.0 * np.sqrt(franka.POSTURE_STIFFNESS) * dq
        free = posture - jacobian.T @ np.linalg.solve(jacobian @ jacobian.T, jacobian @ posture)
        return jacobian.T @ force + free

    def _joint(self, sample: _Sample) -> F64:
        return self._spec.joint_stiffness * (self._target - sample.q) - self._spec.joint_damping * sample.dq

    def _stop(self, sample: _Sample) -> tuple[F64, bool]:
        self._stopped += 1
        left = max(0.0, 1.0 - self._stopped / _RAMP)
        over = self._stopped >= _LONGEST_STOP or (left == 0.0 and np.abs(sample.dq).max() < _STILL)
        return left * self._last - (1.0 - left) * _STOP_DAMPING * sample.dq, bool(over)
