"""The plainest task there is, a plate on the table and room above it; and what the suites of arms share: one arm above it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

from user_gym.core import F64, Body, Cell, Command, Judgement, Robot, RobotSpec, RobotState, Scene, Shape, Start, Workspace
from user_gym.robots import registry, specs

PLATE = 0.030  # m, height of the plate's top above the table
START = 0.06  # m above the plate
PERIOD = 0.1  # s, of Bench
ARRIVED = 0.002  # m: how near an order in free space is approached; joint friction holds an arm off its target
SETTLE = 15  # periods after which a step of 1 cm is over
REACH = np.array([0.05, 0.05, 0.0, 0.05, 0.05, 0.4])  # m, rad around the middle; z from the plate to 10 cm above it


class Bench:
    """Move above a plate, or press on it. No reward.

    Args:
        spec: the robot; the plate is at its work point.
        moves_gripper: whether orders move the gripper.
    """

    name = "Bench"
    description = "move above the plate"
    rate = 1.0 / PERIOD
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


class ArmOnTheBench:
    """What a suite of one arm stands on.

    Attributes:
        robot: name of the arm.
        backend: name in the registry.
        options: of the backend, such as an address; each as `gym.make` takes it.
        controls: kinds of order that the backend takes; the first is used where either would do.
        timed_hand: whether a gripper's width is of the same moment as the rest of a state; a vendor may tell it later.
    """

    robot = "franka-fr3"
    backend = "sim"
    options: ClassVar[dict[str, Any]] = {}
    controls: ClassVar[tuple[str, ...]] = ("tcp", "joint")
    timed_hand = True

    def make_cell(self, task: Bench, control: str = "tcp") -> Cell[Robot]:
        """A cell with the robot under test, not connected. Override it for a backend that the registry does not know."""
        return registry.load(self.robot, self.backend)(specs.spec(self.robot), task, control, **self.options)

    @pytest.fixture
    def arm(self) -> Iterator[Robot]:
        """Connected, not reset, under Cartesian control; the gripper is no part of the task."""
        yield from self._connected(self.make_cell(self._task()))

    @pytest.fixture
    def joint_arm(self) -> Iterator[Robot]:
        """The same under joint control."""
        if "joint" not in self.controls:
            pytest.skip("this backend takes no joint orders")
        yield from self._connected(self.make_cell(self._task(), control="joint"))

    @pytest.fixture
    def gripping_arm(self) -> Iterator[Robot]:
        """The same under Cartesian control, with a task that moves the gripper."""
        yield from self._connected(self.make_cell(self._task(moves_gripper=True)))

    def _connected(self, cell: Cell[Robot]) -> Iterator[Robot]:
        cell.robot.connect()
        yield cell.robot
        cell.robot.close()

    def _task(self, moves_gripper: bool = False) -> Bench:
        return Bench(specs.spec(self.robot), moves_gripper)

    def _start(self, seed: int = 0) -> Start:
        return self._task().start(np.random.default_rng(seed))

    def _hold(self, arm: Robot, target: F64, periods: int) -> RobotState:
        for _ in range(periods - 1):
            arm.exchange(Command(0.0, tcp=target))
        return arm.exchange(Command(0.0, tcp=target))

    def _press(self, arm: Robot, start: Start, depth: float) -> F64:
        """Feel for the plate until the order (6,) is `depth` m below the tool; fingers may reach beyond the TCP."""
        state, target = arm.reset(start), start.tcp.copy()
        while state.tcp[2] - target[2] < depth:
            target[2] -= 0.001
            assert target[2] > PLATE - 0.02, "nothing stopped the tool"
            state = self._hold(arm, target, 2)
        self._hold(arm, target, SETTLE)
        return target
