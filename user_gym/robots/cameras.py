"""Two standard cameras for an arm of table size: one on the wrist, one beside the table. Positions only, no pictures."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, CameraSpec
from user_gym.robots import pose


def standard(work_point: F64) -> tuple[CameraSpec, ...]:
    """Cameras "wrist" and "side" for an arm that works around `work_point` (3,) m in its base frame.

    The wrist camera sits off the tool's x, where no finger moves, below the hand's housing, and sees fingers, held object
    and the work obliquely from above. The other looks from the front left and above.
    """
    wrist = pose.look_at(eye=(0.10, 0.0, -0.04), target=(0.0, 0.0, 0.045), up=(0.0, 0.0, -1.0))
    target = work_point + np.array([0.0, 0.0, 0.05])
    side = pose.look_at(eye=target + np.array([0.33, 0.31, 0.31]), target=target)
    return (
        CameraSpec("wrist", "tool", wrist, fovy=np.deg2rad(65.0)),
        CameraSpec("side", "base", side, fovy=np.deg2rad(45.0)),
    )
