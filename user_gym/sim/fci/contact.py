"""When a control box takes a force for contact, and when for a collision: the thresholds of SetCollisionBehavior."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64

START = 100.0  # N, N m: our own choice for a box that was told nothing


class Contact:
    """Flags of joints (7,) and of Cartesian axes (6,), from external torques and the wrench at K.

    The thresholds for phases of acceleration are kept but not used: a twin's torques have no error of acceleration.
    """

    def __init__(self) -> None:
        self.active = True  # whether a collision stops the motion
        self._joints = np.full((4, 7), START)  # lower and upper in acceleration, lower and upper nominal
        self._axes = np.full((4, 6), START)
        self.joint_contact, self.joint_collision = np.zeros(7, bool), np.zeros(7, bool)
        self.axis_contact, self.axis_collision = np.zeros(6, bool), np.zeros(6, bool)
        self._quiet = True

    def set(self, payload: bytes) -> bool:
        """Take SetCollisionBehavior's 52 numbers; False where they are none."""
        values = np.frombuffer(payload, "<f8")
        if not (np.isfinite(values).all() and (values >= 0).all()):
            return False
        self._joints, self._axes = values[:28].reshape(4, 7).copy(), values[28:].reshape(4, 6).copy()
        return True

    def judge(self, tau: F64, wrench: F64) -> str | None:
        """Update the flags; the reflex that follows."""
        if self._quiet and not wrench.any():
            return None
        torque, force = np.abs(tau), np.abs(wrench)
        self.joint_contact, self.joint_collision = torque > self._joints[2], torque > self._joints[3]
        self.axis_contact, self.axis_collision = force > self._axes[2], force > self._axes[3]
        self._quiet = not (self.joint_contact.any() or self.axis_contact.any())
        if self.active and self.axis_collision.any():
            return "cartesian_reflex"
        if self.active and self.joint_collision.any():
            return "joint_reflex"
        return None
