"""A `gpu.physics.Physics` without a GPU: n scenes of one arm each on the CPU, built as the GPU's are."""

from __future__ import annotations

from typing import Any

import numpy as np
import sapien  # pyright: ignore[reportMissingImports]
import torch
from torch import Tensor

from user_gym.core import F64, Cell, RobotBatch, RobotSpec, Task
from user_gym.sim.maniskill import scene
from user_gym.sim.maniskill.gpu.physics import Moving, Tip
from user_gym.sim.maniskill.gpu.twins import GpuTwins
from user_gym.sim.maniskill.law import Drives, drives

CPU = torch.device("cpu")


def twins(spec: RobotSpec, task: Task, control: str, count: int, dt: float = 0.004) -> GpuTwins:
    """A batch over such scenes."""
    gains = drives(spec, control)
    return GpuTwins(spec, task, control, count, dt, CPU, lambda at: CpuScenes(spec, task, dt, gains, at))


def build_batch(spec: RobotSpec, task: Task, control: str, count: int, dt: float = 0.004) -> Cell[RobotBatch]:
    """A cell with such a batch, as a backend makes it."""
    arms = twins(spec, task, control, count, dt)
    return Cell(robot=arms, scene=arms, cameras={})


class CpuScenes:
    """Each scene has a PhysX of its own; its state is written, not built anew."""

    def __init__(self, spec: RobotSpec, task: Task, dt: float, gains: Drives, objects: F64) -> None:
        self.dof, self._systems, self._scenes, self.contents = spec.dof, [], [], []
        self.links = spec.dof + 1 + 2 * task.moves_gripper
        for at in objects:
            system = scene.cpu_system(spec.gravity)
            system.timestep = dt
            self._systems.append(system)
            self._scenes.append(sapien.Scene([system]))
            self.contents.append(scene.furnish(self._scenes[-1], spec, task, gains, at, lasting=True, joints=np.zeros(0)))

    @property
    def arms(self) -> list[Any]:
        """Each scene's articulation."""
        return [contents.arm for contents in self.contents]

    def place(self, rows: Tensor, moving: Moving) -> None:
        for i, q, dq, objects in zip(rows.tolist(), *(x.numpy() for x in moving), strict=True):
            self.arms[i].qpos, self.arms[i].qvel = q, dq
            for entity, at in zip(self.contents[i].objects.values(), objects, strict=True):
                put(entity, at)

    def moving(self) -> Moving:
        objects = [[_body(component(entity)) for entity in c.objects.values()] for c in self.contents]
        return Moving(self.joints(), self._stack(lambda arm: arm.qvel), torch.tensor(np.array(objects, np.float32)))

    def aim(self, targets: Tensor) -> None:
        for contents, row in zip(self.contents, targets.tolist(), strict=True):
            for joint, target in zip(contents.arm.active_joints, row, strict=True):
                joint.set_drive_target(target)

    def step(self, torque: Tensor) -> None:
        for contents, system, row in zip(self.contents, self._systems, torque.float().numpy(), strict=True):
            full = np.zeros(contents.arm.dof, np.float32)
            full[: self.dof] = row
            contents.arm.set_qf(full)
            system.step()

    def joints(self) -> Tensor:
        return self._stack(lambda arm: arm.qpos)

    def carried(self) -> Tensor:
        return self._stack(lambda arm: arm.get_link_incoming_joint_forces()[self.dof])

    def tip(self) -> Tip:
        whole = self._stack(lambda arm: _body(arm.links[self.dof]))
        return Tip(whole[:, :7], whole[:, 7:])

    def close(self) -> None:
        self._scenes.clear()

    def _stack(self, of: Any) -> Tensor:
        return torch.tensor(np.stack([of(contents.arm) for contents in self.contents]))


def put(entity: Any, at: np.ndarray) -> None:
    """An object at (13,), as `Moving` has it."""
    entity.pose = sapien.Pose(at[:3], at[3:7])
    if not (body := component(entity)).kinematic:
        body.linear_velocity, body.angular_velocity = at[7:10], at[10:]


def component(entity: Any) -> Any:
    """The rigid body of an object's entity."""
    return next(c for c in entity.components if isinstance(c, sapien.physx.PhysxRigidBodyComponent))


def _body(body: Any) -> np.ndarray:
    at = body.entity_pose
    return np.concatenate([at.p, at.q, body.linear_velocity, body.angular_velocity])
