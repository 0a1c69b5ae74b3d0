"""The arm's controller: the same Cartesian impedance and joint servos as the MuJoCo twin's, one substep at a time.

`control="tcp"`: force = clip(K e) along the base's axes, torque = clip(K e) along the ordered orientation's own axes, minus
D v where the damping is Cartesian. What belongs to single joints (an ARX motor's own damping, the null space of a redundant
arm, servos under `control="joint"`) is left to PhysX's joint drives, which integrate it implicitly; `drives` says with what
gains. Gravity is compensated by the arm itself, so the simulated links have none.

Dry friction in the joints is a bristle that yields `BRISTLE` rad and then slides (Dahl's model), and that gives way with a
time constant of `CREEP`: MuJoCo's soft constraints let joints that are held by friction creep as well. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from user_gym.core import F64, Compliance, Damping, RobotSpec
from user_gym.robots import pose
from user_gym.robots.kinematics import Linear
from user_gym.sim.plant import NULL_DAMPING, NULL_SPRING

BRISTLE = 0.001  # rad
CREEP = 0.1  # s
_TINY = 1e-9


class Drives(NamedTuple):
    """Gains of the joints' own drives: torque = stiffness * (target - q) - damping * dq."""

    stiffness: F64  # (dof,) N m/rad
    damping: F64  # (dof,) N m s/rad


def drives(spec: RobotSpec, control: str) -> Drives:
    """What of the controller belongs to single joints."""
    none, redundant = np.zeros(spec.dof), spec.dof > 6
    if control == "joint":
        return Drives(spec.joint_stiffness, spec.joint_damping)
    if spec.damping is Damping.JOINT:
        return Drives(none, spec.joint_damping)
    return Drives(none + NULL_SPRING * redundant, none + NULL_DAMPING * redundant)


class Impedance:
    """Torques that pull one arm's TCP towards an ordered pose.

    Args:
        spec: the arm.
        compliance: how it yields.
    """

    def __init__(self, spec: RobotSpec, compliance: Compliance) -> None:
        self._spec = spec
        self._point, self._turn = np.zeros(3), np.eye(3)
        self.set_compliance(compliance)

    def set_compliance(self, compliance: Compliance) -> None:
        """Change how it yields, from the next substep on."""
        self._stiffness = compliance.stiffness
        self._most = compliance.stiffness * compliance.error_clip  # (6,) N, N m
        self._damping = compliance.damping if self._spec.damping is Damping.CARTESIAN else None

    def order(self, tcp: F64) -> None:
        """Where to: (6,) m, rad, the pose chart."""
        target = pose.from_chart(tcp)
        self._point, self._turn = target[:3], pose.matrix(target[3:])

    def torque(self, now: Linear, dq: F64) -> F64:
        """Torques (dof,) N m at one configuration, for joint speeds (dof,) rad/s; without gravity's share."""
        error = np.empty(6)
        error[:3] = self._point - now.point
        error[3:] = _rotation(now.turn.T @ self._turn)
        wrench = np.minimum(np.maximum(self._stiffness * error, -self._most), self._most)
        wrench[3:] = self._turn @ wrench[3:]
        if self._damping is not None:
            wrench -= self._damping * (now.jacobian @ dq)
        return now.jacobian.T @ wrench


class DryFriction:
    """Coulomb friction of one arm's joints.

    Args:
        most: (dof,) N m.
        q: (dof,) rad, where the joints rest.
        dt: s of a substep.
    """

    def __init__(self, most: F64, q: F64, dt: float) -> None:
        self._stiffness, self._anchor, self._yield = most / BRISTLE, q.copy(), dt / CREEP

    def torque(self, q: F64) -> F64:
        """Torques (dof,) N m at q (dof,) rad, one substep after the last call."""
        strain = np.minimum(np.maximum(q - self._anchor, -BRISTLE), BRISTLE)
        self._anchor = q - strain * (1.0 - self._yield)
        return -self._stiffness * strain


def _rotation(m: F64) -> F64:
    """Rotation matrix (3, 3), less than half a turn, to its rotation vector (3,) rad; it has the same axes in both frames."""
    axis = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    sine = float(np.sqrt(axis @ axis))
    return axis * (np.arctan2(sine, float(np.trace(m)) - 1.0) / max(sine, _TINY))
