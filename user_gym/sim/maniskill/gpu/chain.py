"""Where the links of n arms are, how their tools move with the joints, and what the arms weigh; as `robots.kinematics`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from user_gym.core import F64, RobotSpec
from user_gym.robots import pose
from user_gym.robots.dynamics import Payload


class Frames(NamedTuple):
    """Frames of n arms, base axes; the last is the TCP's, those before are of link 1 .. dof at its joint."""

    points: Tensor  # (n, dof + 1, 3) m
    turns: Tensor  # (n, dof + 1, 3, 3)
    axes: Tensor  # (n, dof, 3) of the joints


class Chain:
    """One arm's geometry as tensors.

    Args:
        spec: the arm.
        carried: what its tool holds.
        device: of all tensors.
    """

    def __init__(self, spec: RobotSpec, carried: Payload, device: torch.device) -> None:
        x, y, z = spec.joint_axis.T
        zero = np.zeros_like(x)
        skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
        turn = pose.matrix(pose.rpy(spec.joint_rpy))
        fixed, sine, versine = (np.zeros((spec.dof, 4, 4)) for _ in range(3))
        fixed[:, :3, :3], fixed[:, :3, 3], fixed[:, 3, 3] = turn, spec.joint_xyz, 1.0
        sine[:, :3, :3], versine[:, :3, :3] = turn @ skew, turn @ skew @ skew
        at = pose.compose(spec.flange, spec.tcp)
        tool = np.eye(4)
        tool[:3, :3], tool[:3, 3] = pose.matrix(at[3:]), at[:3]
        hand = pose.rotate(pose.conjugate(spec.tcp[3:]), spec.hand_com - spec.tcp[:3])
        mass = spec.hand_mass + carried.mass
        moment = spec.hand_mass * hand + carried.mass * np.array(carried[1:])
        self._fixed, self._sine, self._versine, self._tool, self._axis, self._masses, self._centres = (
            tensor(x, device)
            for x in (
                fixed,
                sine,
                versine,
                tool,
                spec.joint_axis[:, :, None],
                np.append(spec.link_mass[1:], mass)[:, None],
                np.vstack([spec.link_com[1:], moment / mass if mass > 0 else np.zeros(3)])[:, :, None],
            )
        )
        self._gravity = spec.gravity

    def frames(self, q: Tensor) -> Frames:
        """At joint angles q (n, dof) rad."""
        angle = q[:, :, None, None]
        own = self._fixed + angle.sin() * self._sine + (1.0 - angle.cos()) * self._versine  # (n, dof, 4, 4)
        frames = [own[:, 0]]
        for i in range(1, own.shape[1]):
            frames.append(frames[-1] @ own[:, i])
        frames.append(frames[-1] @ self._tool)
        found = torch.stack(frames, dim=1)
        turns = found[..., :3, :3]
        return Frames(found[..., :3, 3], turns, (turns[:, :-1] @ self._axis)[..., 0])

    def jacobian(self, frames: Frames) -> Tensor:
        """(n, 6, dof): velocity of the TCP (m/s) and of the tool (rad/s), base axes, for each joint's 1 rad/s."""
        levers = frames.points[:, -1:] - frames.points[:, :-1]
        return torch.cat([torch.linalg.cross(frames.axes, levers), frames.axes], dim=-1).mT

    def weight(self, frames: Frames) -> Tensor:
        """Torques (n, dof) N m that hold the arms still against their weight; as `dynamics.gravity`."""
        moments = self._masses * (frames.points + (frames.turns @ self._centres)[..., 0])  # (n, dof + 1, 3) kg m
        hung, mass = _from_here_on(moments, -2)[:, :-1], _from_here_on(self._masses, 0)[:-1]
        levers = hung - mass * frames.points[:, :-1]
        return self._gravity * (frames.axes[..., 0] * levers[..., 1] - frames.axes[..., 1] * levers[..., 0])


def tensor(values: F64, device: torch.device) -> Tensor:
    """A copy of the numbers, of float64, on a device."""
    return torch.tensor(np.asarray(values, float), dtype=torch.float64, device=device)


def _from_here_on(x: Tensor, dim: int) -> Tensor:
    """At each place the sum of what is there and behind."""
    return x.flip(dim).cumsum(dim).flip(dim)
