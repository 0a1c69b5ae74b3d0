"""n scenes in one PhysX on a GPU, through SAPIEN's tensors. It has no formula of its own: what is here only moves numbers.

It was written against the interface and the sources of SAPIEN 3.0.3, and has never run on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np
import sapien  # pyright: ignore[reportMissingImports]
import torch
from sapien import physx  # pyright: ignore[reportMissingImports]
from torch import Tensor

from user_gym.core import F64, RobotSpec, Task
from user_gym.errors import BadOption, MissingSystem
from user_gym.sim.maniskill import scene
from user_gym.sim.maniskill.gpu.physics import Moving, Tip
from user_gym.sim.maniskill.gpu.pictures import Studio
from user_gym.sim.maniskill.law import Drives

SPACING = 2.5  # m between scenes, whose tables are 2 m wide: all of them are in one world, and none touches another


class PhysxGpu:
    """A `Physics` on a GPU; `build` makes one.

    Args:
        system: sapien's PhysxGpuSystem, after its gpu_init.
        arms: (n,) int64, each scene's row in the tensors of articulations.
        bodies: (n, k) int64, each object's row in the tensor of rigid bodies.
        dof: of an arm.
        last: the last link's place among the links of an arm.
        scenes: sapien's, which live as long as this.
    """

    def __init__(self, system: Any, arms: Tensor, bodies: Tensor, dof: int, last: int, scenes: Sequence[Any]) -> None:
        self._system, self._arms, self._bodies, self._dof, self._last = system, arms, bodies, dof, last
        self._scenes = scenes
        # SAPIEN's own memory as tensors: fetch fills it, apply reads it.
        self._q, self._dq = system.cuda_articulation_qpos.torch(), system.cuda_articulation_qvel.torch()
        self._force, self._target = system.cuda_articulation_qf.torch(), system.cuda_articulation_target_qpos.torch()
        self._links = system.cuda_articulation_link_data.torch()  # (arms, links, 13)
        self._incoming = system.cuda_articulation_link_incoming_joint_forces.torch()  # (arms, links, 6)
        self._loose = system.cuda_rigid_dynamic_data.torch()  # (bodies, 13)

    def place(self, rows: Tensor, moving: Moving) -> None:
        """As `Physics.place`."""
        system, arms, bodies = self._system, self._arms[rows], self._bodies[rows]
        # SAPIEN 3.0.3 takes the first arms of the tensor, whatever indices it is given: so all of them are applied, the
        # others with what was fetched just now.
        system.gpu_fetch_articulation_qpos()
        system.gpu_fetch_articulation_qvel()
        self._q[arms], self._dq[arms], self._force[arms] = moving.q, moving.dq, 0.0
        system.gpu_apply_articulation_qpos()
        system.gpu_apply_articulation_qvel()
        system.gpu_apply_articulation_qf()
        system.gpu_update_articulation_kinematics()
        self._loose[bodies] = moving.objects
        index = bodies.flatten().int()  # by name: a CudaArray does not keep what it points to
        system.gpu_apply_rigid_dynamic_data(sapien.CudaArray(index))

    def moving(self) -> Moving:
        """As `Physics.moving`."""
        self._system.gpu_fetch_rigid_dynamic_data()
        self._system.gpu_fetch_articulation_qvel()
        return Moving(self.joints(), self._dq[self._arms], self._loose[self._bodies])

    def aim(self, targets: Tensor) -> None:
        """As `Physics.aim`."""
        self._target[self._arms] = targets
        self._system.gpu_apply_articulation_target_position()

    def step(self, torque: Tensor) -> None:
        """As `Physics.step`."""
        self._force[self._arms, : self._dof] = torque.float()
        self._system.gpu_apply_articulation_qf()
        self._system.step()

    def joints(self) -> Tensor:
        """As `Physics.joints`."""
        self._system.gpu_fetch_articulation_qpos()
        return self._q[self._arms]

    def carried(self) -> Tensor:
        """As `Physics.carried`."""
        self._system.gpu_fetch_articulation_link_incoming_joint_forces()
        return self._incoming[self._arms, self._last]

    def tip(self) -> Tip:
        """As `Physics.tip`."""
        self._system.gpu_fetch_articulation_link_pose()
        self._system.gpu_fetch_articulation_link_velocity()
        found = self._links[self._arms, self._last]
        return Tip(found[:, :7], found[:, 7:])

    def close(self) -> None:
        """As `Physics.close`: SAPIEN frees what nobody has."""
        self._scenes = ()


def build(
    spec: RobotSpec, task: Task, dt: float, drives: Drives, objects: F64, device: torch.device, studio: Studio
) -> PhysxGpu:
    """Build the scenes.

    Args:
        spec: the arm.
        task: whose bodies stand in each scene.
        dt: s of a substep.
        drives: of the arm's joints.
        objects: (n, k, 7) m, xyzw, where the objects begin.
        device: such as cuda:0.
        studio: whose cameras are wanted.

    Raises:
        BadOption: this process has arms on the CPU, or on another GPU.
        MissingSystem: the driver's library or PhysX's own for GPUs does not load, or the latter cannot be fetched.
    """
    count = len(objects)
    _enable(str(device))
    system = scene.gpu_system(spec.gravity, str(device), count)
    system.timestep = dt
    studio.begin(count)
    scenes, contents, side = [], [], int(np.ceil(np.sqrt(count)))
    for i, at in enumerate(objects):
        scenes.append(sapien.Scene([system, *studio.systems()]))
        system.set_scene_offset(scenes[-1], [SPACING * (i % side - side // 2), SPACING * (i // side - side // 2), 0.0])
        contents.append(scene.furnish(scenes[-1], spec, task, drives, at, lasting=True, joints=np.zeros(0)))
        studio.dress(scenes[-1], contents[-1])
    system.gpu_init()  # rows of the tensors are known from here on
    studio.open(system)
    arms = torch.tensor([c.arm.gpu_index for c in contents], device=device)
    bodies = torch.tensor([[_body(entity).gpu_index for entity in c.objects.values()] for c in contents], device=device)
    last = contents[0].arm.links[spec.dof].index
    return PhysxGpu(system, arms, bodies.long().reshape(count, -1), spec.dof, last, scenes)


def _body(entity: Any) -> Any:
    """The rigid body of an object's entity."""
    return entity.find_component_by_type(physx.PhysxRigidDynamicComponent)


def _enable(device: str) -> None:
    try:
        physx.enable_gpu()
    except RuntimeError as error:
        cure = f"{scene.EITHER}: close those on the CPU first, or use another process (SAPIEN says: {error})"
        raise BadOption("device", device, "cpu", cure) from error
    except (OSError, BadZipFile) as error:  # OSError is also what requests raises
        if "libcuda" in str(error):
            raise MissingSystem(
                f"the GPU's driver does not load: {error}; it brings libcuda.so, or libcuda.so.1 to link to"
            ) from error
        raise MissingSystem(
            f"PhysX's library for GPUs does not load: {error}; remove ~/.sapien/physx/{physx.version()} and let SAPIEN fetch "
            "it again, or unzip there what github.com/sapien-sim/physx-precompiled has released under that version"
        ) from error
