"""Compliance as parameters of the plant's actuators, written while it runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from user_gym.core import Compliance, Damping
from user_gym.errors import BadOption
from user_gym.sim.plant import Plant


def check(compliance: Compliance) -> None:
    """Raise BadOption unless every entry is six finite numbers, 0 or more."""
    for name in ("stiffness", "damping", "error_clip"):
        value = np.asarray(getattr(compliance, name), float)
        if value.shape != (6,) or not np.isfinite(value).all() or (value < 0).any():
            raise BadOption(f"compliance.{name}", value.tolist(), "six finite numbers, 0 or more")


def write(batch: Any, plant: Plant, compliance: Compliance) -> None:
    """Set the actuators of every simulation of a MuJoCo batch: Cartesian springs and dampers, or joint servos."""
    model, spec = plant.model, plant.spec
    gain, bias, limit = (batch.expand(f"actuator_{f}") for f in ("gainprm", "biasprm", "forcerange"))
    if plant.control == "joint":
        for i in range(spec.dof):
            a = model.actuator(f"servo{i}").id
            gain[:, a, 0] = spec.joint_stiffness[i]
            bias[:, a, 1], bias[:, a, 2] = -spec.joint_stiffness[i], -spec.joint_damping[i]
        return
    for axis in range(6):
        a = model.actuator(f"spring{axis}").id
        stiffness, clip = compliance.stiffness[axis], compliance.stiffness[axis] * compliance.error_clip[axis]
        gain[:, a, 0] = stiffness if axis < 3 else 0.0  # rotation: the target's frame is the reference, not the control
        bias[:, a, 1] = -stiffness
        limit[:, a, 0], limit[:, a, 1] = -clip, clip
    by_axis = spec.damping is Damping.CARTESIAN
    for i, value in enumerate(compliance.damping if by_axis else spec.joint_damping):
        bias[:, model.actuator(f"damper{i}").id, 2] = -value
