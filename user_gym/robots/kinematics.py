"""Where the tool is and how it moves with the joints, from a RobotSpec. Pure; knows no backend and solves no inverse.

Products of a batch are written out elementwise, so that a row of it equals the same arm alone bit by bit; `links` and
`linearise` are for one configuration and three times as fast.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from user_gym.core import F64, RobotSpec
from user_gym.robots import pose


class _Links(NamedTuple):
    """Constant parts of a spec. Joint i turns its link by fixed[i] + sin(q) sine[i] + (1 - cos(q)) versine[i]."""

    fixed: F64  # (dof, 3, 3)
    sine: F64  # (dof, 3, 3)
    versine: F64  # (dof, 3, 3)
    tool: F64  # (7,) TCP in the last link
    tool_turn: F64  # (3, 3)


class _Frames(NamedTuple):
    """The same as homogeneous matrices, each with its link's place in the one before."""

    fixed: F64  # (dof, 4, 4)
    sine: F64  # (dof, 4, 4)
    versine: F64  # (dof, 4, 4)
    tool: F64  # (4, 4)


class Links(NamedTuple):
    """Frames of one configuration, base axes; the last is the TCP's, those before are of link 1 .. dof at its joint."""

    points: F64  # (dof + 1, 3) m
    turns: F64  # (dof + 1, 3, 3)


class Linear(NamedTuple):
    """Where the tool is at one configuration, and how it moves there."""

    point: F64  # (3,) m, base frame
    turn: F64  # (3, 3)
    jacobian: F64  # (6, dof) as of `jacobian`


class _Chain(NamedTuple):
    """Frames of one configuration or a batch, base axes."""

    tool: F64  # (..., 3) m
    turn: F64  # (..., 3, 3)
    origins: list[F64]  # per joint (..., 3) m
    axes: list[F64]  # per joint (..., 3)


@lru_cache(maxsize=32)
def _links(spec: RobotSpec) -> _Links:
    fixed = pose.matrix(pose.rpy(spec.joint_rpy))
    x, y, z = spec.joint_axis.T
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    tool = pose.compose(spec.flange, spec.tcp)
    return _Links(fixed, fixed @ skew, fixed @ skew @ skew, tool, pose.matrix(tool[3:]))


@lru_cache(maxsize=32)
def _frames(spec: RobotSpec) -> _Frames:
    links, n = _links(spec), spec.dof
    fixed, sine, versine, tool = np.zeros((n, 4, 4)), np.zeros((n, 4, 4)), np.zeros((n, 4, 4)), np.eye(4)
    fixed[:, :3, :3], fixed[:, :3, 3], fixed[:, 3, 3] = links.fixed, spec.joint_xyz, 1.0
    sine[:, :3, :3], versine[:, :3, :3] = links.sine, links.versine
    tool[:3, :3], tool[:3, 3] = links.tool_turn, links.tool[:3]
    return _Frames(fixed, sine, versine, tool)


def _product(a: F64, b: F64) -> F64:
    """Matrix product of (..., 3, 3)."""
    out = a[..., :, 0:1] * b[..., 0:1, :]
    out += a[..., :, 1:2] * b[..., 1:2, :]
    out += a[..., :, 2:3] * b[..., 2:3, :]
    return out


def _apply(turn: F64, v: F64) -> F64:
    """Matrices (..., 3, 3) times one vector (3,)."""
    return turn[..., 0] * v[0] + turn[..., 1] * v[1] + turn[..., 2] * v[2]


def _chain(spec: RobotSpec, q: F64) -> _Chain:
    links = _links(spec)
    q = np.asarray(q, float)[..., None, None]
    turns = links.fixed + np.sin(q) * links.sine + (1.0 - np.cos(q)) * links.versine  # (..., dof, 3, 3)
    point, turn = np.zeros((*q.shape[:-3], 3)), np.broadcast_to(np.eye(3), (*q.shape[:-3], 3, 3))
    origins, axes = [], []
    for i in range(spec.dof):
        point = point + _apply(turn, spec.joint_xyz[i])
        turn = _product(turn, turns[..., i, :, :])
        origins.append(point)
        axes.append(_apply(turn, spec.joint_axis[i]))  # a joint leaves its own axis where it is
    return _Chain(point + _apply(turn, links.tool), _product(turn, links.tool_turn), origins, axes)


def position(spec: RobotSpec, q: F64) -> F64:
    """Position (..., 3) m of the TCP in the base frame at joint angles q (..., dof) rad."""
    return _chain(spec, q).tool


def forward(spec: RobotSpec, q: F64) -> F64:
    """Pose (..., 7) of the TCP in the base frame at joint angles q (..., dof) rad."""
    chain = _chain(spec, q)
    return np.concatenate([chain.tool, pose.from_matrix(chain.turn)], axis=-1)


def jacobian(spec: RobotSpec, q: F64) -> F64:
    """(..., 6, dof): velocity of the TCP point (m/s) and of the tool (rad/s), base axes, for each joint's 1 rad/s."""
    chain = _chain(spec, q)
    origins, axes = np.stack(chain.origins, axis=-2), np.stack(chain.axes, axis=-2)  # (..., dof, 3)
    linear = pose.cross(axes, chain.tool[..., None, :] - origins)
    return np.swapaxes(np.concatenate([linear, axes], axis=-1), -1, -2)


def links(spec: RobotSpec, q: F64) -> Links:
    """Frames of all links at one configuration q (dof,) rad."""
    constant = _frames(spec)
    angle = q[:, None, None]
    own = constant.fixed + np.sin(angle) * constant.sine + (1.0 - np.cos(angle)) * constant.versine  # (dof, 4, 4)
    frames = np.empty((spec.dof + 1, 4, 4))
    frames[0] = own[0]
    for before, link, frame in zip(frames[:-2], own[1:], frames[1:-1], strict=True):
        np.dot(before, link, frame)
    np.dot(frames[-2], constant.tool, frames[-1])
    return Links(frames[:, :3, 3], frames[:, :3, :3])


def linearise(spec: RobotSpec, q: F64, frames: Links | None = None) -> Linear:
    """The tool's place and Jacobian at one configuration q (dof,) rad; `frames` are its `links` where the caller has them."""
    points, turns = links(spec, q) if frames is None else frames
    axes = (turns[:-1] @ spec.joint_axis[:, :, None])[..., 0]  # (dof, 3): a joint leaves its own axis where it is
    jacobian = np.empty((6, spec.dof))
    jacobian[:3], jacobian[3:] = pose.cross(axes, points[-1] - points[:-1]).T, axes.T
    return Linear(points[-1], turns[-1], jacobian)
