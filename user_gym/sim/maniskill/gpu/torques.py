"""The controller of `law` and the wrench of `wrench`, for n arms: pure, on tensors of one device."""

from __future__ import annotations

import torch
from torch import Tensor

from user_gym.core import F64, Compliance, Damping, RobotSpec
from user_gym.robots import pose
from user_gym.sim.maniskill.gpu.chain import Frames, tensor
from user_gym.sim.maniskill.gpu.physics import Tip
from user_gym.sim.maniskill.inertia import Principal
from user_gym.sim.maniskill.law import BRISTLE, CREEP

_TINY = 1e-9


class Impedance:
    """As `law.Impedance`, for `count` arms of one compliance."""

    def __init__(self, spec: RobotSpec, compliance: Compliance, count: int, device: torch.device) -> None:
        self._cartesian, self._device = spec.damping is Damping.CARTESIAN, device
        self._points = torch.zeros(count, 3, dtype=torch.float64, device=device)
        self._turns = torch.zeros(count, 3, 3, dtype=torch.float64, device=device)
        self.set_compliance(compliance)

    def set_compliance(self, compliance: Compliance) -> None:
        """Change how they yield, from the next substep on."""
        self._stiffness = tensor(compliance.stiffness, self._device)
        self._most = tensor(compliance.stiffness * compliance.error_clip, self._device)  # (6,) N, N m
        self._damping = tensor(compliance.damping, self._device)

    def order(self, rows: Tensor, tcp: F64) -> None:
        """Where the arms `rows` (m,) shall go: (m, 6) m, rad, the pose chart."""
        target = pose.from_chart(tcp)
        self._points[rows] = tensor(target[:, :3], self._device)
        self._turns[rows] = tensor(pose.matrix(target[:, 3:]), self._device)

    def torque(self, frames: Frames, jacobian: Tensor, dq: Tensor) -> Tensor:
        """Torques (n, dof) N m for joint speeds (n, dof) rad/s; without gravity's share."""
        turned = rotation(frames.turns[:, -1].mT @ self._turns)
        error = torch.cat([self._points - frames.points[:, -1], turned], dim=-1)
        wrench = torch.clamp(self._stiffness * error, -self._most, self._most)
        wrench = torch.cat([wrench[:, :3], _times(self._turns, wrench[:, 3:])], dim=-1)
        if self._cartesian:
            wrench = wrench - self._damping * _times(jacobian, dq)
        return _times(jacobian.mT, wrench)


class DryFriction:
    """As `law.DryFriction`, for `count` arms, each with a friction of its own; none until it is `begin`-ed."""

    def __init__(self, spec: RobotSpec, dt: float, count: int, device: torch.device) -> None:
        self._stiffness = torch.zeros(count, spec.dof, dtype=torch.float64, device=device)
        self.anchor = torch.zeros_like(self._stiffness)  # rad, where each bristle stands
        self._yield = dt / CREEP

    def begin(self, rows: Tensor, most: F64, q: F64) -> None:
        """The joints of the arms `rows` (m,) rest at q (m, dof) rad; they rub with `most` (m, dof) N m."""
        self._stiffness[rows] = tensor(most / BRISTLE, self.anchor.device)
        self.anchor[rows] = tensor(q, self.anchor.device)

    def torque(self, q: Tensor) -> Tensor:
        """Torques (n, dof) N m at q (n, dof) rad, one substep after the last call."""
        strain = torch.clamp(q - self.anchor, -BRISTLE, BRISTLE)
        self.anchor = q - strain * (1.0 - self._yield)
        return -self._stiffness * strain


class WristContact:
    """As `wrench.WristContact`, for n arms.

    Args:
        last: mass, centre and moments of the last link with all that it carries.
        axes: (3, 3) of the last joint, in the last link's frame.
        device: of all tensors.
    """

    def __init__(self, last: Principal, axes: F64, device: torch.device) -> None:
        self._mass, self._centre = last.mass, tensor(last.pose[:3], device)
        self._own, self._moments = tensor(pose.matrix(last.pose[3:]), device), tensor(last.moments, device)
        self._axes = tensor(axes, device)

    def begin(self, tip: Tip) -> None:
        """A period begins."""
        self._before = self._momentum(tip)
        self._sum, self._substeps = torch.zeros_like(self._before[1]), 0

    def add(self, carried: Tensor, frames: Frames) -> None:
        """A substep was done; `frames` are the links' before it."""
        turn = frames.turns[:, -2] @ self._axes
        force, moment = _times(turn, carried[:, :3].double()), _times(turn, carried[:, 3:].double())
        lever = frames.points[:, -2] - frames.points[:, -1]
        self._sum += torch.cat([force, moment + torch.linalg.cross(lever, force)], dim=-1)
        self._substeps += 1

    def mean(self, tip: Tip, tool: Tensor, period: float) -> Tensor:
        """(n, 6) N, N m on the tool at the TCP `tool` (n, 3) m, base axes, over a period of so many s."""
        centre, momentum = self._momentum(tip)
        change = (momentum - self._before[1]) / period
        moment = change[:, 3:] + torch.linalg.cross(centre - tool, change[:, :3])
        return torch.cat([change[:, :3], moment], dim=-1) - self._sum / self._substeps

    def _momentum(self, tip: Tip) -> tuple[Tensor, Tensor]:
        """Centre of mass (n, 3) m and momentum (n, 6) N s, N m s about it, base axes."""
        at, velocity = tip.pose.double(), tip.velocity.double()
        turn = matrix(at[:, 3:])
        along = turn @ self._own
        spin = _times(along, self._moments * _times(along.mT, velocity[:, 3:]))
        return at[:, :3] + turn @ self._centre, torch.cat([self._mass * velocity[:, :3], spin], dim=-1)


def matrix(wxyz: Tensor) -> Tensor:
    """Quaternions (n, 4), as SAPIEN has them, to rotation matrices (n, 3, 3)."""
    w, x, y, z = wxyz.unbind(-1)
    flat = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(flat, dim=-1).reshape(-1, 3, 3)


def rotation(m: Tensor) -> Tensor:
    """Rotation matrices (n, 3, 3), less than half a turn, to their rotation vectors (n, 3) rad."""
    axis = torch.stack([m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], dim=-1)
    sine = axis.norm(dim=-1)
    cosine = m.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0
    return axis * (torch.atan2(sine, cosine) / sine.clamp(min=_TINY))[:, None]


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """(n, a, b) times (n, b)."""
    return (matrices @ vectors[:, :, None])[..., 0]
