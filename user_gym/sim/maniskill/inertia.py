"""Rigid parts joined to one link: mass, centre and principal moments, as PhysX wants them. Pure; it knows no simulator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from user_gym.core import F64, Body, RobotSpec, Shape
from user_gym.robots import pose


class Part(NamedTuple):
    """What weighs something."""

    mass: float  # kg
    centre: F64  # (3,) m
    inertia: F64  # (3, 3) kg m2 about the centre, axes of the frame it is given in


class Principal(NamedTuple):
    """The same along its own axes."""

    mass: float  # kg
    pose: F64  # (7,) m, xyzw: centre of mass and principal axes
    moments: F64  # (3,) kg m2


def part(mass: float, centre: F64, six: F64) -> Part:
    """From `six` kg m2, in the order of `RobotSpec.link_inertia`: xx yy zz xy xz yz."""
    xx, yy, zz, xy, xz, yz = six
    return Part(mass, np.asarray(centre, float), np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))


def moved(given: Part, by: F64) -> Part:
    """A part given in one frame, seen from the frame in which that one has the pose `by` (7,)."""
    turn = pose.matrix(by[3:])
    return Part(given.mass, by[:3] + turn @ given.centre, turn @ given.inertia @ turn.T)


def joined(parts: Iterable[Part]) -> Part:
    """All of them as one rigid part. At least one weighs something."""
    parts = list(parts)
    mass = sum(p.mass for p in parts)
    centre = sum((p.mass * p.centre for p in parts), np.zeros(3)) / mass
    inertia = np.zeros((3, 3))
    for p in parts:
        arm = p.centre - centre
        inertia += p.inertia + p.mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))  # Huygens and Steiner
    return Part(mass, centre, inertia)


def principal(given: Part) -> Principal:
    """Along its own axes. Moments that no body can have, as some published ones, become their mean, as MuJoCo does it."""
    moments, axes = np.linalg.eigh(given.inertia)
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1.0
    if moments[0] <= 0 or moments[0] + moments[1] < moments[2]:
        moments, axes = np.full(3, moments.mean()), np.eye(3)
    return Principal(given.mass, np.concatenate([given.centre, pose.from_matrix(axes)]), moments)


def link(spec: RobotSpec, index: int) -> Part:
    """A link of the arm, in its own frame; the hand is part of the last one."""
    own = part(spec.link_mass[index], spec.link_com[index], spec.link_inertia[index])
    if index < spec.dof or spec.hand_mass <= 0:
        return own
    return joined([own, moved(part(spec.hand_mass, spec.hand_com, spec.hand_inertia), spec.flange)])


def body(given: Body) -> Part:
    """A task's body, in its own frame: its mass is shared equally by its shapes, each of one density."""
    share = given.mass / len(given.shapes)
    return joined(moved(Part(share, np.zeros(3), np.diag(_moments(shape, share))), shape.pose) for shape in given.shapes)


def _moments(shape: Shape, mass: float) -> F64:
    """Principal moments (3,) kg m2 of a solid primitive about its centre; cylinders and capsules stand along z."""
    if shape.kind == "box":
        x, y, z = (2 * s for s in shape.size)
        return mass / 12 * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
    if shape.kind in ("cylinder", "capsule"):  # a capsule's round ends count as if they were flat
        radius, half = shape.size
        across = mass * (radius * radius / 4 + half * half / 3)
        return np.array([across, across, mass * radius * radius / 2])
    x, y, z = np.broadcast_to(shape.size, 3)
    return mass / 5 * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
