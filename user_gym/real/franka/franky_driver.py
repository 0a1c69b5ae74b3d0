"""The FR3 through franky-control 2: torque control in franky's own C++ thread, orders and states from here.

`control="tcp"` is franky's Cartesian impedance tracking with the compliance of the spec, a clipped error and a posture term in
the null space; `control="joint"` its joint impedance tracking. Two differences from `Compliance`: franky clips the rotation's
error along the base's axes, not the ordered orientation's, and limits the torque's change to 1 N m per millisecond.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from user_gym.core import F64, RobotState
from user_gym.errors import LinkLost, MissingExtra
from user_gym.real.franka import control_box, path
from user_gym.real.franka.driver import CATCH_UP, START, TICK, FrankaDriver
from user_gym.real.franka.hand import Fingers
from user_gym.robots import kinematics, pose

# franky plans with the FER's limits whatever it is connected to; these are the FR3's (libfranka 0.15, rate_limiting.h).
_JOINT_ACCELERATION, _JOINT_JERK = 10.0, 5000.0  # rad/s2, rad/s3
_TRANSLATION, _ROTATION = (9.0, 4500.0), (17.0, 8500.0)  # m/s2, m/s3; rad/s2, rad/s3
_ELBOW = 1.5  # rad/s
_GENTLE = 0.1  # share of acceleration and jerk that a slow motion uses
_LEVER = 2.0  # m: a slow joint motion's TCP moves no faster than this times its fastest joint


class FrankyDriver(FrankaDriver):
    """A `Driver` of one FR3."""

    _vendor: Any = None
    _opening: control_box.Call | None = None  # of a client that nobody has yet
    _motion: Any = None  # what follows orders
    _brakes: Callable[[], Any]  # what makes a planned motion's end before its goal; `Robot.stop` would leave franky stuck
    _rest: F64  # (7,) rad, of the posture term
    _target: F64  # (6,) or (7,)
    _ticks: _Ticks

    def _import(self) -> None:
        try:
            import franky
        except ImportError as error:
            raise MissingExtra("franky", "franka") from error
        self._vendor = franky

    def _open(self, enforce: bool) -> Any:
        franky = self._vendor
        mode = franky.RealtimeConfig.Enforce if enforce else franky.RealtimeConfig.Ignore
        # One that was given up goes on by itself and becomes the box's only client: the next attempt is that one.
        opening = self._opening or control_box.Call(lambda: franky.Robot(self._address, realtime_config=mode))
        self._opening = opening
        try:
            return opening.result(self.spec.name, self._address)
        finally:
            if opening.over:
                self._opening = None

    def _inspect(self, robot: Any) -> tuple[str, F64]:
        state = robot.state
        return str(state.robot_mode), np.array(state.F_T_EE.matrix)

    def _prepare(self, robot: Any) -> None:
        o = self._options
        self._bounded(lambda: robot.set_collision_behavior(o.torque_threshold, o.force_threshold))
        if (load := o.load) is not None:
            self._bounded(lambda: robot.set_load(load.mass, list(load.com), list(load.inertia)))
        for limit, value in ((robot.joint_acceleration_limit, _JOINT_ACCELERATION), (robot.joint_jerk_limit, _JOINT_JERK)):
            limit.set(np.minimum(value, limit.max))
        for limit, value in (
            (robot.translation_acceleration_limit, _TRANSLATION[0]),
            (robot.translation_jerk_limit, _TRANSLATION[1]),
            (robot.rotation_acceleration_limit, _ROTATION[0]),
            (robot.rotation_jerk_limit, _ROTATION[1]),
            (robot.elbow_velocity_limit, _ELBOW),
        ):
            limit.set(min(value, limit.max))

    def _open_hand(self) -> tuple[Fingers, Callable[[], Any]]:
        fingers = self._bounded(lambda: self._vendor.Gripper(self._address))
        return fingers, lambda: fingers.state

    def _newest(self) -> RobotState:
        state = self._robot.state
        return self._state(state, np.array(state.O_F_ext_hat_K))

    def _travel(self, waypoints: Sequence[F64], joints: Sequence[F64], speed: float) -> None:
        franky, robot = self._vendor, self._robot
        robot.translation_velocity_limit.set(min(speed, robot.translation_velocity_limit.max))
        robot.rotation_velocity_limit.set(min(path.TURN_PER_METRE * speed, robot.rotation_velocity_limit.max))
        robot.joint_velocity_limit.set(np.minimum(speed / _LEVER, robot.joint_velocity_limit.max))
        gentle = franky.RelativeDynamicsFactor(1.0, _GENTLE, _GENTLE)
        for waypoint, q in zip(waypoints, joints, strict=True):
            goal = franky.RobotPose(_affine(franky, waypoint), franky.ElbowState(float(q[2])))
            self._run(franky.CartesianMotion(goal, relative_dynamics_factor=gentle), franky.CartesianStopMotion)
        # The last tenths of a millimetre, and the one posture of this pose.
        self._run(franky.JointMotion(joints[-1], relative_dynamics_factor=gentle), franky.JointStopMotion)

    def _run(self, motion: Any, brakes: Callable[[], Any]) -> None:
        """Run one planned motion to its end; `brakes` makes the motion of its kind that ends it before."""
        self._brakes = brakes
        with self._clock.free():
            self._robot.move(motion, asynchronous=True)
            self._join(self._clock.check, self._options.patience)

    def _start(self) -> None:
        self._rest = np.array(self._robot.state.q)
        if self._control == "tcp":
            self._target = pose.to_chart(kinematics.forward(self.spec, self._rest))
        else:
            self._target = self._rest
        self._ticks = _Ticks()
        self._comply()

    def _comply(self) -> None:
        """Start a motion that follows. One that runs is replaced seamlessly: its clip is fixed for its life."""
        motion = self._tracking()
        motion.register_callback(self._ticks.see)
        self._motion = motion
        self._follow(self._target)
        self._robot.move(motion, asynchronous=True)

    def _tracking(self) -> Any:
        franky, spec, c = self._vendor, self.spec, self._compliance
        if self._control == "joint":
            return franky.JointImpedanceTrackingMotion(stiffness=spec.joint_stiffness, damping=spec.joint_damping)
        motion = franky.CartesianImpedanceTrackingMotion(
            translational_error_clip=c.error_clip[:3],
            rotational_error_clip=c.error_clip[3:],
            gains_time_constant=TICK,  # the default of 0.1 s ramps the stiffness for half a second
            posture_task=franky.PostureTask(self._rest, control_box.POSTURE_STIFFNESS),
        )
        motion.set_gains(franky.CartesianImpedanceGains.diagonal(c.stiffness, c.damping))
        return motion

    def _first(self) -> int:
        self._ticks.wait(0, START)
        return self._robot.state.time.to_msec()

    def _follow(self, target: F64) -> None:
        franky = self._vendor
        self._target = target.copy()
        if self._control == "tcp":
            self._motion.set_reference(franky.CartesianReference(target=_affine(franky, target)))
        else:
            self._motion.set_reference(franky.JointReference(self._target))

    def _collect(self) -> RobotState:
        state = self._robot.state
        self._ticks.wait(state.time.to_msec(), CATCH_UP)
        return self._state(state, self._ticks.mean())

    def _running(self) -> bool:
        return bool(self._robot.is_in_control)

    def _ended(self, timeout: float) -> bool:
        return bool(self._robot.join_motion(timeout))

    def _stop(self) -> None:
        if self._travelling:
            self._robot.move(self._brakes(), asynchronous=True)
            return
        self._robot.move(self._vendor.TorqueStopMotion(), asynchronous=True)

    def _clear(self, robot: Any) -> None:
        self._bounded(robot.recover_from_errors)  # its answer is of a state from before

    def _bounded(self, call: Callable[[], Any]) -> Any:
        return control_box.Call(call).result(self.spec.name, self._address)

    def _state(self, state: Any, force: F64) -> RobotState:
        return self._assemble(state.time.to_msec(), np.array(state.q), np.array(state.dq), np.array(state.tau_J), force)


class _Ticks:
    """Sees every tick of a motion, from a thread of franky's own, and sums the force of the robot on the world."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._sum, self._count, self._last = np.zeros(6), 0, -1

    def see(self, state: Any, *_: Any) -> None:
        """One tick."""
        force, now = state.O_F_ext_hat_K, state.time.to_msec()
        with self._news:
            self._sum += force
            self._count += 1
            self._last = now
            self._news.notify_all()

    def wait(self, until: int, timeout: float) -> None:
        """Wait for a tick (ms) or a later one. Raises LinkLost."""
        with self._news:
            if not self._news.wait_for(lambda: self._last >= until, timeout):
                raise LinkLost(
                    f"the robot's motion sent no tick for {timeout} s; it did not begin, or this process is overloaded"
                )

    def mean(self) -> F64:
        """Mean force (6,) since the last call."""
        with self._news:
            mean = self._sum / max(self._count, 1)
            self._sum, self._count = np.zeros(6), 0
            return mean


def _affine(franky: Any, tcp: F64) -> Any:
    """A pose of the chart as franky has it."""
    at = pose.from_chart(tcp)
    return franky.Affine(at[:3], at[3:])
