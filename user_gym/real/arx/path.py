"""A slow way through TCP poses as joint positions, one per cycle: straight lines, at rest at both ends of each. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from user_gym.core import F64, RobotSpec
from user_gym.errors import Unreachable
from user_gym.robots import kinematics, pose

TURN_PER_METRE = 5.0  # rad/m: the tool turns at most so many times the speed
_SHARE = 0.3  # of a joint's greatest speed
_PEAK = 1.875  # of a quintic's speed over its mean
_NEWTON = 12  # iterations
_CLOSE = 1e-8  # m and rad
_STEP = 0.1  # rad of one joint between two cycles: more is a singular posture


def plan(spec: RobotSpec, q: F64, waypoints: Sequence[F64], speed: float, dt: float) -> F64:
    """Joint positions (n, dof) rad, one per cycle of `dt` s, from rest at q to rest at the last waypoint (6,).

    Args:
        spec: an arm of 6 joints.
        q: (dof,) rad, where it is.
        waypoints: TCP poses (6,) of the pose chart; straight from one to the next.
        speed: m/s of the TCP, at most.
        dt: s.

    Raises:
        Unreachable: a line leaves the joint limits, or passes a singular posture.
    """
    way = [q[None]]
    for waypoint in waypoints:
        way.append(_leg(spec, way[-1][-1], pose.from_chart(waypoint), speed, dt))
    return np.concatenate(way)


def _leg(spec: RobotSpec, q: F64, goal: F64, speed: float, dt: float) -> F64:
    start = kinematics.forward(spec, q)
    shift = goal[:3] - start[:3]
    turn = pose.log(pose.multiply(goal[3:], pose.conjugate(start[3:])))
    length = max(float(np.linalg.norm(shift)), float(np.linalg.norm(turn)) / TURN_PER_METRE)
    duration = max(_PEAK * length / speed, 10 * dt)
    while True:
        way = _follow(spec, q, start, shift, turn, math.ceil(duration / dt))
        fastest = float((np.abs(np.diff(way, axis=0, prepend=q[None])) / (dt * _SHARE * spec.dq_max)).max())
        if fastest <= 1.0:
            return way
        duration *= 1.05 * fastest


def _follow(spec: RobotSpec, q: F64, start: F64, shift: F64, turn: F64, count: int) -> F64:
    # An arm that stands nearer to a limit than the margin may come back, and go no farther.
    low, high = np.minimum(q, spec.q_min + spec.joint_margin), np.maximum(q, spec.q_max - spec.joint_margin)
    way = np.empty((count, spec.dof))
    for i, s in enumerate(np.linspace(0.0, 1.0, count + 1)[1:]):
        share = s**3 * (10.0 - 15.0 * s + 6.0 * s * s)
        target = np.concatenate([start[:3] + share * shift, pose.multiply(pose.exp(share * turn), start[3:])])
        before, q = q, _solve(spec, q, target)
        if np.abs(q - before).max() > _STEP or (q < low - 1e-6).any() or (q > high + 1e-6).any():
            raise Unreachable(
                f"{spec.name} cannot go straight to {np.round(start[:3] + shift, 4)} m: at {np.round(target[:3], 4)} m "
                f"its joints would be {np.round(q, 3)} rad; allowed: {np.round(low, 3)} .. {np.round(high, 3)}, "
                "and no singular posture"
            )
        way[i] = q
    return way


def _solve(spec: RobotSpec, q: F64, target: F64) -> F64:
    """Newton's method from q: the branch of the inverse kinematics that q is on."""
    turn = pose.matrix(target[3:])
    for _ in range(_NEWTON):
        tool = kinematics.linearise(spec, q)
        error = np.concatenate([target[:3] - tool.point, pose.log(pose.from_matrix(turn @ tool.turn.T))])
        if np.abs(error).max() < _CLOSE:
            break
        j = tool.jacobian
        q = q + j.T @ np.linalg.solve(j @ j.T + 1e-9 * np.eye(6), error)
    return q
