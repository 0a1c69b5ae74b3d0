"""Picking and placing: the rule, the expert, and the options."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from scripted_episodes import outcomes

import user_gym  # noqa: F401
from user_gym.core import RobotState, Scene
from user_gym.errors import BadOption, NotReset
from user_gym.robots import pose, specs
from user_gym.tasks.pick_place import (
    AWAY,
    BODY,
    FLOOR,
    HEAD,
    OPEN,
    PLACE,
    REST,
    RESTING,
    RIM,
    SITS,
    SUNK,
    TAIL,
    PickPlace,
)
from user_gym.tasks.pick_place_expert import PickPlaceExpert

FR3 = specs.spec("franka-fr3")
TASK = PickPlace(FR3)
ROBOTS = ["franka-fr3", "franka-fer", "arx-x5", "arx-l5"]
MIDDLE = TASK.goal[:2]
WIDE_OPEN = OPEN / FR3.gripper.width
UPSIDE_DOWN = np.array([np.pi, 0.0, 0.0])


def scene(x=0.0, y=0.0, height=FLOOR + SITS, turn=(0.0, 0.0, 0.0)) -> Scene:
    """A duck, from the middle of the box and the table."""
    duck = np.array([*(MIDDLE + [x, y]), height, *pose.exp(np.array(turn))])
    box = np.array([*MIDDLE, 0, 0, 0, 0, 1.0])
    return Scene(("duck", "box"), np.stack([duck, box]), np.ones(2, bool), "sim", 0.0)


def state(above=AWAY + 1e-4, gripper=WIDE_OPEN + 1e-4) -> RobotState:
    """A TCP so far above the middle of a duck in the middle of the box."""
    none = np.zeros(7)
    tcp = np.array([*MIDDLE, FLOOR + SITS + above, 0, 0, 0])
    return RobotState(np.float64(0), none, none, none, tcp, np.zeros(6), np.zeros(6), np.float64(gripper))


def judged(at: RobotState, *scenes: Scene) -> bool:
    """The verdict on the last of some scenes."""
    progress, verdict = np.zeros(10), None
    for each in scenes:
        verdict = TASK.judge(at, each, progress)
        assert float(verdict.reward) == float(verdict.success)
        assert not verdict.failure
        progress = verdict.progress
    assert verdict is not None
    return bool(verdict.success)


def rested(at: RobotState, where: Scene) -> bool:
    return judged(at, *[where] * (RESTING + 1))


def test_success_takes_rest() -> None:
    there = scene()
    assert rested(state(), there)
    assert not judged(state(), *[there] * RESTING)
    moved = scene(x=1.1 * REST)
    assert not judged(state(), *[there] * RESTING, moved)
    assert judged(state(), *[there] * RESTING, scene(x=0.9 * REST))
    assert not judged(state(), *[there] * RESTING, scene(turn=(0, 0, 0.1)))  # head and tail move
    assert judged(state(), there, *[moved] * (RESTING + 1))


def test_success_takes_an_open_gripper_that_is_away() -> None:
    assert not rested(state(above=AWAY - 1e-4), scene())
    assert not rested(state(gripper=WIDE_OPEN - 1e-4), scene())


# How far from its middle a duck reaches with head, tail and flanks.
@pytest.mark.parametrize(
    ("axis", "way", "reach"), [("x", 1, 0.016 + HEAD), ("x", -1, 0.024 + TAIL), ("y", 1, BODY[1]), ("y", -1, BODY[1])]
)
def test_all_of_the_duck_has_to_be_between_the_walls(axis, way, reach) -> None:
    room = TASK.opening + SUNK - reach
    assert rested(state(above=0.1), scene(**{axis: way * (room - 1e-4)}))
    assert not rested(state(above=0.1), scene(**{axis: way * (room + 1e-4)}))


def test_a_duck_over_the_rim_or_under_the_floor_is_not_in_the_box() -> None:
    assert not rested(state(above=0.2), scene(height=RIM - 0.018))  # its head is higher than the rim
    assert not rested(state(), scene(height=SITS - 0.02))
    assert rested(state(above=0.1), scene(turn=UPSIDE_DOWN, height=FLOOR + 0.029))  # how it lies there does not matter
    assert not rested(state(above=0.2), scene(turn=(0, -1.2, 0), height=RIM - 0.01))


def test_a_duck_that_is_not_seen_is_not_placed() -> None:
    whole = scene()
    for hidden in (0, 1):
        poses = whole.poses.copy()
        poses[hidden] = np.nan
        assert not rested(state(), replace(whole, poses=poses))


def test_a_batch_is_judged_as_its_rows() -> None:
    cases = [(state(above), where) for above in (0.05, 0.07) for where in (scene(), scene(x=0.03))]
    states, scenes = zip(*cases, strict=True)
    batch = RobotState(*(np.stack([getattr(s, f) for s in states]) for f in RobotState.__dataclass_fields__))
    many = Scene(scenes[0].names, np.stack([s.poses for s in scenes]), np.ones((4, 2), bool), "sim", np.zeros(4))
    progress = np.zeros((4, 10))
    for _ in range(RESTING + 1):
        verdict = TASK.judge(batch, many, progress)
        progress = verdict.progress
    assert verdict.success.tolist() == [rested(*case) for case in cases] == [False, False, True, False]


@pytest.mark.parametrize("seed", range(5))
def test_the_duck_sits_where_the_options_allow(seed) -> None:
    start = PickPlace(FR3, spread=0.02, turn=0.3).start(np.random.default_rng(seed))
    duck = start.objects[0] - [*FR3.work_point, 0, 0, 0, 0]
    assert abs(duck[0]) <= 0.02
    assert abs(duck[1] - PLACE) <= 0.02
    assert abs(pose.log(duck[3:])[2]) <= 0.3
    assert start.gripper == 1.0
    still = PickPlace(FR3, spread=0.0, turn=0.0).start(np.random.default_rng(seed)).objects[0]
    assert still == pytest.approx([FR3.work_point[0], FR3.work_point[1] + PLACE, SITS, 0, 0, 0, 1])


def expert_of(env: gym.Env) -> PickPlaceExpert:
    expert = PickPlaceExpert(env.unwrapped.task)
    expert.watch(lambda: env.unwrapped.scene)
    return expert


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_expert_places_the_duck(robot) -> None:
    env = gym.make("User/PickPlace-sim-v0", robot=robot)
    assert all(outcomes(env, expert_of(env), 3))


def test_an_expert_that_sees_no_duck_says_so() -> None:
    expert = PickPlaceExpert(TASK)
    with pytest.raises(NotReset, match="watch"):
        expert.action(state())
    expert.watch(lambda: replace(scene(), poses=np.full((2, 7), np.nan)))
    with pytest.raises(BadOption, match="duck"):
        expert.action(state())


def test_a_row_of_a_batch_places_its_duck_as_the_single_environment_does() -> None:
    many, one = gym.make_vec("User/PickPlace-sim-v0", 2), gym.make("User/PickPlace-sim-v0")
    seen, _ = many.reset(seed=3)
    alone, _ = one.reset(seed=4)
    expert, ends = expert_of(one), []
    for _ in range(150):
        assert np.array_equal(seen["state"][1], alone["state"])
        action = expert.action(one.unwrapped.state)
        seen, rewards, terminated, *_ = many.step(np.stack([np.zeros(7, np.float32), action]))
        alone, *end = one.step(action)
        ends.append((rewards[1], terminated[1]) == (end[0], end[1]))
        if end[1]:
            break
    assert all(ends)
    assert end[:2] == [1.0, True]
    many.close()
    one.close()


WRONG = {"spread": (-0.01, 0.06), "turn": (1.1, np.nan), "opening": (0.03, 0.05, "wide")}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_an_option_out_of_range_is_refused(name, value) -> None:
    with pytest.raises(BadOption, match=name):
        PickPlace(FR3, **{name: value})
