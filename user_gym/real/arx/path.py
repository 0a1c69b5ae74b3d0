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
_STILL = 1e-7  # rad of a step: a joint at its limit keeps the tool from its target
STRAY = np.array([0.005] * 3 + [0.6] * 3)  # m, rad off the line that a joint at its limit may cost: limp arms hang so far over
_DAMPING = 1e-9
_EYE = np.eye(6)
_WEIGHT = np.array([100.0] * 3 + [1.0] * 3)  # 1/m, 1/rad: the tool tilts rather than leaves its line
_STEP = 0.1  # rad of one joint between two cycles: more is a singular posture


def plan(spec: RobotSpec, q: F64, waypoints: Sequence[F64], speed: float, dt: float) -> F64:
    """Joint positions (n, dof) rad, one per cycle of `dt` s, from rest at q to rest at the last waypoint (6,).

    Args:
        spec: an arm of 6 joints.
        q: (dof,) rad, where it is.
        waypoints: TCP poses (6,) of the pose chart; straight from one to the next.
        speed: m/s of the TCP, at most.
        dt: s.

    A joint that comes to its limit stays there, and the tool strays from its line and its waypoint by up to STRAY: it tilts,
    no longer than it has to. So an arm that was limp goes up from where it hangs.

    Raises:
        Unreachable: a line leaves the joint limits by more than that, or passes a singular posture.
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
        before = q
        q, stray = _solve(spec, q, target, low, high)
        if np.abs(q - before).max() > _STEP or (stray > STRAY).any():
            raise Unreachable(
                f"{spec.name} cannot go straight to {np.round(start[:3] + shift, 4)} m: at {np.round(target[:3], 4)} m "
                f"its joints would be {np.round(q, 3)} rad and its tool off by {np.round(stray, 4)} m, rad; "
                f"allowed: joints within {np.round(low, 3)} .. {np.round(high, 3)}, and no singular posture; "
                "name another pose, or close() what drives it, and hold it up by hand near its start until a reset holds it"
            )
        way[i] = q
    return way


def _solve(spec: RobotSpec, q: F64, target: F64, low: F64, high: F64) -> tuple[F64, F64]:
    """Newton's method from q, inside the limits: the branch of the inverse kinematics that q is on.

    Returns:
        Joints (6,), and what is left of the error (6,) m, rad: none unless a joint is at its limit.
    """
    turn = pose.matrix(target[3:])
    for _ in range(_NEWTON):
        j, error = _errors(spec, q, target, turn)
        if np.abs(error).max() < _CLOSE:
            return q, np.abs(error)
        step = _least_squares(j, error)
        out = ((q <= low) & (step < 0)) | ((q >= high) & (step > 0))
        if out.any():  # the others do what they can
            step = _least_squares(j * ~out, error)
        before, q = q, np.clip(q + step, low, high)
        if np.abs(q - before).max() < _STILL:
            break
    return q, np.abs(_errors(spec, q, target, turn)[1])


def _errors(spec: RobotSpec, q: F64, target: F64, turn: F64) -> tuple[F64, F64]:
    """The Jacobian at q, and what the tool lacks to its target: (6,) m, rad."""
    tool = kinematics.linearise(spec, q)
    return tool.jacobian, np.concatenate([target[:3] - tool.point, pose.log(pose.from_matrix(turn @ tool.turn.T))])


def _least_squares(j: F64, error: F64) -> F64:
    """The step (6,) rad; none for a joint whose column is 0."""
    j = _WEIGHT[:, None] * j
    return np.asarray(np.linalg.solve(j.T @ j + _DAMPING * _EYE, j.T @ (_WEIGHT * error)), float)
