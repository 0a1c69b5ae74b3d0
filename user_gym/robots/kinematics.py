"""Where the tool is and how it moves with the joints, from a RobotSpec. Pure; knows no backend and solves no inverse."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, RobotSpec
from user_gym.robots import pose


def _chain(spec: RobotSpec, q: F64) -> tuple[F64, list[F64], list[F64]]:
    """TCP pose (..., 7), and each joint's origin and axis (..., 3) in base axes."""
    q = np.asarray(q, float)
    here = np.broadcast_to(pose.IDENTITY, (*q.shape[:-1], 7))
    origins, axes = [], []
    for i in range(spec.dof):
        here = pose.compose(here, np.concatenate([spec.joint_xyz[i], pose.rpy(spec.joint_rpy[i])]))
        origins.append(here[..., :3])
        axes.append(pose.rotate(here[..., 3:], spec.joint_axis[i]))
        turned = pose.multiply(here[..., 3:], pose.exp(spec.joint_axis[i] * q[..., i : i + 1]))
        here = np.concatenate([here[..., :3], turned], axis=-1)
    return pose.compose(pose.compose(here, spec.flange), spec.tcp), origins, axes


def forward(spec: RobotSpec, q: F64) -> F64:
    """Pose (..., 7) of the TCP in the base frame at joint angles q (..., dof) rad."""
    return _chain(spec, q)[0]


def jacobian(spec: RobotSpec, q: F64) -> F64:
    """(..., 6, dof): velocity of the TCP point (m/s) and of the tool (rad/s), base axes, for each joint's 1 rad/s."""
    tool, origins, axes = _chain(spec, q)
    columns = [
        np.concatenate([pose.cross(axis, tool[..., :3] - origin), axis], axis=-1)
        for origin, axis in zip(origins, axes, strict=True)
    ]
    return np.stack(columns, axis=-1)
