"""What compliance an arm may be given, simulated or real."""

from __future__ import annotations

import numpy as np

from user_gym.core import Compliance
from user_gym.errors import BadOption

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
