"""The FER ("Panda") through the libfranka bindings of panda-python: the impedance law runs here, once a millisecond.

panda-python's own CartesianImpedance controller cannot have the task's compliance: its damping is one ratio for translation
and rotation, its rotation's error is half the angle's sine, and it clips nothing. So the law is ours, called by libfranka
for each tick, and exactly `Compliance`: the error is clipped along the base's axes, and the ordered orientation's. libfranka
filters the torque at 100 Hz and limits its change to 1 N m per millisecond.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from user_gym.core import F64, Compliance, RobotSpec, RobotState
from user_gym.errors import LinkLost, MissingExtra
from user_gym.real import franka, franka_path
from user_gym.real.franka_driver import START, FrankaDriver
from user_gym.real.franka_hand import Fingers
from user_gym.robots import kinematics, pose

_RAMP = 200  # ticks in which a stop brings the torque down to damping
_STILL = 0.02  # rad/s, of every joint, that ends a stop
_LONGEST_STOP = 1000  # ticks
_TINY = 1e-12
_STOP_DAMPING = np.array([20.0, 20, 20, 20, 5, 5, 5])  # N m s/rad


class _Sample(NamedTuple):
    """One tick, as the robot told it."""

    tick: int  # ms since the robot's start
    q: F64
    dq: F64
    tau: F64
    force: F64  # (6,) of the robot on the world


class PandaDriver(FrankaDriver):
    """A `Driver` of one FER."""

    _vendor: Any = None
    _model: Any = None
    _motion: _Motion | None = None  # the newest, running or over
    _law: _Law | None = None

    def _import(self) -> None:
        try:
            from panda_py import libfranka
        except ImportError as error:
            raise MissingExtra("panda_py", "franka") from error
        self._vendor = libfranka

    def _open(self, enforce: bool) -> Any:
        vendor = self._vendor
        robot = vendor.Robot(self._address, vendor.RealtimeConfig.kEnforce if enforce else vendor.RealtimeConfig.kIgnore)
        self._model = robot.load_model()
        return robot

    def _inspect(self, robot: Any) -> tuple[str, F64]:
        state = robot.read_once()
        return str(state.robot_mode), np.array(state.F_T_EE).reshape(4, 4).T

    def _prepare(self, robot: Any) -> None:
        o = self._options
        torque, force = [o.torque_threshold] * 7, [o.force_threshold] * 6
        robot.set_collision_behavior(torque, torque, force, force)
        if o.load is not None:
            robot.set_load(o.load.mass, list(o.load.com), list(o.load.inertia))

    def _open_hand(self) -> tuple[Fingers, Callable[[], Any]]:
        fingers = self._vendor.Gripper(self._address)
        return fingers, fingers.read_once

    def _newest(self) -> RobotState:
        law = self._law
        sample = law.newest if law is not None and self._running() else _sample(self._robot.read_once())
        return self._state(sample, sample.force)

    def _travel(self, waypoints: Sequence[F64], joints: Sequence[F64], speed: float) -> None:
        robot, vendor = self._robot, self._vendor
        # From where the robot wants to be, not from where it is: its motion generator begins there.
        way = franka_path.plan(self.spec, np.array(robot.read_once().q_d), joints, speed).tolist()
        at = 0

        def follow(_: Any, duration: Any) -> Any:
            nonlocal at
            at = min(at + duration.to_msec(), len(way) - 1)
            positions = vendor.JointPositions(way[at])
            positions.motion_finished = at == len(way) - 1
            return positions

        self._motion = _Motion("franka-move", lambda: robot.control_joint_position(follow))
        with self._clock.free():
            self._motion.start()
            self._join()

    def _start(self) -> None:
        robot = self._robot
        rest = np.array(robot.read_once().q)
        self._law = law = _Law(self.spec, self._control, self._compliance, self._model, self._vendor.Torques, rest)
        self._motion = _Motion("franka-control", lambda: robot.control(law))
        self._motion.start()

    def _first(self) -> int:
        return self._ours().wait(START).tick

    def _follow(self, target: F64) -> None:
        self._ours().follow(target)

    def _comply(self) -> None:
        self._ours().compliance = self._compliance

    def _collect(self) -> RobotState:
        return self._state(*self._ours().collect())

    def _running(self) -> bool:
        return self._motion is not None and not self._motion.wait(0.0)

    def _ended(self, timeout: float) -> bool:
        motion = self._motion
        if motion is None:
            return True
        over = motion.wait(timeout)
        if motion.error is not None:
            raise motion.error
        return over

    def _stop(self) -> None:
        self._ours().stopping = True

    def _clear(self, robot: Any) -> None:
        robot.automatic_error_recovery()

    def _ours(self) -> _Law:
        assert self._law is not None  # set by _start
        return self._law

    def _state(self, sample: _Sample, force: F64) -> RobotState:
        return self._assemble(sample.tick, sample.q, sample.dq, sample.tau, force)


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
        self._begun = threading.Event()
        self.newest: Any = None  # _Sample, once there is one
        self._adding = threading.Lock()
        self._force, self._count = np.zeros(6), 0
        self._last, self._stopped = np.zeros(spec.dof), 0
        self._impedance = self._cartesian if control == "tcp" else self._joint
        if control == "tcp":
            tool = kinematics.linearise(spec, rest)
            self._point, self._turn = tool.point, tool.turn
        self._target = rest
        self._damp = 2.0 * math.sqrt(franka.POSTURE_STIFFNESS)

    def follow(self, target: F64) -> None:
        """The order from the next tick on: (6,) of the pose chart, or (dof,) rad."""
        if self._impedance == self._cartesian:
            at = pose.from_chart(target)
            self._point, self._turn = at[:3], pose.matrix(at[3:])
        else:
            self._target = target.copy()

    def wait(self, timeout: float) -> _Sample:
        """The newest tick, once there is one. Raises LinkLost."""
        if not self._begun.wait(timeout):
            raise LinkLost(f"{self._spec.name} accepted a motion, but none began within {timeout} s")
        return self.newest

    def collect(self) -> tuple[_Sample, F64]:
        """The newest tick, and the mean force since the last call."""
        with self._adding:
            sample = self.newest
            force = self._force / max(self._count, 1)
            self._force, self._count = np.zeros(6), 0
        return sample, force

    def __call__(self, state: Any, duration: Any) -> Any:
        """One tick."""
        sample = _sample(state)
        if self.stopping:
            torque, over = self._stop(sample)
        else:
            torque, over = self._impedance(sample) + self._model.coriolis(state), False
            self._last = torque
        answer = self._torques(torque.tolist())
        answer.motion_finished = over
        with self._adding:
            self.newest, self._force, self._count = sample, self._force + sample.force, self._count + 1
        self._begun.set()
        return answer

    def _cartesian(self, sample: _Sample) -> F64:
        spec, c, q, dq = self._spec, self.compliance, sample.q, sample.dq
        tool = kinematics.linearise(spec, q)
        jacobian, turn = tool.jacobian, self._turn
        error = np.empty(6)
        error[:3] = self._point - tool.point
        error[3:] = _rotation(tool.turn.T @ turn)  # its axes are the tool's and, about its own axis, the ordered orientation's
        force = c.stiffness * np.minimum(np.maximum(error, -c.error_clip), c.error_clip)
        force[3:] = turn @ force[3:]
        force -= c.damping * (jacobian @ dq)
        posture = franka.POSTURE_STIFFNESS * (self._rest - q) - self._damp * dq
        free = posture - jacobian.T @ np.linalg.solve(jacobian @ jacobian.T, jacobian @ posture)
        return jacobian.T @ force + free

    def _joint(self, sample: _Sample) -> F64:
        return self._spec.joint_stiffness * (self._target - sample.q) - self._spec.joint_damping * sample.dq

    def _stop(self, sample: _Sample) -> tuple[F64, bool]:
        self._stopped += 1
        left = max(0.0, 1.0 - self._stopped / _RAMP)
        over = self._stopped >= _LONGEST_STOP or (left == 0.0 and np.abs(sample.dq).max() < _STILL)
        return left * self._last - (1.0 - left) * _STOP_DAMPING * sample.dq, bool(over)


def _rotation(m: F64) -> list[float]:
    """Rotation matrix (3, 3) to its rotation vector, rad, less than half a turn; ten times as fast as by a quaternion."""
    (a, b, c), (d, e, f), (g, h, i) = m.tolist()
    x, y, z = h - f, c - g, d - b
    sine = math.sqrt(x * x + y * y + z * z)
    scale = math.atan2(sine, a + e + i - 1.0) / sine if sine > _TINY else 0.5
    return [x * scale, y * scale, z * scale]
