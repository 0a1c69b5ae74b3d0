"""Compliance as parameters of the plant's actuators, written while it runs."""

from __future__ import annotations

from typing import Any

from user_gym.core import Compliance, Damping
from user_gym.sim.plant import Plant


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
