"""Inverse kinematics for placing a twin: damped least squares from home, in MuJoCo's own kinematics."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from user_gym.core import F64
from user_gym.errors import Unreachable
from user_gym.robots import pose
from user_gym.sim.plant import Plant

TOLERANCE = 1e-7  # m and rad
ITERATIONS = 60
DAMPING = 1e-4  # of J J^T, (m/rad)^2
NULL_GAIN = 0.1  # pull towards home in the null space of a 7-joint arm


class Reach:
    """Finds joint positions for TCP poses. Deterministic: it always starts from home."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._data = mujoco.MjData(plant.model)
        self._site = plant.model.site("tcp").id
        self._jacobian = np.zeros((6, plant.model.nv))

    def solve(self, tcp: F64) -> F64:
        """Joint positions (dof,) whose TCP is at `tcp` (6,), inside the limits.

        Raises:
            Unreachable: there are none, or none was found.
        """
        spec, data = self._plant.spec, self._data
        target = pose.from_chart(tcp)
        q, low, high = spec.home.copy(), spec.q_min + spec.joint_margin, spec.q_max - spec.joint_margin
        # Fingers and objects stay where they are: only the arm's joints move.
        error = np.full(6, np.inf)
        for _ in range(ITERATIONS):
            data.qpos[: spec.dof] = q
            error = self._error(target, data)
            if np.abs(error).max() < TOLERANCE:
                return q
            mujoco.mj_comPos(self._plant.model, data)
            mujoco.mj_jacSite(self._plant.model, data, self._jacobian[:3], self._jacobian[3:], self._site)
            j = self._jacobian[:, : spec.dof]
            weighted = np.linalg.solve(j @ j.T + DAMPING * np.abs(error).max() * np.eye(6), np.eye(6))
            back = j.T @ weighted
            home = NULL_GAIN * (spec.home - q)
            step = back @ error + home - back @ (j @ home)
            q = np.minimum(np.maximum(q + step, low), high)
        raise Unreachable(
            f"{spec.name} cannot reach TCP position {np.round(tcp[:3], 4)} m with rotation {np.round(tcp[3:], 3)} rad "
            f"(off by {np.abs(error).max():.2g}); keep the task's work near {spec.work_point} m"
        )

    def _error(self, target: F64, data: Any) -> F64:
        """(6,) from where `data` is to the target, base axes."""
        mujoco.mj_kinematics(self._plant.model, data)
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, data.site_xmat[self._site])
        turn = pose.log(pose.multiply(target[3:], pose.conjugate(quat[[1, 2, 3, 0]])))
        return np.concatenate([target[:3] - data.site_xpos[self._site], turn])
