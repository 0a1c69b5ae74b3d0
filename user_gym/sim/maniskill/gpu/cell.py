"""How a cell with a batch on a GPU is built: arms, objects, and no pictures."""

from __future__ import annotations

from user_gym.core import Cell, RobotBatch, RobotSpec, Task
from user_gym.sim.maniskill import unseen
from user_gym.sim.maniskill.gpu import device as devices
from user_gym.sim.maniskill.gpu import physx_gpu
from user_gym.sim.maniskill.gpu.twins import GpuTwins
from user_gym.sim.maniskill.law import drives


def build_batch(spec: RobotSpec, task: Task, control: str, count: int, dt: float, device: object) -> Cell[RobotBatch]:
    """As `maniskill.cell.build_batch`, on a GPU.

    Raises:
        BadOption: as there, or `device` is none that is here.
    """
    found, gains = devices.find(device), drives(spec, control)
    twins = GpuTwins(
        spec, task, control, count, dt, found, lambda objects: physx_gpu.build(spec, task, dt, gains, objects, found)
    )
    return Cell(robot=twins, scene=twins, cameras=unseen.cameras(spec, task), view=unseen.large(spec, task))
