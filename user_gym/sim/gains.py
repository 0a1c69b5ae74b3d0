"""Compliance as parameters of the plant's actuators, written while it runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from user_gym.core import Compliance, Damping
from user_gym.errors import BadOption
from user_gym.sim.plant import Plant

# N/m and N m/rad; N s/m and N m s/rad; m and rad. Stiffness as far as Franka's own Cartesian impedance goes; the rest is
# where the twin was seen to be stable at 5 ms.
MAXIMUM = Compliance(
    stiffness=np.array([3000.0] * 3 + [300.0] * 3),
    damping=np.array([200.0] * 3 + [20.0] * 3),
    error_clip=np.array([0.02] * 3 + [0.1] * 3),
)


def check(compliance: Compliance) -> None:
    """Raise BadOption unless every entry is six numbers between 0 and MAXIMUM."""
    if not isinstance(compliance, Compliance):
        raise BadOption("compliance", compliance, "a user_gym.core.Compliance")
    for name in ("stiffness", "damping", "error_clip"):
        value, most = np.asarray(getattr(compliance, name), float), getattr(MAXIMUM, name)
        if value.shape != (6,) or not ((value >= 0) & (value <= most)).all():
            raise BadOption(f"compliance.{name}", value.tolist(), f"six numbers between 0 and {most.tolist()}")


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
