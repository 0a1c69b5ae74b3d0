"""The FR3 through franky-control 2: torque control in franky's own C++ thread, orders and states from here.

`control="tcp"` is franky's Cartesian impedance tracking with the compliance of the spec, a clipped error and a posture term in
the null space; `control="joint"` its joint impedance tracking. Two differences from `Compliance`: franky clips the rotation's
error along the base's axes, not the ordered orientation's, and limits the torque's change to 1 N m per millisecond.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from user_gym.core import F64, Command, Compliance, RobotSpec, RobotState
from user_gym.errors import Closed, LinkLost, MissingExtra, NotReset, Reflex, RobotFault
from user_gym.real import franka, franka_path
from user_gym.real.driver import Clock
from user_gym.real.franka_hand import FrankaHand
from user_gym.robots import pose, reach

# franky plans with the FER's limits whatever it is connected to; these are the FR3's (libfranka 0.15, rate_limiting.h).
_JOINT_ACCELERATION, _JOINT_JERK = 10.0, 5000.0  # rad/s2, rad/s3
_TRANSLATION, _ROTATION = (9.0, 4500.0), (17.0, 8500.0)  # m/s2, m/s3; rad/s2, rad/s3
_ELBOW = 1.5  # rad/s
_GENTLE = 0.1  # share of acceleration and jerk that a slow motion uses
_LEVER = 2.0  # m: a slow joint motion's TCP moves no faster than this times its fastest joint
_TICK = 0.001  # s
_CATCH_UP = 1.0  # s of the wall's time that the thread which sees every tick may be behind


class FrankyDriver:
    """A `Driver` of one FR3.

    Args:
        spec: franka-fr3.
        control: "tcp" or "joint".
        address: of the robot's control box, or of a twin.
        clock: the wall's, or a twin's gate; connected by its owner.
        load: (kg, 3 m from the flange, 9 kg m2) that the gripper holds; None: what the robot's Desk says.
        realtime: "auto": insist on a real-time kernel, but not for a twin on this machine; "enforce"; "ignore".
        force_threshold: N of contact on one axis that stop the arm. The task presses with 20 N.
        torque_threshold: N m of contact on one joint that stop the arm.
        gripper: False: leave the hand alone.
        patience: s of the wall's time that a motion or a stop may take.
    """

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
        self._hand: FrankaHand | None = None
        self._motion: Any = None  # what follows orders
        self._rest = spec.home
        self._zero = 0
        self._target: F64 = np.zeros(6)
        self._ticks = _Ticks()
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
            import franky
        except ImportError as error:
            raise MissingExtra("franky", "franka") from error
        self._vendor = franky
        enforce = franka.enforce_realtime(self._options.realtime, self._address)
        with self._asking():
            mode = franky.RealtimeConfig.Enforce if enforce else franky.RealtimeConfig.Ignore
            robot = franka.bounded(lambda: franky.Robot(self._address, realtime_config=mode), self.spec.name, self._address)
            state = robot.state
            franka.refuse_mode(str(state.robot_mode), self.spec.name, self._address)
            franka.check_tool(self.spec, np.array(state.F_T_EE.matrix), self._address)
            self._prepare(robot)
            self._robot, self._lost = robot, False
            if self._options.gripper and self._hand is None:
                fingers = franka.bounded(lambda: franky.Gripper(self._address), "gripper", self._address)
                self._hand = FrankaHand(self.spec.gripper, fingers, lambda: fingers.state)
                self._hand.open()

    def _prepare(self, robot: Any) -> None:
        """Load, thresholds and limits of planned motions."""
        o = self._options
        robot.set_collision_behavior(o.torque_threshold, o.force_threshold)
        if o.load is not None:
            robot.set_load(o.load.mass, list(o.load.com), list(o.load.inertia))
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

    def measure(self) -> RobotState:
        """As `Driver.measure`; its wrench is the moment's."""
        with self._asking():
            state = self._connected().state
        return self._assemble(state, -np.array(state.O_F_ext_hat_K))

    def move(self, waypoints: Sequence[F64], speed: float) -> None:
        """As `Driver.move`: straight lines of the TCP; the elbow ends in the posture of `reach.solve`, wherever it was."""
        franka.check_speed(speed)
        joints = [reach.solve(self.spec, waypoint) for waypoint in waypoints]
        if not joints:
            return
        self.hold()
        franky, robot = self._vendor, self._connected()
        gentle = franky.RelativeDynamicsFactor(1.0, _GENTLE, _GENTLE)
        with self._asking():
            robot.translation_velocity_limit.set(min(speed, robot.translation_velocity_limit.max))
            robot.rotation_velocity_limit.set(min(franka_path.TURN_PER_METRE * speed, robot.rotation_velocity_limit.max))
            robot.joint_velocity_limit.set(np.minimum(speed / _LEVER, robot.joint_velocity_limit.max))
        for waypoint, q in zip(waypoints, joints, strict=True):
            goal = franky.RobotPose(_affine(franky, waypoint), franky.ElbowState(float(q[2])))
            self._finish(franky.CartesianMotion(goal, relative_dynamics_factor=gentle))
        # The last tenths of a millimetre, and the one posture of this pose.
        self._finish(franky.JointMotion(joints[-1], relative_dynamics_factor=gentle))

    def _finish(self, motion: Any) -> None:
        """Run one planned motion to its end."""
        robot = self._connected()
        with self._clock.free(), self._asking():
            robot.move(motion, asynchronous=True)
            self._join(robot)

    def _join(self, robot: Any) -> None:
        if not robot.join_motion(self._options.patience):
            self._lost = True
            raise LinkLost(
                f"{self.spec.name} at {self._address} did not end its motion within {self._options.patience} s; "
                "look whether it still moves, or give more patience"
            )

    def begin(self) -> RobotState:
        """As `Driver.begin`."""
        self.hold()
        robot = self._connected()
        with self._asking():
            state = robot.state
            franka.refuse_mode(str(state.robot_mode), self.spec.name, self._address)
            self._rest = np.array(state.q)
            measured = self._assemble(state, np.zeros(6))
            self._target = measured.tcp if self._control == "tcp" else measured.q
            self._ticks = _Ticks()
            self._follow()
        self._clock.start()
        self._tick(_TICK)
        self._ticks.first(_CATCH_UP)
        with self._asking():
            state = robot.state
        self._zero = state.time.to_msec()
        self._clock.start()
        return self._collect(state)

    def _follow(self) -> None:
        """Start a motion that follows `_target`, or let a new one take over seamlessly from the one that runs."""
        motion = self._tracking()
        motion.register_callback(self._ticks.see)
        self._refer(motion)
        self._connected().move(motion, asynchronous=True)
        self._motion = motion

    def _tracking(self) -> Any:
        franky, spec, c = self._vendor, self.spec, self._compliance
        if self._control == "joint":
            return franky.JointImpedanceTrackingMotion(stiffness=spec.joint_stiffness, damping=spec.joint_damping)
        motion = franky.CartesianImpedanceTrackingMotion(
            translational_error_clip=c.error_clip[:3],
            rotational_error_clip=c.error_clip[3:],
            gains_time_constant=_TICK,  # the default of 0.1 s ramps the stiffness for half a second
            posture_task=franky.PostureTask(self._rest, franka.POSTURE_STIFFNESS),
        )
        motion.set_gains(franky.CartesianImpedanceGains.diagonal(c.stiffness, c.damping))
        return motion

    def _refer(self, motion: Any) -> None:
        franky = self._vendor
        if self._control == "tcp":
            motion.set_reference(franky.CartesianReference(target=_affine(franky, self._target)))
        else:
            motion.set_reference(franky.JointReference(self._target))

    def exchange(self, command: Command, period: float) -> RobotState:
        """As `Driver.exchange`."""
        self._target = franka.order(command, self._control, self.spec).copy()
        if self._motion is None:
            raise NotReset("exchange before begin; call begin first")
        with self._asking():
            self._refer(self._motion)
        if self._hand is not None:
            self._hand.order(float(command.gripper))
        self._tick(period)
        with self._asking():
            state = self._connected().state
        return self._collect(state)

    def _tick(self, period: float) -> None:
        """Let a period pass, and tell how the motion ended where it did."""
        robot = self._connected()
        try:
            self._clock.tick(period)
        except (Reflex, LinkLost) as error:  # any other fault of the clock's: the motion goes on until it is told to hold
            self._motion = None
            self._lost |= isinstance(error, LinkLost)
            with self._asking():  # the robot's own words before the clock's
                robot.join_motion(_CATCH_UP)
            raise
        if not robot.is_in_control:
            self._motion = None
            with self._asking():
                robot.join_motion(_CATCH_UP)
            raise Reflex(f"{self.spec.name} at {self._address} ended its motion without a word; recover() makes it ready again")

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`. The error's clip is fixed for a motion's life, so that a new motion takes over."""
        franka.check_compliance(compliance, self._control)
        self._compliance = compliance
        if self._motion is not None:
            with self._asking():
                self._follow()

    def hold(self) -> None:
        """As `Driver.hold`: the torque ramps down to damping within 0.2 s, then the robot's own controller holds."""
        robot, motion = self._connected(), self._motion
        self._motion = None
        if motion is None or self._lost or not robot.is_in_control:
            return
        with self._asking():
            # Queued while a gated twin is frozen, so that it takes over at the same tick in every run.
            robot.move(self._vendor.TorqueStopMotion(), asynchronous=True)
            with self._clock.free():
                self._join(robot)

    def recover(self) -> None:
        """As `Driver.recover`: once, and only what the fault was. A user stop takes a person."""
        self._motion = None
        if self._lost or self._robot is None:
            self._drop()
            self.connect()
            return
        with self._asking():
            mode = str(self._robot.state.robot_mode)
            if "Reflex" in mode and not self._robot.recover_from_errors():
                raise RobotFault(
                    f"{self.spec.name} at {self._address} cannot recover from its reflex by itself; "
                    "free it by hand, or unlock it in its Desk"
                )
            franka.refuse_mode(str(self._robot.state.robot_mode), self.spec.name, self._address)

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
        self._motion, robot, hand = None, self._robot, self._hand
        self._robot = self._hand = None
        if hand is not None:
            hand.close()
        if robot is not None and not self._lost and robot.is_in_control:
            with self._asking():
                robot.stop()

    def _connected(self) -> Any:
        if self._robot is None:
            raise Closed(f"{self.spec.name} at {self._address} is not connected; call connect()")
        return self._robot

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn the vendor's exceptions into ours, and remember a lost link: that client object is of no more use."""
        try:
            yield
        except RobotFault as error:
            self._lost |= isinstance(error, LinkLost)
            raise
        except (Closed, NotReset, ValueError, TypeError):
            raise
        except Exception as error:  # several of franky's exceptions derive from nothing but this
            told = franka.fault(error, self.spec.name, self._address)
            self._lost |= isinstance(told, LinkLost)
            raise told from error

    def _collect(self, state: Any) -> RobotState:
        """The state of now, with the mean wrench of all ticks since the last one."""
        mean = self._ticks.mean(state.time.to_msec(), _CATCH_UP)
        return self._assemble(state, -np.array(state.O_F_ext_hat_K) if mean is None else -mean)

    def _assemble(self, state: Any, wrench: F64) -> RobotState:
        opening = 0.0 if self._hand is None else self._hand.opening
        time = (state.time.to_msec() - self._zero) * _TICK
        return franka.assemble(self.spec, time, np.array(state.q), np.array(state.dq), np.array(state.tau_J), wrench, opening)


class _Ticks:
    """Sees every tick of a motion, from a thread of franky's own, and sums the wrench."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._sum, self._count, self._last = np.zeros(6), 0, -1

    def see(self, state: Any, *_: Any) -> None:
        """One tick."""
        wrench, now = state.O_F_ext_hat_K, state.time.to_msec()
        with self._news:
            self._sum += wrench
            self._count += 1
            self._last = now
            self._news.notify_all()

    def first(self, timeout: float) -> None:
        """Wait until there was one. Raises LinkLost."""
        with self._news:
            if not self._news.wait_for(lambda: self._last >= 0, timeout):
                raise LinkLost(f"the robot accepted a motion, but none began within {timeout} s")

    def mean(self, until: int, timeout: float) -> F64 | None:
        """Mean force (6,) of the robot on the world since the last call, up to the tick `until` (ms); None: no tick."""
        with self._news:
            self._news.wait_for(lambda: self._last >= until, timeout)
            mean = self._sum / self._count if self._count else None
            self._sum, self._count = np.zeros(6), 0
            return mean


def _affine(franky: Any, tcp: F64) -> Any:
    """A pose of the chart as franky has it."""
    at = pose.from_chart(tcp)
    return franky.Affine(at[:3], at[3:])
