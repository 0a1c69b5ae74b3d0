"""What an ARX arm's joints do from one cycle to the next: laws that turn what is measured into one order per motor.

Gravity is carried by each of them: an X5 has no brakes, and damping alone lets it fall 25 cm in half a second. Cartesian
damping cannot be had over CAN (it diverges at 200 .. 1000 Hz), so the motors damp, with the most their frame can say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from user_gym.core import F64, Compliance, RobotSpec
from user_gym.robots import pose
from user_gym.robots.kinematics import Linear
from user_gym.robots.motors import Jaw
from user_gym.robots.wire.mit import Mit

JUMP = 0.2  # rad: no stiffness towards a position farther away than this (the vendor's own limit)
_LEASH = 0.19  # rad: how far a joint order is pulled at a time
_PULL = 4.0  # 1/s: how fast a path's integral grows, as a share of the stiffness
_MOST_PULL = 2.0  # N m: friction is 0.3
_STANDS = 0.05  # share of the jaw's speed
_LAG = 0.08  # rad behind its path at which an arm is waited for


class Measured(NamedTuple):
    """The newest that all joints and the jaw have told, and what follows from it."""

    time: float  # s, of the loop
    cycles: int
    q: F64  # (dof,) rad
    dq: F64  # (dof,) rad/s
    tau: F64  # (dof,) N m
    gravity: F64  # (dof,) N m that carry the arm at q
    tool: Linear
    jaw: float  # rad
    jaw_speed: float  # rad/s
    jaw_torque: float  # N m
    pushed: F64  # (dof,) N m: gravity - tau, summed over all cycles so far


class Law(Protocol):
    """One order per joint. A law belongs to the loop from the moment it is given to it."""

    def orders(self, now: Measured, dt: float) -> Sequence[Mit]:
        """For one cycle of `dt` s."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Damp:
    """Give way, slowly, and carry the weight: the reaction to a fault."""

    spec: RobotSpec
    share: float = 1.0  # of the weight that is carried

    def orders(self, now: Measured, dt: float) -> Sequence[Mit]:
        """As `Law.orders`."""
        return _orders(now.q, None, None, self.spec.joint_damping, self.share * now.gravity)


@dataclass(frozen=True, slots=True, eq=False)
class Joints:
    """Joint impedance towards a position; also how an arm is held where it is."""

    spec: RobotSpec
    target: F64  # (dof,) rad

    def orders(self, now: Measured, dt: float) -> Sequence[Mit]:
        """As `Law.orders`."""
        reference = np.clip(self.target, now.q - _LEASH, now.q + _LEASH)
        return _orders(reference, None, self.spec.joint_stiffness, self.spec.joint_damping, now.gravity)


@dataclass(frozen=True, slots=True, eq=False)
class Cartesian:
    """Clipped impedance towards a TCP pose: force along the base's axes, torque along those of the ordered orientation."""

    spec: RobotSpec
    compliance: Compliance
    target: F64  # (7,) m, xyzw
    turn: F64  # (3, 3) of the target

    def orders(self, now: Measured, dt: float) -> Sequence[Mit]:
        """As `Law.orders`."""
        c, tool = self.compliance, now.tool
        error = np.empty(6)
        error[:3] = self.target[:3] - tool.point
        error[3:] = -pose.log(pose.from_matrix(self.turn.T @ tool.turn))
        force = c.stiffness * np.clip(error, -c.error_clip, c.error_clip)
        force[3:] = self.turn @ force[3:]
        torque = tool.jacobian.T @ force + now.gravity
        return _orders(now.q, None, None, self.spec.joint_damping, np.clip(torque, -self.spec.tau_max, self.spec.tau_max))


def cartesian(spec: RobotSpec, compliance: Compliance, tcp: F64) -> Cartesian:
    """The law for a target (6,) of the pose chart."""
    target = pose.from_chart(tcp)
    return Cartesian(spec, compliance, target, pose.matrix(target[3:]))


class Path:
    """Follow joint positions, one per cycle; at the end an integral takes out what friction leaves. Waits for a blocked arm.

    Args:
        spec: the arm.
        way: (n, dof) rad, from rest to rest.
    """

    def __init__(self, spec: RobotSpec, way: F64) -> None:
        self._spec, self._way = spec, way
        self._at = 0
        self._pull = np.zeros(spec.dof)
        self.waited = 0  # cycles in a row that it waited for the arm
        self.rested = 0  # cycles since it came to the end of the way
        self.error = np.inf  # rad, the largest of a joint

    def orders(self, now: Measured, dt: float) -> Sequence[Mit]:
        """As `Law.orders`."""
        way, spec = self._way, self._spec
        last = len(way) - 1
        lags = float(np.abs(way[self._at] - now.q).max()) > _LAG
        self.waited = self.waited + 1 if lags else 0
        before = way[self._at]
        if not lags:
            self.rested += self._at == last
            self._at = min(self._at + 1, last)
        reference = way[self._at]
        error = reference - now.q
        self.error = float(np.abs(error).max())
        self._pull = np.clip(self._pull + _PULL * dt * spec.joint_stiffness * error, -_MOST_PULL, _MOST_PULL)
        speed = (reference - before) / dt
        return _orders(reference, speed, spec.joint_stiffness, spec.joint_damping, now.gravity + self._pull)


class Grip:
    """Moves the jaw no faster than it can, and no further into what it has gripped.

    Args:
        jaw: of the arm's table.
        speed: m/s of the width.
        angle: rad, where it is.
    """

    def __init__(self, jaw: Jaw, speed: float, angle: float) -> None:
        self._jaw, self._reference = jaw, angle
        self._step = abs(jaw.open_angle / jaw.open_width) * speed  # rad/s
        self.target = angle  # rad

    def order(self, now: Measured, dt: float) -> Mit:
        """For one cycle of `dt` s."""
        jaw, step = self._jaw, self._step * dt
        move = min(max(self.target - self._reference, -step), step)
        # Torque alone is no grip: it takes some to set the jaw in motion.
        stands = abs(now.jaw_speed) < _STANDS * self._step and abs(now.jaw_torque) > jaw.hold_torque
        gripped = stands and (self._reference - now.jaw) * move > 0
        if gripped:  # what yields lets the reference run ahead until the jaw stands: no more of that than it holds with
            most = jaw.hold_torque / jaw.kp
            move, self._reference = 0.0, min(max(self._reference, now.jaw - most), now.jaw + most)
        self._reference += move
        return Mit(self._reference, move / dt, jaw.kp, jaw.kd, 0.0)

    def rest(self, angle: float) -> None:
        """Stay where the jaw is."""
        self.target = self._reference = angle


def _orders(position: F64, velocity: F64 | None, kp: F64 | None, kd: F64, torque: F64) -> list[Mit]:
    none = [0.0] * len(kd)
    return [
        Mit(*order)
        for order in zip(
            position.tolist(),
            none if velocity is None else velocity.tolist(),
            none if kp is None else kp.tolist(),
            kd.tolist(),
            torque.tolist(),
            strict=True,
        )
    ]
