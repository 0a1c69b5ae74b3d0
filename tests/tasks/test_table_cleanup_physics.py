"""The objects, the box and its lid as bodies: nothing sinks, creeps or flies, and a lid stays where it was put."""

from dataclasses import replace

import numpy as np
import pytest

from user_gym.core import Command
from user_gym.robots import pose, specs
from user_gym.sim.cell import build
from user_gym.tasks.table_cleanup import (
    CLOSED,
    FALLS_BACK,
    FLOOR,
    HIGHEST,
    ITEMS,
    MAX_LID_FRICTION,
    MIN_LID_FRICTION,
    RESTING,
    RIM,
    SUNK,
    TableCleanup,
    extents,
    is_inside,
    opening,
)

FR3 = specs.spec("franka-fr3")
TASK = TableCleanup(FR3)
MIDDLE = TASK.goal[:2]
PARKED = np.array([*FR3.work_point[:2], HIGHEST, 0, 0, 0]) + [0.05, -0.12, 0, 0, 0, 0]


class Table:
    """The scene with an arm that keeps away, or is led by targets."""

    def __init__(self, robot="franka-fr3", dt=0.004, **options) -> None:
        spec = specs.spec(robot)
        self.task = TableCleanup(spec, **options)
        self.arm = build(spec, self.task, "tcp", dt=dt).robot
        self.arm.connect()
        self.tcp = PARKED if robot == "franka-fr3" else PARKED + [spec.work_point[0] - FR3.work_point[0], 0, 0, 0, 0, 0]

    def begin(self, objects=None, lid=1.6, tcp=None) -> None:
        start = self.task.start(np.random.default_rng(0))
        placed = start.objects.copy()
        if objects is not None:
            placed[: len(objects)] = objects
        self.progress = np.zeros(len(start.progress))
        tcp = self.tcp if tcp is None else tcp
        self.arm.reset(replace(start, tcp=tcp, gripper=0.0, objects=placed, joints=np.array([lid])))

    def run(self, periods, tcp=None) -> None:
        for _ in range(periods):
            state = self.arm.exchange(Command(0.0, tcp=self.tcp if tcp is None else np.asarray(tcp)))
            self.verdict = self.task.judge(state, self.arm.observe(), self.progress)
            self.progress = self.verdict.progress

    def where(self, name) -> np.ndarray:
        return self.arm.observe().pose(name)

    @property
    def angle(self) -> float:
        return float(opening(self.where("lid"), self.where("box")))


@pytest.mark.parametrize("dt", [0.001, 0.004, 0.005])
def test_what_stands_keeps_standing_where_it_is(dt) -> None:
    table = Table(dt=dt)
    table.begin()
    first = {name: table.where(name) for name in ITEMS}
    jitter = []
    for _ in range(20):
        table.run(1)
        jitter.append([table.where(name) for name in ITEMS])
    for name, at in first.items():
        now = table.where(name)
        assert np.abs(now[:2] - at[:2]).max() < 1e-4
        assert abs(now[2] - at[2]) < 3e-4  # sunk, or raised
        assert np.linalg.norm(pose.log(pose.multiply(now[3:], pose.conjugate(at[3:])))) < 2e-3
    assert np.ptp(np.array(jitter)[5:], axis=0).max() < 5e-5
    assert abs(table.angle - 1.6) < 2e-3


def test_objects_that_fall_into_the_box_in_any_way_come_to_rest_between_its_walls() -> None:
    rng = np.random.default_rng(1)
    table = Table()
    for _ in range(6):
        turns = rng.normal(size=(3, 4))
        turns /= np.linalg.norm(turns, axis=1, keepdims=True)
        places = [[*(MIDDLE + [x, rng.uniform(-0.02, 0.02)]), 0.075] for x in (-0.032, 0.0, 0.032)]
        table.begin(np.concatenate([places, turns], axis=1))
        for _ in range(25):
            table.run(1)
            heights = [table.where(name)[2] for name in ITEMS]
            assert max(heights) < 0.08
            assert min(heights) > FLOOR + 0.011
        assert table.progress[3] >= RESTING
        for name in ITEMS:
            at = table.where(name)
            low = at[2] - extents(name, at[3:])[2]
            assert low > FLOOR - SUNK
            assert np.abs(at[:2] - MIDDLE).max() < 0.045


@pytest.mark.parametrize("friction", [MIN_LID_FRICTION, MAX_LID_FRICTION])
def test_a_lid_stays_where_it_was_put(friction) -> None:
    table = Table(lid_friction=friction)
    for angle in (0.15, 0.8, 1.5, FALLS_BACK):
        table.begin(lid=angle)
        table.run(20)
        assert abs(table.angle - angle) < 1e-3


@pytest.mark.parametrize(("robot", "friction"), [("franka-fr3", MAX_LID_FRICTION), ("arx-x5", MIN_LID_FRICTION)])
def test_a_hand_closes_the_stiffest_lid_and_the_loosest_and_they_stay_closed(robot, friction) -> None:
    table = Table(robot, lid_friction=friction)
    middle = table.task.goal[:2]
    tidy = [
        np.array([*(middle + [x, 0]), FLOOR + ITEMS[name][1][-1], 0, 0, 0, 1])
        for name, x in zip(ITEMS, (-0.03, 0, 0.03), strict=True)
    ]
    over = np.array([*(middle + [0.03, 0.0]), RIM + 0.055, 0, 0, 0])
    table.begin(tidy, lid=0.45, tcp=over)
    table.run(20, over - [0, 0, 0.055, 0, 0, 0])  # pressed down
    assert abs(table.angle) < CLOSED
    assert not table.verdict.success
    table.run(10, over + [0, 0, 0.02, 0, 0, 0])
    assert abs(table.angle) < CLOSED / 2
    assert table.verdict.success
    assert all(is_inside(name, table.where(name), table.where("box")) for name in ITEMS)
    for name, at in zip(ITEMS, tidy, strict=True):
        assert np.abs(table.where(name)[:3] - at[:3]).max() < 1e-3


def test_an_object_that_stands_over_the_rim_keeps_the_lid_open_and_is_not_flung_away() -> None:
    table = Table()
    block, tower = FLOOR + ITEMS["block"][1][2], FLOOR + 2 * ITEMS["block"][1][2] + ITEMS["tower"][1][2]
    piled = [[*(MIDDLE + [0.02, 0]), block, 0, 0, 0, 1], [*(MIDDLE - [0.02, 0]), FLOOR + 0.014, 0, 0, 0, 1]]
    piled.append([*(MIDDLE + [0.02, 0]), tower, 0, 0, 0, 1])
    over = np.array([*(MIDDLE + [0.03, 0.0]), RIM + 0.075, 0, 0, 0])
    table.begin(np.array(piled), lid=0.6, tcp=over)
    for _ in range(25):
        table.run(1, over - [0, 0, 0.03, 0, 0, 0])
        assert np.abs(table.where("tower")[:3] - piled[2][:3]).max() < 0.02
        assert table.where("tower")[2] > tower - 0.002
    assert table.angle > 2 * CLOSED
    assert int(table.progress[0]) == 2
