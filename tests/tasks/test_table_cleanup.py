"""Clearing a table: the rule and its stages, the starts, the expert, and the options."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from scripted_episodes import outcomes

import user_gym  # noqa: F401
from user_gym.core import RobotState, Scene
from user_gym.errors import BadOption, NotReset
from user_gym.robots import pose, specs
from user_gym.tasks.table_cleanup import (
    AWAY,
    BOX,
    CLOSED,
    FLOOR,
    HALF,
    ITEMS,
    REST,
    RESTING,
    RIM,
    ROOM,
    SPOTS,
    STANDS,
    SUNK,
    TURNED,
    TableCleanup,
    extents,
    is_inside,
    opening,
)
from user_gym.tasks.table_cleanup_expert import AROUND, TableCleanupExpert

FR3 = specs.spec("franka-fr3")
TASK = TableCleanup(FR3)
BOX_AT = np.array([*TASK.goal[:2], 0, 0, 0, 0, 1.0])
NAMES = (*TASK.objects, "box", "lid")
NONE = np.zeros(7)
IN_ORDER = {name: (x, 0.0) for name, x in zip(ITEMS, (-0.03, 0.0, 0.03), strict=True)}
OPEN = 1.6


def item(name, x=0.0, y=0.0, up=0.0, turn=(0.0, 0.0, 0.0)) -> np.ndarray:
    """An object on the floor of the box, from the middle of that, or higher."""
    turned = pose.exp(np.array(turn))
    return np.array([*(BOX_AT[:2] + [x, y]), FLOOR + extents(name, turned)[2] + up, *turned])


def scene(lid=0.0, **moved) -> Scene:
    """All objects in the box, those of `moved` elsewhere; the lid open by so many rad."""
    objects = [moved.get(name, item(name, *IN_ORDER[name])) for name in ITEMS]
    cover = np.array([*BOX_AT[:3], *pose.exp(np.array([0.0, -lid, 0.0]))])
    return Scene(NAMES, np.stack([*objects, BOX_AT, cover]), np.ones(5, bool), "sim", 0.0)


def state(above=AWAY + 1e-4) -> RobotState:
    """A TCP so far above the rim."""
    tcp = np.array([*BOX_AT[:2], RIM + above, 0, 0, 0])
    return RobotState(np.float64(0), NONE, NONE, NONE, tcp, np.zeros(6), np.zeros(6), np.float64(0))


def judged(*scenes: Scene, at=None, task=TASK) -> tuple[bool, list[float], dict[str, int]]:
    """The last verdict, all rewards, and the last stage."""
    progress, rewards, success = np.zeros(4 + 7 * len(task.objects)), [], False
    for each in scenes:
        verdict = task.judge(at or state(), each, progress)
        progress, success = verdict.progress, bool(verdict.success)
        rewards.append(float(verdict.reward))
        assert not verdict.failure
    return success, rewards, {name: int(value) for name, value in task.stages(progress).items()}


def rested(where: Scene, **options) -> bool:
    return judged(*[where] * (RESTING + 1), **options)[0]


def test_success_takes_rest() -> None:
    there = scene()
    assert rested(there)
    assert not judged(*[there] * RESTING)[0]
    for moved in (item("can", 1.1 * REST), item("can", turn=(0, 0, 1.1 * TURNED))):
        assert not judged(*[there] * RESTING, scene(can=moved))[0]
    assert judged(*[there] * RESTING, scene(can=item("can", 0.9 * REST)))[0]


def test_success_takes_a_hand_that_is_away() -> None:
    assert not rested(scene(), at=state(above=AWAY - 1e-4))


def test_success_takes_a_lid_that_is_closed() -> None:
    assert rested(scene(lid=CLOSED - 1e-3))
    assert not rested(scene(lid=CLOSED + 1e-3))
    assert opening(scene(lid=0.7).pose("lid"), BOX_AT) == pytest.approx(0.7)


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_all_of_an_object_has_to_be_between_the_walls_however_it_is_turned(name, axis) -> None:
    for turn in ((0, 0, 0), (0, 0, 0.5), (np.pi / 2, 0, 0.3)):
        room = ROOM[axis] + SUNK - extents(name, pose.exp(np.array(turn, float)))[axis]
        for way in (-1, 1):
            for share, inside in ((-1e-4, True), (1e-4, False)):
                at = np.zeros(2)
                at[axis] = way * (room + share)
                assert is_inside(name, item(name, *at, turn=turn), BOX_AT) == inside


def test_an_object_over_the_rim_or_under_the_floor_is_not_in_the_box() -> None:
    room = RIM - FLOOR - 2 * ITEMS["tower"][1][2]
    assert rested(scene(tower=item("tower", 0.03, up=room - 1e-4)))
    assert not rested(scene(tower=item("tower", 0.03, up=room + 1e-4)))
    assert not rested(scene(tower=item("tower", 0.03, up=-SUNK - 1e-4)))


def test_how_far_an_object_reaches_is_how_far_its_surface_does() -> None:
    rng = np.random.default_rng(0)
    turns = rng.normal(size=(20, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    around = np.linspace(0, 2 * np.pi, 721)
    rims = [np.stack([HALF * np.cos(around), HALF * np.sin(around), np.full(721, z)], 1) for z in (-0.014, 0.014)]
    corners = np.array([[x, y, z] for x in (-HALF, HALF) for y in (-HALF, HALF) for z in (-0.015, 0.015)])
    for name, points in (("can", np.concatenate(rims)), ("tower", corners)):
        farthest = pose.rotate(turns[:, None], points).max(1)
        assert extents(name, turns) == pytest.approx(farthest, abs=1e-6)


def test_rewards_and_stages_tell_how_far_an_episode_came() -> None:
    outside = {name: item(name, *(np.array(spot) - [0, BOX])) for name, spot in zip(ITEMS, SPOTS, strict=True)}
    scenes = [scene(OPEN, **dict(list(outside.items())[k:])) for k in range(4)]
    assert [judged(each)[2] for each in scenes] == [{"stage": int(k == 3), "done_objects": k} for k in range(4)]
    whole = [*scenes, *[scene()] * RESTING]
    success, rewards, told = judged(*whole)
    assert success
    assert told == {"stage": 2, "done_objects": 3}
    assert rewards == pytest.approx([0, 0.2, 0.2, 0.2, 0.2, 0, 0.2])
    _, rewards, told = judged(scenes[2], scenes[1])  # what gets out takes its share with it
    assert rewards == pytest.approx([0.4, -0.2])
    assert told == {"stage": 0, "done_objects": 1}
    assert judged(scene(0.0, **outside))[2] == {"stage": 0, "done_objects": 0}  # a lid on an empty box is nothing


def test_what_is_not_seen_is_not_cleared() -> None:
    whole = scene()
    for hidden in range(5):
        poses = whole.poses.copy()
        poses[hidden] = np.nan
        assert not rested(replace(whole, poses=poses))


def test_a_batch_is_judged_as_its_rows() -> None:
    scenes = [scene(), scene(OPEN), scene(OPEN, can=item("can", 0.2)), scene(can=item("can", 0.2))]
    batch = Scene(NAMES, np.stack([s.poses for s in scenes]), np.ones((4, 5), bool), "sim", np.zeros(4))
    states = RobotState(*(np.stack([getattr(state(), f)] * 4) for f in RobotState.__dataclass_fields__))
    progress, rewards = np.zeros((4, 4 + 7 * 3)), []
    for _ in range(RESTING + 1):
        verdict = TASK.judge(states, batch, progress)
        progress = verdict.progress
        rewards.append(verdict.reward)
    alone = [judged(*[each] * (RESTING + 1)) for each in scenes]
    assert verdict.success.tolist() == [a[0] for a in alone] == [True, False, False, False]
    assert np.array_equal(np.transpose(rewards), [a[1] for a in alone])
    assert {name: value.tolist() for name, value in TASK.stages(progress).items()} == {
        name: [a[2][name] for a in alone] for name in ("stage", "done_objects")
    }


@pytest.mark.parametrize("seed", range(5))
def test_objects_stand_where_the_options_allow(seed) -> None:
    start = TableCleanup(FR3, spread=0.005, turn=0.3).start(np.random.default_rng(seed))
    spots = []
    for name, at in zip(ITEMS, start.objects, strict=False):
        off = np.abs(at[:2] - FR3.work_point[:2] - SPOTS).max(1)
        spots.append(int(off.argmin()))
        assert off.min() <= 0.005
        assert at[2] == ITEMS[name][1][-1]
        assert abs(pose.log(at[3:])[2]) <= 0.3
    assert sorted(spots) == [0, 1, 2]
    assert STANDS[0] <= start.joints[0] <= STANDS[1]
    assert len(TableCleanup(FR3, objects=1).start(np.random.default_rng(seed)).objects) == 2


def expert_of(env: gym.Env) -> TableCleanupExpert:
    expert = TableCleanupExpert(env.unwrapped.task)
    expert.watch(lambda: env.unwrapped.scene)
    return expert


@pytest.mark.parametrize(
    ("robot", "objects"),
    [
        ("franka-fr3", 2),
        ("arx-x5", 1),
        *(pytest.param(robot, 3, marks=pytest.mark.slow) for robot in ("franka-fr3", "franka-fer", "arx-x5", "arx-l5")),
    ],
)
def test_the_expert_clears_the_table(robot, objects) -> None:
    env = gym.make("User/TableCleanup-sim-v0", robot=robot, objects=objects)
    assert all(outcomes(env, expert_of(env), 1))


@pytest.mark.parametrize("off", [0.0, 0.003, 0.005, 0.008, 0.011])
@pytest.mark.parametrize("held", [False, True])
def test_there_is_no_place_beside_a_goal_where_the_hand_stands_still(off, held) -> None:
    """A policy that copies it and errs by a millimetre would stay there."""
    expert = TableCleanupExpert(TASK)
    spot = np.array([BOX_AT[0] - 0.024, BOX_AT[1] + off, 0.07]) if held else np.array([*(BOX_AT[:2] + [off, -0.1]), 0.012])
    where = scene(lid=OPEN, block=np.array([*spot, 0, 0, 0, 1.0]))
    expert.watch(lambda: where)
    height = 0.070 if held else 0.068
    at = np.array([*(spot[:2] if held else BOX_AT[:2] - [0.0, 0.1]), height, 0, 0, 0])
    at = replace(state(), tcp=at, gripper=np.float64(GRIPPED if held else HALF_OPEN))
    expert.take_over(at)
    step = expert.move(at)
    assert np.abs(step[:2]).max() == pytest.approx(off, abs=1e-9)
    assert step[2] < 0.0


def test_an_expert_that_does_not_see_something_says_so() -> None:
    expert = TableCleanupExpert(TASK)
    with pytest.raises(NotReset, match="watch"):
        expert.action(state())
    for k, name in enumerate(NAMES):
        hidden = scene().poses.copy()
        hidden[k] = np.nan
        expert.watch(lambda hidden=hidden: replace(scene(), poses=hidden))
        with pytest.raises(BadOption, match=name):
            expert.action(state())


def taken_over(tcp, gripper=0.5, **where) -> np.ndarray:
    """The first action of who takes over from a hand there, in units of the action."""
    at = replace(state(), tcp=np.array([*tcp, 0, 0, 0]), gripper=np.float64(gripper))
    expert = TableCleanupExpert(TASK)
    expert.watch(lambda: scene(**where))
    expert.take_over(at)
    return expert.action(at)


GRIPPED, HALF_OPEN = 2 * HALF / TASK.width, 0.044 / TASK.width


@pytest.mark.parametrize(
    ("above", "lifted", "gripper", "closes", "lifts"),
    [
        (0.010, 0.0, HALF_OPEN, False, False),
        (0.007, 0.0, 0.4, True, False),
        (0.004, 0.0, GRIPPED, True, True),
        (0.004, 0.02, GRIPPED, True, True),
    ],
)
def test_who_takes_over_goes_on_closing_around_an_object_and_carrying_it(above, lifted, gripper, closes, lifts) -> None:
    at = item("can", y=-0.1, up=lifted - FLOOR)
    action = taken_over(at[:3] + [0, 0, above], gripper, lid=OPEN, can=at)
    assert (action[6] == -1.0) == closes
    assert (action[2] > 0.3) == lifts


@pytest.mark.parametrize(("up", "opens"), [(0.003, True), (0.015, False)])
def test_who_takes_over_in_the_box_lets_go_at_its_floor_and_then_leaves_upwards(up, opens) -> None:
    at = item("block", -0.024, up=up)
    where = {"lid": OPEN, "block": at, "can": item("can", y=-0.1)}
    action = taken_over(at[:3], GRIPPED, **where)
    assert (action[6] > -1.0) == opens
    assert abs(action[:2]).max() < 0.1
    leaves = taken_over(at[:3], HALF_OPEN, **where)
    assert leaves[2] > 0.3
    assert not leaves[:2].any()


@pytest.mark.parametrize(
    ("tcp", "goes"),
    [
        ((AROUND[0][0], 0.0), (0, -1)),  # over the box: back past the lid,
        (AROUND[0], (-1, 0)),  # then to its side,
        (AROUND[1], (0, 1)),  # behind it,
        (AROUND[2], (1, 0)),  # and against it
    ],
)
def test_who_takes_over_on_the_way_around_the_lid_goes_on_from_there(tcp, goes) -> None:
    action = taken_over([*(BOX_AT[:2] + tcp), 0.14], 0.0, lid=1.2)
    assert (np.sign(np.round(action[:2])) == goes).all()


def test_infos_of_one_arm_and_of_many_tell_the_stage_from_the_first_on() -> None:
    one, many = gym.make("User/TableCleanup-sim-v0"), gym.make_vec("User/TableCleanup-sim-v0", 2, autoreset_mode="SameStep")
    _, info = one.reset(seed=0)
    assert (info["stage"], info["done_objects"]) == (0, 0)
    task = one.unwrapped.task
    *_, info = one.step(np.zeros(7, np.float32))
    assert (type(info["stage"]), type(info["done_objects"])) == (int, int)
    one.close()
    _, info = many.reset(seed=0)
    assert info["stage"].tolist() == info["done_objects"].tolist() == [0, 0]
    told = {name: np.array(value) for name, value in (("stage", [1, 0]), ("done_objects", [3, 1]))}
    many.unwrapped.task.stages = lambda progress: told
    *_, info = many.step(np.zeros((2, 7), np.float32))
    assert {name: info[name].tolist() for name in told} == {name: value.tolist() for name, value in told.items()}
    assert info["_stage"].all()
    assert task.scene_keys == (*ITEMS, "lid")
    many.close()


def test_a_row_of_a_batch_is_the_single_environment() -> None:
    many, one = (
        gym.make_vec("User/TableCleanup-sim-v0", 2, robot="arx-x5"),
        gym.make("User/TableCleanup-sim-v0", robot="arx-x5"),
    )
    seen, _ = many.reset(seed=3)
    alone, _ = one.reset(seed=4)
    expert = expert_of(one)
    for _ in range(60):
        assert np.array_equal(seen["state"][1], alone["state"])
        action = expert.action(one.unwrapped.state)
        seen, rewards, *_, infos = many.step(np.stack([np.zeros(7, np.float32), action]))
        alone, reward, *_, info = one.step(action)
        assert (rewards[1], infos["stage"][1], infos["done_objects"][1]) == (reward, info["stage"], info["done_objects"])
    many.close()
    one.close()


WRONG = {"objects": (0, 4, 1.0), "spread": (-0.01, 0.02), "turn": (0.8, np.nan), "lid_friction": (0.0, 0.4, "stiff")}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_an_option_out_of_range_is_refused(name, value) -> None:
    with pytest.raises(BadOption, match=name):
        TableCleanup(FR3, **{name: value})
