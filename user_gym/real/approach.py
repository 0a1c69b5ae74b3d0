"""Which way an arm goes to the start of an episode: up, across, down; and whether it may. Pure: poses and joints in and out."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import numpy as np

from user_gym.core import F64, RobotSpec, RobotState, Workspace
from user_gym.errors import BadOption, RobotFault
from user_gym.robots import collision, kinematics, pose, reach

SAME = 1e-3  # m or rad: nearer than this a waypoint is no motion
# m, rad: how far out of the workspace an arm may stand and still go to a start by itself. A Franka's home is 0.14 m beside
# the box of PegInsert and 0.33 m above it; farther away nobody knows what stands between.
ROOM = np.array([0.25, 0.25, 0.5, 1.0, 1.0, np.pi])
_STRIDE = np.array([0.01] * 3 + [0.05] * 3)  # m, rad between two looks at the links
_ROUNDING = 1e-4  # m
_TASK = 6  # joints that a pose of the tool needs


class Way(NamedTuple):
    """Two series of waypoints (6,) of the pose chart; either may be empty."""

    retreat: list[F64]  # away from what the last episode left; after it the scene may be rearranged
    approach: list[F64]  # to the start


def plan(tcp: F64, start: F64, workspace: Workspace) -> Way:
    """The way from the measured `tcp` (6,) to `start` (6,).

    The tool first goes straight up to the top of the workspace, without turning: what it holds may be in a hole. An arm that is
    higher stays there. Then it goes across and turns at that height, and down to the start.
    """
    height = max(float(workspace.high[2]), float(tcp[2]))
    up, above = tcp.copy(), start.copy()
    up[2] = above[2] = height
    retreat = [up] if height - tcp[2] > SAME else []
    return Way(retreat, [above, start.copy()] if height - start[2] > SAME else [start.copy()])


def check(spec: RobotSpec, state: RobotState, way: Way, workspace: Workspace) -> None:
    """Whether an arm may go this way, before anything moves.

    The start has to be inside the workspace, the measured tool within ROOM of it, and on the way no link may come nearer to
    another one or to the table than `collision.MARGIN`; where they are nearer already, not nearer still.

    Raises:
        BadOption: the start is outside the workspace.
        RobotFault: the arm stands too far away, or would collide; a person has to bring it nearer.
        Unreachable: as `reach.solve`, for a waypoint.
    """
    start = way.approach[-1]
    if (np.maximum(workspace.low - start, start - workspace.high) > SAME).any():
        box = f"inside the workspace, {np.round(workspace.low, 3)} .. {np.round(workspace.high, 3)} m, rad"
        raise BadOption("start", np.round(start, 3).tolist(), box)
    away = np.maximum(np.maximum(workspace.low - state.tcp, state.tcp - workspace.high), 0.0)
    cure = f"bring the arm by hand to within {ROOM} m, rad of the workspace and clear of everything, then reset()"
    if not (away <= ROOM).all():
        raise RobotFault(
            f"{spec.name} stands at {np.round(state.tcp, 3)} m, rad, {np.round(away, 3)} outside the workspace: too far away "
            f"to go to a start by itself; nothing moved; {cure}"
        )
    least = min(collision.MARGIN, collision.clearance(spec, state.q).distance) - _ROUNDING
    for q in _joints(spec, state, [*way.retreat, *way.approach]):
        found = collision.clearance(spec, q)
        if found.distance < least:
            raise RobotFault(
                f"on the way of {spec.name} to its start {found.where} would be {found.distance:.3f} m apart, allowed: "
                f"{collision.MARGIN} m, with the tool at {np.round(kinematics.position(spec, q), 3)} m; nothing moved; {cure}"
            )


def _joints(spec: RobotSpec, state: RobotState, waypoints: list[F64]) -> Iterator[F64]:
    """Joints (dof,) along straight lines of the tool, to first order; a spare joint goes over to the waypoint's posture."""
    q, tcp = state.q, state.tcp
    for waypoint in waypoints:
        # Without a spare joint there is one way; where a limit bars it the tool tilts, and the driver says how far it may.
        rest, begun = reach.solve(spec, waypoint) if spec.dof > _TASK else q, q
        steps = max(ceil(float((np.abs(waypoint - tcp) / _STRIDE).max())), 1)
        for k in range(1, steps + 1):
            share = k / steps
            q = _step(spec, q, tcp + share * (waypoint - tcp), begun + share * (rest - begun) if spec.dof > _TASK else q)
            yield q
        tcp = waypoint


def _step(spec: RobotSpec, q: F64, goal: F64, posture: F64) -> F64:
    """One step of damped least squares from q to the pose `goal` (6,), in its null space to `posture` (dof,)."""
    now = kinematics.forward(spec, q)
    target = pose.from_chart(goal)
    turn = pose.log(pose.multiply(target[3:], pose.conjugate(now[3:])))
    error = np.concatenate([target[:3] - now[:3], turn])
    j = kinematics.linearise(spec, q).jacobian
    pull = posture - q
    q = q + pull + j.T @ np.linalg.solve(j @ j.T + 1e-6 * np.eye(6), error - j @ pull)
    return np.minimum(np.maximum(q, spec.q_min), spec.q_max)
