"""SAPIEN's interface of a PhysX on a GPU, over scenes on the CPU: tensors in an order of their own, fetch and apply."""

from __future__ import annotations

from typing import NamedTuple

import torch
from cpu_scenes import CPU, CpuScenes, put
from torch import Tensor

from user_gym.core import RobotSpec, Task
from user_gym.sim.maniskill.gpu import physx_gpu
from user_gym.sim.maniskill.gpu.twins import GpuTwins
from user_gym.sim.maniskill.law import drives


class Array(NamedTuple):
    """A CudaArray."""

    memory: Tensor

    def torch(self) -> Tensor:
        return self.memory


def twins(spec: RobotSpec, task: Task, control: str, count: int, dt: float = 0.004) -> GpuTwins:
    """A batch over PhysxGpu over a fake; `sapien.CudaArray` has to be `Array`."""

    def build(objects) -> physx_gpu.PhysxGpu:
        system = FakeGpu(CpuScenes(spec, task, dt, drives(spec, control), objects))
        return physx_gpu.PhysxGpu(system, system.arms, system.bodies, spec.dof, spec.dof, ())

    return GpuTwins(spec, task, control, count, dt, CPU, build)


class FakeGpu:
    """Articulations come in reversed order of the scenes, bodies in that of their names."""

    def __init__(self, scenes: CpuScenes) -> None:
        self._scenes = scenes
        self._last, now = scenes.dof, scenes.moving()
        (n, joints), k = now.q.shape, now.objects.shape[1]
        self.arms = torch.arange(n - 1, -1, -1)
        self.bodies = torch.arange(n * k).reshape(k, n).T
        self._q, self._dq, self._force, self._target = (torch.zeros(n, joints) for _ in range(4))
        self._links, self._incoming = torch.zeros(n, scenes.links, 13), torch.zeros(n, scenes.links, 6)
        self._loose = torch.zeros(n * k, 13)
        for name, memory in (
            ("qpos", self._q), ("qvel", self._dq), ("qf", self._force), ("target_qpos", self._target),
            ("link_data", self._links), ("link_incoming_joint_forces", self._incoming),
        ):  # fmt: skip
            setattr(self, f"cuda_articulation_{name}", Array(memory))
        self.cuda_rigid_dynamic_data = Array(self._loose)

    def gpu_fetch_articulation_qpos(self) -> None:
        self._q[self.arms] = self._scenes.joints()

    def gpu_fetch_articulation_qvel(self) -> None:
        self._dq[self.arms] = self._scenes.moving().dq

    def gpu_fetch_articulation_link_pose(self) -> None:
        self._links[self.arms, self._last, :7] = self._scenes.tip().pose

    def gpu_fetch_articulation_link_velocity(self) -> None:
        self._links[self.arms, self._last, 7:] = self._scenes.tip().velocity

    def gpu_fetch_articulation_link_incoming_joint_forces(self) -> None:
        self._incoming[self.arms, self._last] = self._scenes.carried()

    def gpu_fetch_rigid_dynamic_data(self) -> None:
        self._loose[self.bodies] = self._scenes.moving().objects

    def gpu_apply_articulation_qpos(self) -> None:
        for arm, q in zip(self._scenes.arms, self._q[self.arms].numpy(), strict=True):
            arm.qpos = q

    def gpu_apply_articulation_qvel(self) -> None:
        for arm, dq in zip(self._scenes.arms, self._dq[self.arms].numpy(), strict=True):
            arm.qvel = dq

    def gpu_apply_articulation_target_position(self) -> None:
        self._scenes.aim(self._target[self.arms])

    def gpu_apply_articulation_qf(self) -> None:
        self._torque = self._force[self.arms, : self._scenes.dof].clone()

    def gpu_update_articulation_kinematics(self) -> None:
        """The CPU's are up to date."""

    def gpu_apply_rigid_dynamic_data(self, index: Array) -> None:
        told = set(index.memory.tolist())
        for contents, rows in zip(self._scenes.contents, self.bodies.tolist(), strict=True):
            for entity, row in zip(contents.objects.values(), rows, strict=True):
                if row in told:
                    put(entity, self._loose[row].numpy())

    def step(self) -> None:
        self._scenes.step(self._torque)
