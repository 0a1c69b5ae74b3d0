"""Maths of rotations and poses on (..., n): one formula for one arm and for a batch, with bitwise equal rows.

Quaternions are xyzw and unit length, poses (..., 7) are position then quaternion, and the pose chart (..., 6) is that of
`user_gym.core`. It knows no robot. Everything is elementwise (no BLAS), so that a row does not depend on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from user_gym.core import F64

IDENTITY: F64 = np.array([0.0, 0, 0, 0, 0, 0, 1])
TOOL_DOWN: F64 = np.array([1.0, 0, 0, 0])  # z at the floor, x along the base's x: half a turn about x
_TINY = 1e-300  # keeps 0 / 0 away; the numerator is exactly 0 there
for _constant in (IDENTITY, TOOL_DOWN):
    _constant.flags.writeable = False


def _join(*parts: F64) -> F64:
    """Components (...,), all of one shape, to one array (..., k)."""
    out = np.empty((*parts[0].shape, len(parts)))
    for i, part in enumerate(parts):
        out[..., i] = part
    return out


def components(v: F64) -> Iterable[Any]:
    """The k components of one vector (k,) as numbers, of a batch (n, k) as arrays (n,).

    Formulas on components serve both; for one vector Python's numbers are several times as fast as numpy's, and as exact.
    """
    return v.tolist() if v.ndim == 1 else v.T


def dot(a: F64, b: F64) -> F64:
    """Scalar product of (..., 3) vectors, elementwise."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def cross(a: F64, b: F64) -> F64:
    """Vector product of (..., 3) vectors."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return _join(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)


def multiply(a: F64, b: F64) -> F64:
    """The rotation b, then a: (..., 4) x (..., 4) -> (..., 4)."""
    ax, ay, az, aw = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bx, by, bz, bw = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    return _join(
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def conjugate(q: F64) -> F64:
    """The inverse rotation."""
    return _join(-q[..., 0], -q[..., 1], -q[..., 2], q[..., 3])


def rotate(q: F64, v: F64) -> F64:
    """Turn vectors v (..., 3) by q (..., 4)."""
    u = q[..., :3]
    t = 2.0 * cross(u, v)
    return v + q[..., 3:] * t + cross(u, t)


def exp(rotvec: F64) -> F64:
    """Rotation vector (..., 3) rad to quaternion (..., 4)."""
    angle = np.sqrt(dot(rotvec, rotvec))
    scale = np.sin(0.5 * angle) / np.maximum(angle, _TINY)
    return _join(rotvec[..., 0] * scale, rotvec[..., 1] * scale, rotvec[..., 2] * scale, np.cos(0.5 * angle))


def log(q: F64) -> F64:
    """Quaternion (..., 4) to the shortest rotation vector (..., 3), at most pi long."""
    u, w = q[..., :3], q[..., 3]
    length = np.sqrt(dot(u, u))
    scale = np.copysign(2.0, w) * np.arctan2(length, np.abs(w)) / np.maximum(length, _TINY)
    return _join(u[..., 0] * scale, u[..., 1] * scale, u[..., 2] * scale)


def _pose(point: F64, turn: F64) -> F64:
    """Point (..., 3) and quaternion (..., 4) of one shape to a pose (..., 7)."""
    out = np.empty((*point.shape[:-1], 7))
    out[..., :3] = point
    out[..., 3:] = turn
    return out


def compose(a: F64, b: F64) -> F64:
    """Pose b, given in frame a, in the frame of a: (..., 7) x (..., 7) -> (..., 7)."""
    return _pose(a[..., :3] + rotate(a[..., 3:], b[..., :3]), multiply(a[..., 3:], b[..., 3:]))


def inverse(a: F64) -> F64:
    """The pose that undoes a (..., 7)."""
    turn = conjugate(a[..., 3:])
    return _pose(-rotate(turn, a[..., :3]), turn)


def from_chart(chart: F64) -> F64:
    """Pose chart (..., 6) to pose (..., 7)."""
    turn = exp(chart[..., 3:])
    x, y, z, w = turn[..., 0], turn[..., 1], turn[..., 2], turn[..., 3]
    return _pose(chart[..., :3], _join(w, z, -y, -x))  # turn times TOOL_DOWN, which has one component


def to_chart(pose: F64) -> F64:
    """Pose (..., 7) to pose chart (..., 6); the rotation is the shortest, so it jumps half a turn away from tool-down."""
    x, y, z, w = pose[..., 3], pose[..., 4], pose[..., 5], pose[..., 6]
    out = np.empty((*pose.shape[:-1], 6))
    out[..., :3] = pose[..., :3]
    out[..., 3:] = log(_join(-w, -z, y, x))  # times the inverse of TOOL_DOWN
    return out


def rpy(angles: F64) -> F64:
    """Fixed-axis roll, pitch, yaw (..., 3) rad, as URDF has them, to quaternion (..., 4)."""
    half = 0.5 * np.asarray(angles)
    (sr, sp, sy), (cr, cp, cy) = (np.moveaxis(f(half), -1, 0) for f in (np.sin, np.cos))
    return _join(
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
        cr * cp * cy + sr * sp * sy,
    )


def matrix(q: F64) -> F64:
    """Quaternion (..., 4) to rotation matrix (..., 3, 3)."""
    x, y, z, w = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    flat = _join(
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return flat.reshape(*flat.shape[:-1], 3, 3)


def from_matrix(m: F64) -> F64:
    """Rotation matrix (..., 3, 3) to quaternion (..., 4) with w >= 0."""
    if m.ndim == 2:
        return _one_from_matrix(m)
    a, b, c = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    x, y, z = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Four times the outer product of the quaternion with itself: its row with the largest diagonal is the best conditioned.
    rows = _join(1 + a - b - c, xy, xz, x, xy, 1 - a + b - c, yz, y, xz, yz, 1 - a - b + c, z, x, y, z, 1 + a + b + c)
    rows = rows.reshape(*rows.shape[:-1], 4, 4)
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    row = np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    row = row / np.sqrt(np.sum(row * row, axis=-1, keepdims=True))
    return row * np.copysign(1.0, row[..., 3:])


def _one_from_matrix(m: F64) -> F64:
    """As `from_matrix`, for (3, 3), in Python's numbers: five times as fast, and the same bits."""
    (a, d, e), (f, b, g), (h, i, c) = m.tolist()
    x, y, z, xy, xz, yz = i - g, e - h, f - d, d + f, e + h, g + i
    diagonal = (1 + a - b - c, 1 - a + b - c, 1 - a - b + c, 1 + a + b + c)
    best = diagonal.index(max(diagonal))
    p, q, r, s = ((diagonal[0], xy, xz, x), (xy, diagonal[1], yz, y), (xz, yz, diagonal[2], z), (x, y, z, diagonal[3]))[best]
    length = math.copysign(math.sqrt(p * p + q * q + r * r + s * s), s)
    return np.array([p / length, q / length, r / length, s / length])


def wrap(angle: F64) -> F64:
    """The same angle in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> F64:
    """Pose (7,) of a camera at `eye` (3,) that sees `target` in its middle and `up` towards the top of its picture."""
    eye = np.asarray(eye, float)
    forward = np.asarray(target, float) - eye
    forward = forward / np.linalg.norm(forward)
    right = cross(forward, np.asarray(up, float))
    right = right / np.linalg.norm(right)
    turn = from_matrix(np.stack([right, cross(forward, right), forward], axis=-1))
    return np.concatenate([eye, turn])
