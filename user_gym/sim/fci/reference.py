"""Where a motion generator wants the arm: the last accepted reference, and how each kind of command moves it one tick on."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from user_gym.core import F64
from user_gym.robots import franka
from user_gym.robots.wire.fci import TICK, Generator
from user_gym.sim.fci.body import Body
from user_gym.sim.fci.tool import Tool, is_frame

TOLERANCE = 1.02  # of every limit: clients plan up to theirs in floats of 32 bits
# Where joint 4 stretches the arm: the angles between its offset of 82.5 mm and the links of 316 and 384 mm (kinematics.yaml).
ELBOW_FLIP = -(math.atan(0.0825 / 0.316) + math.atan(0.0825 / 0.384))  # rad
_NO_TWIST = np.zeros(6)
_JOINT = (Generator.JOINT_POSITION, Generator.JOINT_VELOCITY)


def elbow(q: F64) -> F64:
    """FCI's elbow (2,): joint 3, and on which side joint 4 is bent."""
    return np.array([q[2], -1.0 if q[3] <= ELBOW_FLIP else 1.0])


class Reference:
    """The arm's own reference: `q, dq, ddq` of the joints, `pose, twist, acceleration` of the end effector.

    Args:
        body: whose kinematics it uses.
        tool: whose end effector it places.
    """

    def __init__(self, body: Body, tool: Tool) -> None:
        self._body, self._tool = body, tool
        name, spec = body.spec.name, body.spec
        self._q_min, self._q_max = spec.q_min, spec.q_max
        self._dq_max = spec.dq_max * TOLERANCE
        self._ddq_max, self._dddq_max = franka.ACCELERATION[name] * TOLERANCE, franka.JERK[name] * TOLERANCE
        self._cartesian = franka.CARTESIAN[name] * TOLERANCE
        self._velocity = franka.VELOCITY.get(name)
        self.strict = False  # whether velocities, accelerations and jerks beyond the limits are refused
        self.rest()

    def rest(self) -> None:
        """Begin where the arm is, at rest."""
        self.q, self.dq, self.ddq = self._body.q.copy(), np.zeros(7), np.zeros(7)
        self.hold()
        self.follow_tool()

    def hold(self) -> None:
        """Stay where the reference is."""
        self.dq, self.ddq = np.zeros(7), np.zeros(7)
        self.twist, self.acceleration = _NO_TWIST, _NO_TWIST

    def follow_tool(self) -> None:
        """The end effector's reference is where the arm is; after the tool or the arm was changed by hand."""
        self.pose = self._body.frame(self._tool.ee)
        self.elbow = elbow(self.q)

    def accept(self, kind: Generator, command: np.void) -> str | None:
        """Move one tick on as ordered. The name of the error where the order is refused; the reference then stays."""
        if kind in _JOINT:
            return self._joints(kind, command)
        if kind in (Generator.CARTESIAN_POSITION, Generator.CARTESIAN_VELOCITY):
            return self._cartesian_order(kind, command)
        self.q, self.pose = self._body.q.copy(), self._body.frame(self._tool.ee)  # torque control: nothing is generated
        self.elbow = elbow(self.q)
        return None

    def extrapolate(self) -> None:
        """No order arrived: go on at the same speed."""
        if self.dq.any():
            q = np.clip(self.q + self.dq * TICK, self._q_min, self._q_max)
            self.q = q
        if self.twist.any():
            self.pose = _moved(self.pose, self.twist)

    def _joints(self, kind: Generator, command: np.void) -> str | None:
        if kind is Generator.JOINT_POSITION:
            q = command["q_c"].copy()
            dq = (q - self.q) / TICK
        else:
            dq = command["dq_c"].copy()
            q = self.q + dq * TICK
        if (q < self._q_min).any() or (q > self._q_max).any():
            return "joint_motion_generator_position_limits_violation"
        ddq = (dq - self.dq) / TICK
        if self.strict:
            if (np.abs(dq) > self._fastest(self.q, dq)).any():
                return "joint_motion_generator_velocity_limits_violation"
            if (np.abs(ddq) > self._ddq_max).any():
                return "joint_motion_generator_velocity_discontinuity"
            if (np.abs(ddq - self.ddq) > self._dddq_max * TICK).any():
                return "joint_motion_generator_acceleration_discontinuity"
        self.q, self.dq, self.ddq = q, dq, ddq
        return None

    def _fastest(self, q: F64, dq: F64) -> F64:
        """rad/s (7,) that each joint may turn at where it is, in the direction it goes."""
        if self._velocity is None:
            return self._dq_max
        k, offset, upper, lower, cap = self._velocity.T
        room = np.where(dq >= 0, upper - q, q + lower)
        return np.clip(np.sqrt(np.maximum(k * room, 0.0)) - offset, 0.0, cap) * TOLERANCE

    def _cartesian_order(self, kind: Generator, command: np.void) -> str | None:
        if kind is Generator.CARTESIAN_POSITION:
            goal = command["O_T_EE_c"].reshape(4, 4).T.copy()
            if not is_frame(goal):
                return "cartesian_position_motion_generator_invalid_frame"
            twist = _difference(self.pose, goal)
        else:
            twist = command["O_dP_EE_c"].copy()
            goal = _moved(self.pose, twist)
        acceleration = (twist - self.twist) / TICK
        if self.strict and (error := self._cartesian_error(twist, acceleration)) is not None:
            return error
        wanted = command["elbow_c"].copy() if command["valid_elbow"] else None
        q = self._body.solve(self.q, goal, self._tool.ee, None if wanted is None else float(wanted[0]))
        if q is None or (q < self._q_min).any() or (q > self._q_max).any():
            return "cartesian_motion_generator_joint_position_limits_violation"
        dq = (q - self.q) / TICK
        if self.strict and (np.abs(dq) > self._fastest(self.q, dq)).any():
            return "cartesian_motion_generator_joint_velocity_limits_violation"
        self.q, self.dq, self.ddq = q, dq, (dq - self.dq) / TICK
        self.pose, self.twist, self.acceleration = goal, twist, acceleration
        self.elbow = elbow(q) if wanted is None else wanted
        return None

    def _cartesian_error(self, twist: F64, acceleration: F64) -> str | None:
        jerk = (acceleration - self.acceleration) / TICK
        for part, (velocity_max, acceleration_max, jerk_max) in zip((slice(0, 3), slice(3, 6)), self._cartesian, strict=True):
            if np.linalg.norm(twist[part]) > velocity_max:
                return "cartesian_motion_generator_velocity_limits_violation"
            if np.linalg.norm(acceleration[part]) > acceleration_max:
                return "cartesian_motion_generator_velocity_discontinuity"
            if np.linalg.norm(jerk[part]) > jerk_max:
                return "cartesian_motion_generator_acceleration_discontinuity"
        return None


def _difference(a: F64, b: F64) -> F64:
    """Twist (6,) m/s, rad/s that takes frame a to b in one tick, base axes."""
    return difference(a, b) / TICK


def difference(a: F64, b: F64) -> F64:
    """(6,) m, rad from frame a to frame b, both (4, 4), base axes."""
    out, quat = np.empty(6), np.empty(4)
    out[:3] = b[:3, 3] - a[:3, 3]
    mujoco.mju_mat2Quat(quat, (b[:3, :3] @ a[:3, :3].T).ravel())
    mujoco.mju_quat2Vel(out[3:], quat, 1.0)
    return out


def _moved(frame: F64, twist: F64) -> F64:
    """The frame (4, 4) one tick on."""
    quat, turn = np.array([1.0, 0.0, 0.0, 0.0]), np.empty(9)
    mujoco.mju_quatIntegrate(quat, twist[3:], TICK)
    mujoco.mju_quat2Mat(turn, quat)
    out = frame.copy()
    out[:3, :3] = turn.reshape(3, 3) @ frame[:3, :3]
    out[:3, 3] += twist[:3] * TICK
    return out
