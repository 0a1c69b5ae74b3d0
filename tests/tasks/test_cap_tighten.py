"""Tightening a cap: the rule, and that nothing but a turned and tight cap meets it."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from scripted_episodes import outcomes

import user_gym  # noqa: F401
from user_gym.core import RobotState, Scene
from user_gym.errors import BadOption
from user_gym.robots import pose, specs
from user_gym.tasks.cap_tighten import BEGIN, CAP_TOP, CEILING, HEIGHT, MOUTH, ON, PITCH, RUN, SEAL, TIGHT, CapTighten
from user_gym.tasks.cap_tighten_expert import CapTightenExpert

FR3 = specs.spec("franka-fr3")
TASK = CapTighten(FR3)
X, Y = TASK.goal[:2]
LEAD = PITCH / (2 * np.pi)


def scene(angle: float, lifted=0.0, tilted=0.0, aside=0.0) -> Scene:
    """A bottle at its nominal place, whose cap was turned by so much."""
    bottle = np.array([X, Y, 0, 0, 0, np.sin(BEGIN / 2), np.cos(BEGIN / 2)])
    turn = pose.multiply(pose.exp(np.array([tilted, 0, 0])), pose.exp(np.array([0, 0, -angle])))
    cap = pose.compose(bottle, np.array([aside, 0, CAP_TOP - angle * LEAD + lifted, *turn]))
    return Scene(("bottle", "cap"), np.stack([bottle, cap]), np.ones(2, bool), "sim", 0.0)


def state(torque=TASK.torque, height=0.0, aside=0.0) -> RobotState:
    """The wrench on the cap, turning it with so much."""
    tcp, none = TASK.goal + [aside, 0, height, 0, 0, 0], np.zeros(7)
    return RobotState(np.float64(0), none, none, none, tcp, np.zeros(6), np.array([0, 0, 5, 0, 0, torque]), np.float64(0))


def judged(at: RobotState, where: Scene) -> bool:
    verdict = TASK.judge(at, where, np.zeros(0))
    assert float(verdict.reward) == float(verdict.success)
    assert not verdict.failure
    return bool(verdict.success)


def test_success_takes_angle_and_torque() -> None:
    tight = RUN + TIGHT + 1e-4
    assert judged(state(), scene(tight))
    assert not judged(state(), scene(tight - 2e-4))
    assert not judged(state(torque=TASK.torque - 0.01), scene(tight))
    assert not judged(state(torque=-TASK.torque), scene(tight))  # that would loosen it


@pytest.mark.parametrize("wrong", [{"lifted": 0.0006}, {"lifted": -0.0006}, {"tilted": 0.06}, {"aside": 0.0006}])
def test_a_cap_off_its_thread_is_not_tightened(wrong) -> None:
    assert not judged(state(), scene(RUN + SEAL, **wrong))


def test_the_wrench_has_to_be_on_the_cap() -> None:
    low = MOUTH - CEILING - ON - (RUN + SEAL) * LEAD
    assert judged(state(height=low - 1e-5), scene(RUN + SEAL))
    assert not judged(state(height=low + 1e-5), scene(RUN + SEAL))
    assert not judged(state(aside=0.0041), scene(RUN + SEAL))


def test_a_cap_that_is_not_seen_is_not_tight() -> None:
    whole = scene(RUN + SEAL)
    for hidden in (0, 1):
        poses = whole.poses.copy()
        poses[hidden] = np.nan
        assert not judged(state(), replace(whole, poses=poses))


def test_a_batch_is_judged_as_its_rows() -> None:
    cases = [(state(t), scene(a)) for t in (1.1, 1.3) for a in (0.5, RUN + SEAL)]
    states, scenes = zip(*cases, strict=True)
    batch = RobotState(*(np.stack([getattr(s, f) for s in states]) for f in RobotState.__dataclass_fields__))
    many = Scene(scenes[0].names, np.stack([s.poses for s in scenes]), np.ones((4, 2), bool), "sim", np.zeros(4))
    assert (
        TASK.judge(batch, many, np.zeros((4, 0))).success.tolist() == [judged(*case) for case in cases] == [False] * 3 + [True]
    )


@pytest.mark.parametrize("robot", ["franka-fr3", "franka-fer", "arx-x5", "arx-l5"])
def test_the_expert_tightens_the_cap(robot) -> None:
    env = gym.make("User/CapTighten-sim-v0", robot=robot)
    assert all(outcomes(env, CapTightenExpert(env.unwrapped.task), 3))


def test_a_wrench_beside_the_cap_turns_nothing_and_one_that_lets_go_leaves_it_tight() -> None:
    env = gym.make("User/CapTighten-sim-v0", cap_offset=0.0, turn_offset=0.0).unwrapped
    task = env.task
    on = task.goal + np.array([0, 0, 0.001, 0, 0, BEGIN])
    turn = np.array([0, 0, -0.1, 0, 0, -1.0], np.float32)

    def angle() -> float:
        cap, bottle = (env.scene.pose(name)[3:] for name in ("cap", "bottle"))
        return -float(pose.log(pose.multiply(pose.conjugate(bottle), cap))[2])

    env.reset(seed=0, options={"tcp": on + [0, 0, MOUTH - CEILING + 0.002, 0, 0, 0]})
    for _ in range(20):
        _, reward, *_ = env.step(np.array([0, 0, 0, 0, 0, -1.0], np.float32))
        assert reward == 0.0
    assert angle() == pytest.approx(0.0, abs=1e-3)  # the wrench turned in the air
    env.reset(seed=0, options={"tcp": on})
    over = False
    while not over:
        _, _, over, *_ = env.step(turn)
    tight = angle()
    assert RUN + TIGHT <= tight < RUN + SEAL + 0.1
    for _ in range(30):
        env.step(np.array([0, 0, 0.5, 0, 0, 0], np.float32))
    assert RUN + TIGHT < angle() < tight  # what friction cannot hold of it springs back, and no more
    assert env.state.tcp[2] > task.goal[2] + 0.05  # the thread held the cap while the wrench was pulled off
    env.close()


@pytest.mark.parametrize("torque", [0.4, 2.0])
def test_the_torque_that_is_asked_for_is_the_torque_it_takes(torque) -> None:
    task = CapTighten(FR3, torque=torque)
    joint = task.bodies[2].joint
    assert joint.friction + SEAL * joint.seat_stiffness == pytest.approx(torque)
    assert joint.friction >= SEAL * joint.seat_stiffness - 1e-12  # it does not spring back


@pytest.mark.parametrize("robot", ["arx-x5", "arx-l5", "franka-fer", "franka-fr3"])
def test_every_start_can_be_reached(robot) -> None:
    env = gym.make("User/CapTighten-sim-v0", robot=robot)
    task = env.unwrapped.task
    for x in (-0.05, 0.05):
        for yaw in (BEGIN - np.pi / 6, BEGIN + np.pi / 6):
            env.reset(seed=0, options={"tcp": task.goal + np.array([x, -x, HEIGHT, 0, 0, yaw])})
    env.close()


WRONG = {"cap_offset": (-0.1, 0.004), "turn_offset": (0.1, np.nan), "clearance": (0.0, 0.003), "torque": (0.3, 3.0, "much")}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_an_option_out_of_range_is_refused(name, value) -> None:
    with pytest.raises(BadOption, match=name):
        CapTighten(FR3, **{name: value})
