"""One arm and one task's objects in a PhysX scene of their own.

The scene is built anew for every episode: PhysX keeps contacts and what its solver found last from step to step, so a scene
that has been used does not repeat what a fresh one does. Nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import sapien  # pyright: ignore[reportMissingImports]

from user_gym.core import F64, RobotSpec, Task
from user_gym.robots import pose
from user_gym.sim.maniskill import bodies, links, scene
from user_gym.sim.maniskill.law import Drives


class Momentum(NamedTuple):
    """Of a rigid body, base axes."""

    centre: F64  # (3,) m, of mass
    linear: F64  # (3,) N s
    angular: F64  # (3,) N m s, about the centre


class World:
    """A built scene.

    Args:
        spec: the arm.
        task: whose bodies stand in it.
        dt: s of a substep.
        drives: of the arm's joints.
        q: (dof,) rad, where the arm begins, at rest.
        gripper: 0 closed .. 1 open, where the fingers begin.
        objects: (k, 7) m, xyzw, as in `Start`.
        joints: (j,) rad, m, as in `Start`.
    """

    def __init__(
        self, spec: RobotSpec, task: Task, dt: float, drives: Drives, q: F64, gripper: float, objects: F64, joints: F64
    ) -> None:
        self._dof, self._dt = spec.dof, dt
        self._system = scene.cpu_system(spec.gravity)
        self._system.timestep = dt
        self._scene = sapien.Scene([self._system])
        contents = scene.furnish(self._scene, spec, task, drives, objects, lasting=False, joints=joints)
        self._arm, self._joints, self._hung = contents.arm, contents.arm.active_joints, contents.hung
        at = dict(zip((b.name for b in task.bodies if b.mount in ("table", "free")), objects.copy(), strict=True))
        self._where: list[Callable[[], F64]] = []  # of each object that the tool does not hold
        for body in task.bodies:
            if body.mount == "free":
                self._where.append(partial(_pose, contents.objects[body.name]))
            elif body.mount != "tool":  # what stands stays where it was put
                self._where.append(self._hung[body.name].pose if body.joint is not None else at[body.name].copy)
        self.fingers = len(self._joints) - spec.dof
        opened = np.full(self.fingers, gripper * spec.gripper.width / 2)
        self._arm.qpos = np.concatenate([q, opened]).astype(np.float32)
        self.aim(q)
        self.open(float(gripper * spec.gripper.width / 2))
        self._torque = np.zeros(len(self._joints), np.float32)
        self._q = self._arm.get_qpos().astype(float)
        self._dq = np.zeros_like(self._q)
        self._last = self._arm.links[spec.dof]
        self._last_axes = pose.matrix(links.from_x(spec.joint_axis[-1])[3:])

    def aim(self, q: F64) -> None:
        """Targets (dof,) rad of the joints' own drives."""
        for joint, target in zip(self._joints, q.tolist(), strict=False):
            joint.set_drive_target(target)

    def open(self, reach: float) -> None:
        """How far (m) each finger is to be from the middle."""
        for joint in self._joints[self._dof :]:
            joint.set_drive_target(reach)

    def step(self, torque: F64 | None) -> None:
        """One substep with torques (dof,) N m besides those of the drives."""
        if torque is not None:
            self._torque[: self._dof] = torque
            self._arm.set_qf(self._torque)
        for hung in self._hung.values():
            hung.prepare()
        self._system.step()
        before, self._q = self._q, self._arm.get_qpos().astype(float)
        self._dq = (self._q - before) / self._dt

    def joints(self) -> tuple[F64, F64]:
        """Positions and speeds (dof + fingers,) rad, m; rad/s, m/s.

        Speeds are those of the way made in the newest substep. PhysX's solver TGS tells others where a drive damps: of an
        ARX's wrist that turned with 0.58 rad/s it said 0.003, and its motors then seemed to press with 3 N m.
        """
        return self._q.copy(), self._dq.copy()

    def carried(self) -> F64:
        """What the last joint did to the last link in the newest substep, friction and inertia included.

        Returns:
            (6,) N, N m about the joint's origin, in the last link's axes.
        """
        given = self._arm.get_link_incoming_joint_forces()[self._dof].astype(float)  # in the joint's own axes
        return (given.reshape(2, 3) @ self._last_axes.T).ravel()

    def momentum(self) -> Momentum:
        """Of the last link with all that it carries rigidly, base axes."""
        last = self._last
        centre = last.entity_pose * last.cmass_local_pose
        turn = pose.matrix(np.asarray(centre.q, float)[[1, 2, 3, 0]])
        spin = turn @ (np.asarray(last.inertia, float) * (turn.T @ np.asarray(last.angular_velocity, float)))
        return Momentum(np.asarray(centre.p, float), last.mass * np.asarray(last.linear_velocity, float), spin)

    def objects(self) -> F64:
        """Poses (k, 7) m, xyzw, of the objects that the tool does not hold, in the task's order."""
        return np.array([at() for at in self._where]).reshape(-1, 7)


def _pose(entity: Any) -> F64:
    return bodies.numbers(entity.pose)
