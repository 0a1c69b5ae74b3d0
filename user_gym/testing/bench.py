"""The plainest task there is: a plate on the table and room above it. What the robot suite puts under a robot."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, Body, Judgement, RobotSpec, RobotState, Scene, Shape, Start, Workspace

PLATE = 0.030  # m, height of the plate's top above the table
START = 0.06  # m above the plate
REACH = np.array([0.05, 0.05, 0.0, 0.05, 0.05, 0.4])  # m, rad around the middle; z from the plate to 10 cm above it


class Bench:
    """Move above a plate, or press on it. No reward.

    Args:
        spec: the robot; the plate is at its work point.
        moves_gripper: whether orders move the gripper.
    """

    name = "Bench"
    description = "move above the plate"
    rate = 10.0
    max_steps = 100
    scene_keys: tuple[str, ...] = ()

    def __init__(self, spec: RobotSpec, moves_gripper: bool = False) -> None:
        self.moves_gripper = moves_gripper
        x, y, _ = spec.work_point
        self.goal = np.array([x, y, PLATE, 0.0, 0.0, 0.0])  # the TCP on the plate
        # The box of orders begins 1 cm inside the plate, so that an order can press.
        self.workspace = Workspace(
            low=self.goal - REACH - [0, 0, 0.01, 0, 0, 0], high=self.goal + REACH + [0, 0, 0.10, 0, 0, 0]
        )
        self.action_scale = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1])
        plate = Shape("box", (0.10, 0.10, PLATE / 2), np.array([0, 0, -PLATE / 2, 0, 0, 0, 1.0]))
        self.bodies = (Body("plate", "table", (plate,)),)

    def start(self, rng: np.random.Generator) -> Start:
        """Above the plate's middle, turned by up to 0.3 rad."""
        tcp = self.goal + np.array([0, 0, START, 0, 0, rng.uniform(-0.3, 0.3)])
        plate = np.array([*self.goal[:3], 0, 0, 0, 1.0])
        return Start(tcp=tcp, gripper=0.0, objects=plate[None], progress=np.zeros(0))

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        """Never over."""
        no = np.zeros(state.tcp.shape[:-1], bool)
        return Judgement(reward=no * 1.0, success=no, failure=no, progress=progress)
