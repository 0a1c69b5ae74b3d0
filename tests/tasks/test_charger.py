"""Plugging in: the rule, the socket that is not where it was said to be, and that the contacts hold."""

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.core import RobotState, Scene
from user_gym.errors import BadOption
from user_gym.robots import pose, specs
from user_gym.tasks.charger import DEPTH_SHARE, FACE, PRONG, RIM, SPACING, Charger
from user_gym.tasks.charger_expert import ChargerExpert

FR3 = specs.spec("franka-fr3")
TASK = Charger(FR3)
NEEDED = DEPTH_SHARE * PRONG[2]


def state(depth: float, aside=(0.0, 0.0), turn=(0.0, 0.0, 0.0)) -> RobotState:
    """A state whose prongs' tips are, in the mean, so deep below the socket's face."""
    axis = pose.rotate(pose.exp(np.array(turn)), np.array([0.0, 0.0, -1.0]))
    tip = np.array([TASK.goal[0] + aside[0], TASK.goal[1] + aside[1], RIM - depth])
    tcp = np.concatenate([tip - (FACE + PRONG[2]) * axis, turn])
    none = np.zeros(7)
    return RobotState(np.float64(0), none, none, none, tcp, np.zeros(6), np.zeros(6), np.float64(0))


def scene(yaw=0.0) -> Scene:
    socket = np.array([*TASK.goal[:2], RIM, 0, 0, np.sin(yaw / 2), np.cos(yaw / 2)])
    return Scene(("socket",), socket[None], np.ones(1, bool), "sim", 0.0)


def judged(at: RobotState, where: Scene | None = None) -> bool:
    verdict = TASK.judge(at, where or scene(), np.zeros(0))
    assert float(verdict.reward) == float(verdict.success)
    assert not verdict.failure
    return bool(verdict.success)


def test_both_prongs_have_to_be_in_by_four_fifths() -> None:
    assert judged(state(NEEDED + 1e-5))
    assert not judged(state(NEEDED - 1e-5))
    tilted = (0.05, 0.0, 0.0)  # about the base's x: one prong is deeper than the other by 2 * 6.5 mm * sin
    high = SPACING * np.sin(0.05)
    assert judged(state(NEEDED + high + 1e-5, turn=tilted))
    assert not judged(state(NEEDED + high - 1e-5, turn=tilted))


def test_beside_the_socket_or_turned_out_of_it_is_not_in() -> None:
    deep = NEEDED + 0.001
    assert judged(state(deep, aside=(0.0019, 0.0)))
    assert not judged(state(deep, aside=(0.0021, 0.0)))
    assert not judged(state(deep, aside=(0.0, -0.0021)))
    assert not judged(state(deep, turn=(0, 0, 0.4)))  # each prong is 2.6 mm off its slot
    assert judged(state(deep, turn=(0, 0, 0.4)), scene(yaw=0.4))


def test_a_socket_that_is_not_seen_holds_no_plug() -> None:
    unseen = Scene(("socket",), np.full((1, 7), np.nan), np.zeros(1, bool), "camera", 0.0)
    assert not judged(state(NEEDED + 1e-3), unseen)


def test_a_batch_is_judged_as_its_rows() -> None:
    rows = [state(d, a) for d in (0.0, NEEDED - 1e-4, NEEDED + 1e-4) for a in ((0, 0), (0.0021, 0))]
    batch = RobotState(*(np.stack([getattr(r, f) for r in rows]) for f in RobotState.__dataclass_fields__))
    one = scene()
    many = Scene(one.names, np.stack([one.poses] * len(rows)), np.ones((len(rows), 1), bool), "sim", np.zeros(len(rows)))
    together = TASK.judge(batch, many, np.zeros((len(rows), 0)))
    assert together.success.tolist() == [judged(r) for r in rows] == [False] * 4 + [True, False]


@pytest.mark.parametrize("seed", range(5))
def test_the_socket_is_exactly_as_far_off_as_asked_for(seed) -> None:
    task = Charger(FR3, hole_offset=0.002, turn_offset=0.05)
    socket = task.start(np.random.default_rng(seed)).objects[0]
    assert np.linalg.norm(socket[:2] - task.goal[:2]) == pytest.approx(0.002)
    assert abs(pose.log(socket[3:])[2]) == pytest.approx(0.05)


def episode(env, action) -> tuple[bool, int, float]:
    """Success, steps, and how deep (m) a prong was at most beyond what its slot allows: in the wood."""
    over, steps, deepest, info = False, 0, 0.0, {}
    while not over:
        *_, terminated, truncated, info = env.step(action(env.unwrapped.state))
        over, steps = terminated or truncated, steps + 1
        tool, socket = pose.from_chart(env.unwrapped.state.tcp), env.unwrapped.scene.pose("socket")
        tip = pose.compose(tool, np.array([0, SPACING, FACE + PRONG[2], 0, 0, 0, 1.0]))
        x, y, z, *_ = pose.compose(pose.inverse(socket), tip)
        beside = max(abs(x), abs(y + SPACING)) > 0.0006 + 0.0003
        deepest = max(deepest, -z if beside else 0.0)
    return info["is_success"], steps, deepest


@pytest.mark.parametrize("robot", ["franka-fr3", "franka-fer", "arx-x5", "arx-l5"])
def test_the_expert_finds_the_socket(robot) -> None:
    env = gym.make("User/Charger-sim-v0", robot=robot)
    expert, done = ChargerExpert(env.unwrapped.task), []
    for seed in range(5):
        env.reset(seed=seed)
        expert.reset()
        success, _, sunk = episode(env, expert.action)
        assert sunk < 0.0007  # no prong goes through the socket's front
        done.append(success)
    env.close()
    assert all(done)


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_pressing_at_the_nominal_place_is_not_enough(robot) -> None:
    """Nor does pressing with all there is drive the prongs into the plate."""
    env = gym.make("User/Charger-sim-v0", robot=robot, hole_offset=0.003, turn_offset=0.08)
    scale = env.unwrapped.task.action_scale
    over = env.unwrapped.task.goal + np.array([0, 0, 0.02, 0, 0, 0])
    for seed in range(3):
        env.reset(seed=seed, options={"tcp": over})
        success, _, sunk = episode(env, lambda s: np.clip((over - s.tcp - [0, 0, 0.1, 0, 0, 0]) / scale, -1, 1).astype("f"))
        assert not success
        assert sunk < 0.001
    env.close()


WRONG = {"hole_offset": (-0.001, 0.0031, np.nan), "turn_offset": (-0.01, 0.09), "clearance": (0.0002, 0.002, "wide")}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_an_option_out_of_range_is_refused(name, value) -> None:
    with pytest.raises(BadOption, match=name):
        Charger(FR3, **{name: value})


def test_more_clearance_makes_wider_slots() -> None:
    def gap(clearance: float) -> float:
        bridge = Charger(FR3, clearance=clearance).bodies[1].shapes[1]
        return SPACING - bridge.size[1] - PRONG[1]

    assert gap(0.0005) == pytest.approx(0.0005)
    assert gap(0.0012) == pytest.approx(0.0012)
