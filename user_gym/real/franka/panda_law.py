"""The FER's impedance law: one tick's torque from one tick's state. It knows no thread, no process and no protocol.

It is `Compliance` exactly: the error is clipped along the base's axes, the rotation's along the ordered orientation's. In the
null space of a TCP order it keeps to a posture. A stop ramps the torque down to damping, and ends at rest.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from user_gym.core import F64, Compliance, RobotSpec
from user_gym.real.franka import control_box
from user_gym.robots import kinematics, pose

_RAMP = 200  # ticks in which a stop brings the torque down to damping
_STILL = 0.02  # rad/s, of every joint, that ends a stop
_LONGEST_STOP = 1000  # ticks
_STOP_DAMPING = np.array([20.0, 20, 20, 20, 5, 5, 5])  # N m s/rad
_TINY = 1e-12


class Sample(NamedTuple):
    """One tick, as the robot told it."""

    tick: int  # ms since the robot's start
    q: F64
    dq: F64
    tau: F64
    force: F64  # (6,) of the robot on the world


def sample(state: Any) -> Sample:
    """A vendor's state as arrays."""
    force = np.array(state.O_F_ext_hat_K)
    return Sample(state.time.to_msec(), np.array(state.q), np.array(state.dq), np.array(state.tau_J), force)


class Law:
    """The torque of each tick.

    Args:
        spec: the arm.
        control: "tcp" or "joint".
        compliance: may be changed between two ticks.
        model: the vendor's, for `coriolis`.
        torques: makes the vendor's answer of a list of torques.
        rest: (dof,) rad, where the arm is; the first order, and what the null space keeps to.
    """

    def __init__(self, spec: RobotSpec, control: str, compliance: Compliance, model: Any, torques: Any, rest: F64) -> None:
        self._spec, self._model, self._torques, self._rest = spec, model, torques, rest
        self.compliance = compliance
        self.stopping = False
        self._last, self._stopped = np.zeros(spec.dof), 0
        self._impedance = self._cartesian if control == "tcp" else self._joint
        if control == "tcp":
            tool = kinematics.linearise(spec, rest)
            self._point, self._turn = tool.point, tool.turn
        self._target = rest
        self._damp = 2.0 * math.sqrt(control_box.POSTURE_STIFFNESS)

    def follow(self, target: F64) -> None:
        """The order from the next tick on: (6,) of the pose chart, or (dof,) rad."""
        if self._impedance == self._cartesian:
            at = pose.from_chart(target)
            self._point, self._turn = at[:3], pose.matrix(at[3:])
        else:
            self._target = target.copy()

    def __call__(self, state: Any, sample: Sample) -> Any:
        """One tick: the vendor's state, and the same as arrays."""
        if self.stopping:
            torque, over = self._stop(sample)
        else:
            torque, over = self._impedance(sample) + self._model.coriolis(state), False
            self._last = torque
        answer = self._torques(torque.tolist())
        answer.motion_finished = over
        return answer

    def _cartesian(self, sample: Sample) -> F64:
        spec, c, q, dq = self._spec, self.compliance, sample.q, sample.dq
        tool = kinematics.linearise(spec, q)
        jacobian, turn = tool.jacobian, self._turn
        error = np.empty(6)
        error[:3] = self._point - tool.point
        error[3:] = rotation(tool.turn.T @ turn)  # its axes are the tool's and, about its own axis, the ordered orientation's
        force = c.stiffness * np.minimum(np.maximum(error, -c.error_clip), c.error_clip)
        force[3:] = turn @ force[3:]
        force -= c.damping * (jacobian @ dq)
        posture = control_box.POSTURE_STIFFNESS * (self._rest - q) - self._damp * dq
        free = posture - jacobian.T @ np.linalg.solve(jacobian @ jacobian.T, jacobian @ posture)
        return jacobian.T @ force + free

    def _joint(self, sample: Sample) -> F64:
        return self._spec.joint_stiffness * (self._target - sample.q) - self._spec.joint_damping * sample.dq

    def _stop(self, sample: Sample) -> tuple[F64, bool]:
        self._stopped += 1
        left = max(0.0, 1.0 - self._stopped / _RAMP)
        over = self._stopped >= _LONGEST_STOP or (left == 0.0 and np.abs(sample.dq).max() < _STILL)
        return left * self._last - (1.0 - left) * _STOP_DAMPING * sample.dq, bool(over)


def rotation(m: F64) -> list[float]:
    """Rotation matrix (3, 3) to its rotation vector, rad, less than half a turn; ten times as fast as by a quaternion."""
    (a, b, c), (d, e, f), (g, h, i) = m.tolist()
    x, y, z = h - f, c - g, d - b
    sine = math.sqrt(x * x + y * y + z * z)
    scale = math.atan2(sine, a + e + i - 1.0) / sine if sine > _TINY else 0.5
    return [x * scale, y * scale, z * scale]
