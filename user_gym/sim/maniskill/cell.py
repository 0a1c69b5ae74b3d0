"""How the registry builds a cell of this backend: arm, task's objects, and no pictures."""

from __future__ import annotations

from user_gym.core import Camera, Cell, Robot, RobotBatch, RobotSpec, Task
from user_gym.sim.cell import DT
from user_gym.sim.maniskill.twin import SapienTwin
from user_gym.sim.maniskill.twins import SapienTwins
from user_gym.sim.maniskill.unseen import Unseen
from user_gym.sim.plant import view


def build(spec: RobotSpec, task: Task, control: str, dt: float = DT) -> Cell[Robot]:
    """A cell with one SapienTwin.

    Args:
        spec: the arm.
        task: what is to be done.
        control: "tcp" or "joint".
        dt: s of a substep.

    Raises:
        BadOption: a value is not allowed.
    """
    twin, large = SapienTwin(spec, task, control, dt), _unseen(spec, task)
    return Cell(robot=twin, scene=twin, cameras=_cameras(spec, task), view=large, window=large)


def build_batch(spec: RobotSpec, task: Task, control: str, count: int, dt: float = DT) -> Cell[RobotBatch]:
    """As `build`, with `count` arms."""
    twins = SapienTwins(spec, task, control, count, dt)
    return Cell(robot=twins, scene=twins, cameras=_cameras(spec, task), view=_unseen(spec, task))


def _cameras(spec: RobotSpec, task: Task) -> dict[str, Camera]:
    return {camera.name: Unseen(camera, _instead(task)) for camera in spec.cameras}


def _unseen(spec: RobotSpec, task: Task) -> Unseen:
    return Unseen(view(spec), _instead(task))


def _instead(task: Task) -> str:
    return f"User/{task.name}-sim-v0"
