"""The fingers of an FCI twin's physics, where the task moves them. The hand's calls lead them."""

from __future__ import annotations

from collections.abc import Callable

from user_gym.sim.fci.body import Body

REST = 0.002  # m/s: slower than this they stand still


class MovedFingers:
    """Both fingers of a parallel gripper.

    Args:
        body: whose they are.
        standing: whether time stands still; then they go where they are led at once, as nothing can push back.
    """

    def __init__(self, body: Body, standing: Callable[[], bool]) -> None:
        self._body, self._standing = body, standing
        dof, count = body.spec.dof, body.plant.fingers
        self._q, self._dq = body.data.qpos[dof : dof + count], body.data.qvel[dof : dof + count]
        self._ctrl, self._limit = body.data.ctrl[-count:], body.model.actuator_forcerange[-count:]
        self._q[:] = self._ctrl[:] = body.spec.gripper.width / count

    def lead(self, width: float, force: float) -> None:
        """Pull them towards a width (m) with at most so much force (N)."""
        self._ctrl[:] = width / len(self._ctrl)
        self._limit[:, 0], self._limit[:, 1] = -force, force
        if self._standing():
            self._q[:], self._dq[:] = self._ctrl, 0.0

    def resting(self) -> bool:
        """Whether they stand still, or time does."""
        return self._standing() or bool(abs(self._dq).max() < REST)

    def apart(self) -> float:
        """m between them."""
        return float(self._q.sum())
