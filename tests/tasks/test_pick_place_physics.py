"""The duck and the box as bodies: a grasp holds by friction, nothing tunnels, and no duck gets into the box by a push."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.core import Command
from user_gym.robots import specs
from user_gym.sim.cell import build
from user_gym.tasks.pick_place import BOX, HIGHEST, PLACE, RESTING, RIM, PickPlace

FR3 = specs.spec("franka-fr3")
TASK = PickPlace(FR3)
MIDDLE = TASK.goal[:2]


class Handled:
    """A duck that always sits in the same place, and an arm that is led by targets."""

    def __init__(self, robot="franka-fr3") -> None:
        self.env = gym.make("User/PickPlace-sim-v0", robot=robot, spread=0.0, turn=0.0).unwrapped
        self.seat = self.env.task.start(np.random.default_rng(0)).objects[0, :3]
        self.reward = 0.0

    def begin(self, tcp) -> None:
        self.env.reset(seed=0, options={"tcp": np.array([*tcp, 0, 0, 0])})

    @property
    def duck(self) -> np.ndarray:
        return self.env.scene.pose("duck")

    def lead(self, periods: int, to, gripper: float) -> None:
        """Towards a point (3,), with the gripper's order."""
        for _ in range(periods):
            step = (np.asarray(to) - self.env.state.tcp[:3]) / 0.02
            action = np.clip([*step, 0, 0, 0, gripper], -1, 1).astype(np.float32)
            self.reward += self.env.step(action)[1]


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_a_grasp_holds_through_jolts_and_lets_go_at_once(robot) -> None:
    arm = Handled(robot)
    seat = arm.seat
    arm.begin([*seat[:2], 0.02])
    arm.lead(10, [*seat[:2], 0.02], -1)
    assert arm.env.state.gripper * arm.env.task.width == pytest.approx(0.030, abs=0.003)
    arm.lead(8, [*seat[:2], 0.10], -1)
    held = arm.duck[:3] - arm.env.state.tcp[:3]
    slipped = []
    for k in range(40):
        arm.lead(1, [seat[0], seat[1] + (0.05 if k // 4 % 2 else -0.05), 0.10 + (0.02 if k // 3 % 2 else -0.02)], -1)
        slipped.append(np.linalg.norm(arm.duck[:3] - arm.env.state.tcp[:3] - held))
    assert max(slipped) < 0.004
    arm.lead(6, [*arm.env.state.tcp[:3]], 1)
    assert arm.duck[2] < 0.03
    arm.env.close()


def test_a_duck_that_is_dropped_beside_the_box_pushed_or_held_in_it_is_no_success() -> None:
    arm = Handled()
    seat, box = arm.seat, arm.seat + [0, BOX - PLACE, 0]
    arm.begin([seat[0], seat[1] - 0.05, 0.10])  # pushed with closed fingers, all the way and then some
    arm.lead(10, [seat[0], seat[1] - 0.05, 0.10], -1)
    arm.lead(12, [seat[0], seat[1] - 0.05, 0.02], -1)
    arm.lead(45, [box[0], box[1], 0.02], -1)
    assert arm.duck[1] > seat[1] + 0.01
    assert arm.duck[1] < box[1] - arm.env.task.opening  # before the wall
    assert arm.duck[2] > 0.01
    arm.begin([*seat[:2], 0.02])
    arm.lead(10, [*seat[:2], 0.02], -1)
    arm.lead(10, [*seat[:2], 0.09], -1)
    arm.lead(6, [*seat[:2], 0.09], 1)  # dropped where it was
    arm.lead(10, [*seat[:2], HIGHEST], 1)
    arm.begin([*seat[:2], 0.02])
    arm.lead(10, [*seat[:2], 0.02], -1)
    arm.lead(10, [*seat[:2], 0.08], -1)
    arm.lead(35, [*box[:2], 0.08], -1)
    assert np.abs(arm.duck[:2] - box[:2]).max() < 0.01
    arm.lead(10, [*box[:2], 0.03], -1)  # held between the walls
    assert arm.duck[2] < RIM
    assert arm.reward == 0.0
    arm.lead(8, [*box[:2], 0.065], 1)
    arm.lead(6, [*box[:2], HIGHEST], 1)
    assert arm.reward > 0.0
    arm.env.close()


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_nothing_tunnels_or_is_ejected_when_it_is_pressed(robot) -> None:
    """Closed fingers press the duck onto the table with all there is."""
    arm = Handled(robot)
    arm.begin([*arm.seat[:2], HIGHEST])
    arm.lead(10, [*arm.seat[:2], HIGHEST], -1)
    for _ in range(25):
        arm.lead(1, [*arm.seat[:2], -0.1], -1)
        assert arm.duck[2] > 0.010
        assert np.abs(arm.duck[:3] - arm.seat).max() < 0.06
    arm.env.close()


def test_a_duck_that_falls_into_the_box_in_any_way_comes_to_rest_between_its_walls() -> None:
    rng, task = np.random.default_rng(0), TASK
    arm = build(FR3, task, "tcp").robot
    arm.connect()
    for _ in range(12):
        start = task.start(rng)
        objects = start.objects.copy()
        turn = rng.normal(size=4)
        aside = rng.uniform(-0.015, 0.015, 2)
        objects[0] = [*(MIDDLE + aside), 0.08, *(turn / np.linalg.norm(turn))]
        high = np.array([*FR3.work_point[:2], HIGHEST, 0, 0, 0]) - [0, 0.1, 0, 0, 0, 0]
        now = arm.reset(replace(start, tcp=high, objects=objects))
        progress, verdict = start.progress, None
        for _ in range(20):
            now = arm.exchange(Command(1.0, tcp=high))
            verdict = task.judge(now, arm.observe(), progress)
            progress = verdict.progress
        assert verdict is not None
        assert progress[0] >= RESTING
        assert verdict.success
    arm.close()
