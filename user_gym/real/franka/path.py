"""A slow way through TCP poses as joint positions, one per millisecond: straight lines, at rest at both ends of each.

A 7-joint arm has one joint position for a TCP pose and an angle of joint 3, so that both are led along: the arm arrives in the
posture that was asked for, whatever it was before. Pure; knows no robot but its spec.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from user_gym.core import F64, RobotSpec
from user_gym.errors import Unreachable
from user_gym.robots import kinematics, pose

TICK = 0.001  # s
TURN_PER_METRE = 5.0  # rad/m: the tool turns at most so many times the speed
ELBOW_SPEED = 0.5  # rad/s of joint 3
_SHARE = 0.3  # of the spec's joint speed that a slow way may use
_PEAK = 1.875  # of a quintic's speed over its mean
_ELBOW = 2  # joint 3: what the elbow turns about


def plan(spec: RobotSpec, q: F64, goals: Sequence[F64], speed: float) -> F64:
    """Joint positions (n, dof) rad for n milliseconds, from rest at q to rest at the last goal.

    Args:
        spec: a 7-joint arm.
        q: (dof,) rad, where it is.
        goals: (dof,) rad each; the TCP goes straight from one to the next.
        speed: m/s of the TCP, at most.

    Raises:
        Unreachable: a straight line between two of them leaves the joint limits, or passes a singular posture.
    """
    legs = [q[None]]
    for goal in goals:
        legs.append(_leg(spec, legs[-1][-1], goal, speed))
    return np.concatenate(legs)


def _leg(spec: RobotSpec, q: F64, goal: F64, speed: float) -> F64:
    start, end = kinematics.forward(spec, q), kinematics.forward(spec, goal)
    turn = pose.log(pose.multiply(end[3:], pose.conjugate(start[3:])))
    shift, bend = end[:3] - start[:3], float(goal[_ELBOW] - q[_ELBOW])
    times = (
        float(np.linalg.norm(shift)) / speed,
        float(np.linalg.norm(turn)) / (TURN_PER_METRE * speed),
        abs(bend) / ELBOW_SPEED,
    )
    duration = _PEAK * max(*times, 10 * TICK)
    while True:
        way = _follow(spec, q, start, shift, turn, bend, duration)
        if np.abs(way[-1] - goal).max() > 0.05:
            raise Unreachable(f"{spec.name} cannot go straight from joints {np.round(q, 3)} to {np.round(goal, 3)} rad")
        fastest = float((np.abs(np.diff(way, axis=0)).max(axis=0) / (TICK * _SHARE * spec.dq_max)).max(initial=0.0))
        if fastest <= 1.0:
            return way
        duration *= 1.05 * fastest


def _follow(spec: RobotSpec, q: F64, start: F64, shift: F64, turn: F64, bend: float, duration: float) -> F64:
    """The line, run through with a quintic: no jump of speed or acceleration anywhere."""
    count = max(int(np.ceil(duration / TICK)), 2)
    t = np.arange(1, count + 1) / count
    share = t**3 * (10 - 15 * t + 6 * t**2)
    elbow = float(q[_ELBOW])
    square, error = np.zeros((7, 7)), np.zeros(7)
    square[6, _ELBOW] = 1.0
    way = np.empty((count, len(q)))
    for i, s in enumerate(share.tolist()):
        goal = pose.matrix(pose.multiply(pose.exp(s * turn), start[3:]))
        for _ in range(2):  # Newton; a millisecond's step is so short that the second is exact
            now = kinematics.linearise(spec, q)
            square[:6] = now.jacobian
            off = goal @ now.turn.T
            error[:3] = start[:3] + s * shift - now.point
            error[3:6] = 0.5 * np.array([off[2, 1] - off[1, 2], off[0, 2] - off[2, 0], off[1, 0] - off[0, 1]])
            error[6] = elbow + s * bend - q[_ELBOW]
            q = q + np.linalg.solve(square, error)
        if not ((q > spec.q_min).all() and (q < spec.q_max).all()):
            raise Unreachable(f"{spec.name} would leave its joint limits on the straight way: joints {np.round(q, 3)} rad")
        way[i] = q
    return way
