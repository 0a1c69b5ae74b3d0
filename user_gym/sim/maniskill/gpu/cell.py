"""How a cell with a batch on a GPU is built: arms, objects and cameras."""

from __future__ import annotations

from user_gym.core import F64, Cell, RobotBatch, RobotSpec, Task
from user_gym.sim.maniskill import bodies
from user_gym.sim.maniskill.gpu import device as devices
from user_gym.sim.maniskill.gpu import physx_gpu
from user_gym.sim.maniskill.gpu.physics import Physics
from user_gym.sim.maniskill.gpu.pictures import GpuCamera, Studio
from user_gym.sim.maniskill.gpu.twins import GpuTwins
from user_gym.sim.maniskill.law import drives
from user_gym.sim.plant import view


def build_batch(spec: RobotSpec, task: Task, control: str, count: int, dt: float, device: object) -> Cell[RobotBatch]:
    """As `maniskill.cell.build_batch`, on a GPU.

    Raises:
        BadOption: as there, or `device` is none that is here.
    """
    bodies.check_whole(task)  # before a device is looked for: none would do
    found, gains = devices.find(device), drives(spec, control)
    studio = Studio(spec, task, found)

    def scenes(objects: F64) -> Physics:
        return physx_gpu.build(spec, task, dt, gains, objects, found, studio)

    twins = GpuTwins(spec, task, control, count, dt, found, scenes)
    cameras = {camera.name: GpuCamera(camera, studio, twins) for camera in spec.cameras}
    return Cell(robot=twins, scene=twins, cameras=cameras, view=GpuCamera(view(spec), studio, twins))
