"""Whether an arm's links come near each other or the table: capsules along the links, from the kinematics alone.

No vendor publishes collision geometry of the ARX, and the Franka's meshes are not ours to ship: the radii cover the published
outlines roughly and are meant to be generous. The tool, what it holds and the objects of a task are no part of this; the
workspace bounds those, and touching them is what a task is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from user_gym.core import F64, I64, RobotSpec
from user_gym.errors import BadOption
from user_gym.robots import kinematics, pose

MARGIN = 0.005  # m that must stay free
_DAMPING = 1e-2  # of the least squares that turn a TCP step into a joint step
_BASE = -1  # frame of the robot's base; 0 .. dof - 1 are the links' frames at their joints, dof is the TCP's


@dataclass(frozen=True, slots=True)
class Capsule:
    """A part of an arm: all points within `radius` of a segment. Each end is a point (3,) m in a frame."""

    name: str
    start: tuple[int, tuple[float, float, float]]
    end: tuple[int, tuple[float, float, float]]
    radius: float  # m
    table: bool = True  # whether it has to stay above the table; the base stands on it, the tool touches what lies there


_O = (0.0, 0.0, 0.0)
# Radii as the outlines suggest, rounded up; not measured on an arm.
_FRANKA = (
    Capsule("base", (_BASE, (-0.04, 0.0, 0.06)), (0, (0.0, 0.0, -0.06)), 0.09, table=False),
    Capsule("shoulder", (1, (0.0, 0.0, -0.08)), (1, (0.0, 0.0, 0.08)), 0.07),
    Capsule("upper arm", (2, (0.0, 0.0, -0.16)), (2, _O), 0.07),
    Capsule("elbow", (3, (0.0, 0.0, -0.07)), (3, (0.0, 0.0, 0.07)), 0.065),
    Capsule("forearm", (4, (0.0, 0.0, -0.22)), (4, (0.0, 0.05, -0.10)), 0.055),
    Capsule("wrist", (5, (0.0, 0.0, -0.07)), (5, (0.0, 0.0, 0.02)), 0.055),
    Capsule("flange", (6, (0.0, 0.0, -0.04)), (6, (0.0, 0.0, 0.08)), 0.045),
    Capsule("hand", (7, (0.0, -0.075, -0.075)), (7, (0.0, 0.075, -0.075)), 0.035),
)
# Radii are guesses from pictures; to be measured on an arm.
_ARX = (
    Capsule("base", (_BASE, (0.0, 0.0, 0.03)), (0, _O), 0.045, table=False),
    Capsule("shoulder", (1, (0.0, -0.03, 0.0)), (1, (0.0, 0.03, 0.0)), 0.035),
    Capsule("upper arm", (1, (-0.05, 0.0, 0.0)), (2, _O), 0.032),
    Capsule("forearm", (2, (0.04, 0.0, -0.045)), (3, _O), 0.032),
    Capsule("wrist", (3, (0.0, 0.0, -0.02)), (4, _O), 0.035),
    Capsule("hand", (5, (0.02, 0.0, 0.0)), (6, (0.0, 0.0, -0.07)), 0.035),
)
_FAMILIES = {"franka": _FRANKA, "arx": _ARX}


class Clearance(NamedTuple):
    """The narrowest place of one configuration."""

    distance: float  # m between surfaces; negative: they overlap
    where: str  # "forearm and hand", "elbow and table"


class _Body(NamedTuple):
    frames: I64  # (2 n,) of starts, then ends; into the list [base, links ..., TCP]
    points: F64  # (2 n, 3)
    radii: F64  # (n,)
    a: I64  # (p,) first of each pair that could meet
    b: I64  # (p,)
    low: I64  # (t,) that have to stay above the table


def capsules(spec: RobotSpec) -> tuple[Capsule, ...]:
    """The parts of an arm. Raises BadOption for a family that nobody measured."""
    if spec.family not in _FAMILIES:
        raise BadOption("family", spec.family, " | ".join(_FAMILIES), "add its capsules to robots.collision")
    return _FAMILIES[spec.family]


@lru_cache(maxsize=32)
def _body(spec: RobotSpec) -> _Body:
    parts = capsules(spec)
    ends = [c.start for c in parts] + [c.end for c in parts]
    pairs = [(i, j) for i in range(len(parts)) for j in range(i + 2, len(parts))]  # neighbours share a joint
    home = _Body(
        np.array([frame + 1 for frame, _ in ends]),
        np.array([point for _, point in ends]),
        np.array([c.radius for c in parts]),
        np.array([i for i, _ in pairs]),
        np.array([j for _, j in pairs]),
        np.array([k for k, c in enumerate(parts) if c.table]),
    )
    apart = _gaps(home, *_segments(home, spec, spec.home)) > MARGIN  # parts that always touch are next to each other, too
    return home._replace(a=home.a[apart], b=home.b[apart])


def clearance(spec: RobotSpec, q: F64) -> Clearance:
    """How near the arm comes to itself or to the table (z = 0) with its joints at q (dof,) rad."""
    body, parts = _body(spec), capsules(spec)
    start, end = _segments(body, spec, q)
    gaps = _gaps(body, start, end)
    heights = np.minimum(start[body.low, 2], end[body.low, 2]) - body.radii[body.low]
    k, t = int(np.argmin(gaps)), int(np.argmin(heights))
    if gaps[k] < heights[t]:
        return Clearance(float(gaps[k]), f"{parts[body.a[k]].name} and {parts[body.b[k]].name}")
    return Clearance(float(heights[t]), f"{parts[body.low[t]].name} and table")


def step(spec: RobotSpec, q: F64, tcp: F64, target: F64) -> F64:
    """Joints (dof,) after the tool went from `tcp` (6,) to `target` (6,), to first order from q (dof,)."""
    turn = pose.multiply(pose.from_chart(target)[3:], pose.conjugate(pose.from_chart(tcp)[3:]))
    j = kinematics.linearise(spec, q).jacobian
    move = np.concatenate([target[:3] - tcp[:3], pose.log(turn)])
    return q + j.T @ np.linalg.solve(j @ j.T + _DAMPING**2 * np.eye(6), move)


def _segments(body: _Body, spec: RobotSpec, q: F64) -> tuple[F64, F64]:
    """Both ends (n, 3) of all segments, base frame."""
    frames = kinematics.links(spec, q)
    turns = np.concatenate([np.eye(3)[None], frames.turns])
    points = np.concatenate([np.zeros((1, 3)), frames.points])
    ends = points[body.frames] + (turns[body.frames] @ body.points[:, :, None])[..., 0]
    return ends[: len(body.radii)], ends[len(body.radii) :]


def _gaps(body: _Body, start: F64, end: F64) -> F64:
    """Distance (p,) between the surfaces of each pair: of two segments, less the radii (Ericson, Real-Time Collision
    Detection, 5.1.9).
    """
    p, q = start[body.a], start[body.b]
    u, v, w = end[body.a] - p, end[body.b] - q, p - q
    a, b, c, d, e = pose.dot(u, u), pose.dot(u, v), pose.dot(v, v), pose.dot(u, w), pose.dot(v, w)
    determinant = a * c - b * b
    s = np.clip(np.where(determinant > 1e-12, (b * e - c * d) / np.maximum(determinant, 1e-12), 0.0), 0.0, 1.0)
    t = np.clip((b * s + e) / np.maximum(c, 1e-12), 0.0, 1.0)
    s = np.clip((b * t - d) / np.maximum(a, 1e-12), 0.0, 1.0)
    apart = w + s[:, None] * u - t[:, None] * v
    return np.sqrt(pose.dot(apart, apart)) - body.radii[body.a] - body.radii[body.b]
