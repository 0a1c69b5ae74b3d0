"""Inverse kinematics from a RobotSpec: damped least squares from home. Pure; the same for a twin's start and a real arm's.

Deterministic: it always begins at home, so that one pose has one answer, whatever the arm did before.
"""

from __future__ import annotations

import math

import numpy as np

from user_gym.core import F64, RobotSpec
from user_gym.errors import Unreachable
from user_gym.robots import kinematics, pose

TOLERANCE = 1e-7  # m and rad
ITERATIONS = 60
DAMPING = 1e-4  # of J J^T, (m/rad)^2, times the error: none at the goal
NULL_GAIN = 0.1  # pull towards home in the null space of a 7-joint arm; docs/ids.md's v0 starts with this posture
_EYE = np.eye(6)
_TINY = 1e-12  # rad


def solve(spec: RobotSpec, tcp: F64) -> F64:
    """Joint positions (dof,) rad whose TCP is at `tcp` (6,) m, rad of the pose chart, inside the joint limits less margin.

    Of the many that a 7-joint arm has it is one near home.

    Raises:
        Unreachable: there are none, or none was found.
    """
    goal = pose.from_chart(tcp)
    turn = pose.matrix(goal[3:])
    q, low, high = spec.home, spec.q_min + spec.joint_margin, spec.q_max - spec.joint_margin
    error, largest = np.empty(6), np.inf
    for _ in range(ITERATIONS):
        now = kinematics.linearise(spec, q)
        error[:3], error[3:] = goal[:3] - now.point, _rotation(turn @ now.turn.T)
        largest = float(np.abs(error).max())
        if largest < TOLERANCE:
            return q.copy()
        j, home = now.jacobian, NULL_GAIN * (spec.home - q)
        # The least squares that reach the goal and pull home in their null space: J+ (error - J home) + home.
        q = q + home + j.T @ np.linalg.solve(j @ j.T + DAMPING * largest * _EYE, error - j @ home)
        q = np.minimum(np.maximum(q, low), high)
    raise Unreachable(
        f"{spec.name} cannot reach TCP position {np.round(tcp[:3], 4)} m with rotation {np.round(tcp[3:], 3)} rad "
        f"(off by {largest:.2g}); keep the task's work near {spec.work_point} m"
    )


def _rotation(m: F64) -> F64:
    """Rotation matrix (3, 3) to its shortest rotation vector (3,) rad."""
    axis = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    sine, cosine = math.sqrt(axis @ axis), float(np.trace(m)) - 1.0  # both twice
    if sine > _TINY:
        return axis * (math.atan2(sine, cosine) / sine)
    return axis if cosine > 0 else np.array([math.pi, 0.0, 0.0])  # half a turn: any axis leads away from there
