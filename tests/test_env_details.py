"""Details of one environment's step: what ends it, what it hands out, and the bounds of orders and observations."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.core import F64, Judgement, RobotState, Scene, TeleopOrder
from user_gym.env import RobotEnv
from user_gym.interface import JOINT_STEP, Interface
from user_gym.robots import specs
from user_gym.tasks.peg_insert import PegInsert
from user_gym.wrappers import Intervention

ID = "User/PegInsert-sim-v0"
SPEC = specs.spec("franka-fr3")
STILL = np.zeros(6, np.float32)


class FailsLater(PegInsert):
    """Fails when 0.2 s are over."""

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        return super().judge(state, scene, progress)._replace(failure=np.asarray(state.time > 0.15))


class TellsWhereTheBoardIs(PegInsert):
    """Shows the board in its state observation."""

    scene_keys = ("board",)


class Hand:
    """A human who has taken over for good."""

    def connect(self) -> None: ...

    def reset(self) -> None: ...

    def read(self, state):
        return TeleopOrder(np.full(6, 0.1, np.float32), active=True)

    def close(self) -> None: ...


@pytest.fixture
def env():
    env = gym.make(ID)
    env.reset(seed=0)
    yield env
    env.close()


GRIPPER = 18  # entry of a state observation


def seen(state, task=None, board=(0, 0, 0, 0, 0, 0, 1.0), control="tcp"):
    """The state observation (k,), and its space."""
    interface = Interface(SPEC, task or PegInsert(SPEC), "state", control)
    scene = Scene(("board",), np.array([board], float), np.ones(1, bool), "sim", 0.0)
    return interface.observe(state, scene, {}, np.zeros(6))["state"], interface.observation_space["state"]


def test_a_failure_ends_the_episode_without_success() -> None:
    env = RobotEnv(FailsLater)
    env.reset(seed=0)
    assert env.step(STILL)[2] is False
    _, reward, terminated, truncated, info = env.step(STILL)
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, False)
    env.close()


def test_the_actions_in_an_info_are_arrays_of_their_own(env) -> None:
    info = env.step(np.full(6, -0.2, np.float32))[4]
    kept = info["executed_action"].copy()
    info["teleop_action"][:] = 7.0
    assert np.array_equal(info["executed_action"], kept)


def test_the_humans_actions_in_an_info_are_arrays_of_their_own(env) -> None:
    taught = Intervention(env, Hand())
    taught.reset(seed=0)
    info = taught.step(STILL)[4]
    kept = info["intervene_action"].copy()
    info["teleop_action"][:] = 7.0
    assert np.array_equal(info["intervene_action"], kept)
    info["intervene_action"][:] = 8.0
    assert (info["teleop_action"] == 7.0).all()


def test_a_joint_action_beyond_one_moves_no_farther_than_one() -> None:
    interface = Interface(SPEC, PegInsert(SPEC), "state", "joint")
    env = RobotEnv(control="joint")
    env.reset(seed=0, options={"tcp": env.task.goal + np.array([0, 0, 0.05, 0, 0, 0])})
    action = np.zeros(7)
    action[-1] = 3.0
    command, executed, clipped = interface.command(action, env.state)
    assert clipped
    assert executed[-1] == pytest.approx(1.0)
    assert command.joints is not None
    assert (command.joints - env.state.q)[-1] == pytest.approx(JOINT_STEP)
    env.close()


@pytest.mark.parametrize("control", ["tcp", "joint"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_however_far_out_a_state_is_its_observation_is_at_the_bound_of_the_space(env, sign, control) -> None:
    far = sign * 1e6
    parts = {name: getattr(env.unwrapped.state, name) * 0 + far for name in ("q", "tcp", "velocity", "wrench", "gripper")}
    observation, space = seen(replace(env.unwrapped.state, **parts), control=control)
    bound = (space.high if sign > 0 else space.low).copy()
    bound[GRIPPER] = -1.0  # peg insertion does not move it
    assert np.array_equal(observation, bound)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("half_turns", [-0.9, 0.25, 0.5])
def test_an_objects_rotation_is_given_in_half_turns(env, axis, half_turns) -> None:
    task = TellsWhereTheBoardIs(SPEC)
    place = task.goal[:3] + 2 * task.action_scale[:3]
    turn = np.eye(3)[axis] * np.sin(half_turns * np.pi / 2)
    observation, _ = seen(env.unwrapped.state, task, (*place, *turn, np.cos(half_turns * np.pi / 2)))
    assert np.allclose(observation[-6:], [2, 2, 2, *(half_turns * np.eye(3)[axis])], atol=1e-5)
