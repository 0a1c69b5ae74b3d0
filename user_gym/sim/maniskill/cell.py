"""How the registry builds a cell of this backend: arm and objects; on the CPU without pictures, on a GPU by `gpu.cell`."""

from __future__ import annotations

from user_gym.core import Cell, Robot, RobotBatch, RobotSpec, Task
from user_gym.robots.plugins import load_object
from user_gym.sim.cell import DT
from user_gym.sim.maniskill import unseen
from user_gym.sim.maniskill.twin import SapienTwin
from user_gym.sim.maniskill.twins import SapienTwins


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
    twin, large = SapienTwin(spec, task, control, dt), unseen.large(spec, task)
    return Cell(robot=twin, scene=twin, cameras=unseen.cameras(spec, task), view=large, window=large)


def build_batch(spec: RobotSpec, task: Task, control: str, count: int, dt: float = DT, device: str = "cpu") -> Cell[RobotBatch]:
    """As `build`, with `count` arms.

    Args:
        spec: the arm.
        task: what is to be done.
        control: "tcp" or "joint".
        count: number of arms.
        dt: s of a substep.
        device: "cpu": one arm after the other; "cuda" or "cuda:<number>": all of them together on a GPU.

    Raises:
        BadOption: a value is not allowed, or there is no such device.
        MissingExtra: a GPU is wanted, and torch is not installed.
    """
    if device != "cpu":  # by name: only this needs torch
        return load_object("user_gym.sim.maniskill.gpu.cell:build_batch")(spec, task, control, count, dt, device)
    twins = SapienTwins(spec, task, control, count, dt)
    return Cell(robot=twins, scene=twins, cameras=unseen.cameras(spec, task), view=unseen.large(spec, task))
