"""The torques that carry an arm's own weight and what it holds, for arms that do not do this themselves. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from user_gym.core import F64, RobotSpec, Task
from user_gym.errors import BadOption
from user_gym.robots import kinematics, pose
from user_gym.robots.kinematics import Links


class Payload(NamedTuple):
    """What the tool carries besides the arm's own links."""

    mass: float = 0.0  # kg
    x: float = 0.0  # m, centre of mass in the TCP frame
    y: float = 0.0
    z: float = 0.0


NOTHING = Payload()


class _Loads(NamedTuple):
    """Constant parts: the moving links, then hand and payload, which ride on the TCP frame."""

    hung: F64  # (dof, dof + 1) kg: what of each load hangs on joint i, all from link i on
    weights: F64  # (dof, 1) kg, their sums
    centres: F64  # (dof + 1, 3, 1) m, each in its own frame of `kinematics.Links`


def payload(numbers: object) -> Payload:
    """Check four numbers: mass (kg), then the centre of mass (m) in the TCP frame. Raises BadOption."""
    found = np.asarray(numbers, float)
    if found.shape != (4,) or not np.isfinite(found).all() or found[0] < 0:
        raise BadOption("payload", numbers, "four finite numbers: kg (0 or more), then x, y, z m in the TCP frame")
    return Payload(*found.tolist())


def held(task: Task) -> Payload:
    """What the bodies weigh that a task's tool holds; a body's mass is shared equally by its shapes."""
    mass, moment = 0.0, np.zeros(3)
    for body in task.bodies:
        if body.mount == "tool":
            for shape in body.shapes:
                mass += body.mass / len(body.shapes)
                moment += body.mass / len(body.shapes) * pose.compose(body.pose, shape.pose)[:3]
    return Payload(mass, *(moment / mass).tolist()) if mass > 0 else NOTHING


@lru_cache(maxsize=32)
def _loads(spec: RobotSpec, carried: Payload) -> _Loads:
    # The hand's centre, given in the hand's frame, as the TCP frame sees it.
    hand = pose.rotate(pose.conjugate(spec.tcp[3:]), spec.hand_com - spec.tcp[:3])
    mass = spec.hand_mass + carried.mass
    moment = spec.hand_mass * hand + carried.mass * np.array(carried[1:])
    centre = moment / mass if mass > 0 else np.zeros(3)
    hung = np.triu(np.tile(np.append(spec.link_mass[1:], mass), (spec.dof, 1)))
    return _Loads(hung, hung.sum(axis=1, keepdims=True), np.vstack([spec.link_com[1:], centre])[:, :, None])


def gravity(spec: RobotSpec, q: F64, carried: Payload = NOTHING, links: Links | None = None) -> F64:
    """Torques (dof,) N m that hold the arm still at q (dof,) rad against its weight.

    Args:
        spec: the arm; its base stands upright.
        q: joint angles.
        carried: the payload.
        links: `kinematics.links(spec, q)` where the caller has it already.
    """
    points, turns = kinematics.links(spec, q) if links is None else links
    loads = _loads(spec, carried)
    places = points + (turns @ loads.centres)[..., 0]  # (dof + 1, 3) m, base frame
    levers = loads.hung @ places - loads.weights * points[:-1]  # (dof, 3) kg m
    axes = (turns[:-1] @ spec.joint_axis[:, :, None])[..., 0]
    # axis . (lever x g), with g along -z; the motors push the other way.
    return spec.gravity * (axes[:, 0] * levers[:, 1] - axes[:, 1] * levers[:, 0])
