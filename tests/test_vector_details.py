"""Details of many arms' step: what ends an arm's episode, what it counts, and which rows of an info mean something."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import user_gym  # noqa: F401
from user_gym import infos
from user_gym.core import F64, Judgement, RobotState, Scene, Start
from user_gym.tasks.peg_insert import PegInsert
from user_gym.testing.compare import assert_same
from user_gym.vector import RobotVectorEnv

ID = "User/PegInsert-sim-v0"
NEXT, SAME = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP
STILL = np.zeros((2, 6), np.float32)


class FailsBelow(PegInsert):
    """Fails where the tool has come down by 1 cm."""

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        failure = np.asarray(state.tcp[..., 2] < self.goal[2] + 0.09)
        return super().judge(state, scene, progress)._replace(failure=failure)


class Counts(PegInsert):
    """Counts its steps in `progress`, from a number drawn at the start; the count is the reward, and 7 is success."""

    def start(self, rng: np.random.Generator) -> Start:
        start = super().start(rng)
        return Start(start.tcp, start.gripper, start.objects, progress=np.array([float(rng.integers(4))]))

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        count = progress + 1
        success = np.asarray(count[..., 0] >= 7)[()]
        return Judgement(reward=count[..., 0], success=success, failure=success & False, progress=count)


@pytest.mark.parametrize("mode", [NEXT, SAME], ids=lambda m: m.value)
def test_a_failure_ends_that_arms_episode_alone(mode) -> None:
    env = RobotVectorEnv(2, FailsBelow, autoreset_mode=mode)
    env.reset(seed=0)
    actions = STILL.copy()
    actions[0, 2] = -1.0
    for _ in range(5):
        _, reward, terminated, truncated, _ = env.step(actions)
        if terminated.any():
            break
    assert terminated.tolist() == [True, False]
    assert reward.tolist() == [0.0, 0.0]
    assert not truncated.any()
    env.close()


@pytest.mark.parametrize("mode", [NEXT, SAME], ids=lambda m: m.value)
def test_each_arms_progress_is_its_own_and_starts_anew(mode) -> None:
    ours = RobotVectorEnv(3, Counts, autoreset_mode=mode)
    options = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": mode}}
    theirs = gym.make_vec(ID, 3, task=Counts, **options)
    assert_same(ours.reset(seed=1), theirs.reset(seed=1))
    ends = []
    for k in range(16):
        a, b = (env.step(np.zeros((3, 6), np.float32)) for env in (ours, theirs))
        assert_same(a, b, f"step {k}")
        ends.append(tuple(a[2].tolist()))
    assert len(set(ends)) > 2  # they did not all end together
    ours.close()
    theirs.close()


def test_the_last_observation_of_one_arm_does_not_keep_those_of_all_alive() -> None:
    env = RobotVectorEnv(2, obs="pixels", max_episode_steps=1, autoreset_mode=SAME)
    env.reset(seed=0)
    info = env.step(STILL)[4]
    for final in info["final_obs"]:
        assert set(final) == {"state", "wrist", "side"}
        for value in final.values():
            assert value.base is None
    env.close()


def test_the_actions_in_an_info_are_arrays_of_their_own() -> None:
    env = RobotVectorEnv(2)
    env.reset(seed=0)
    info = env.step(np.full((2, 6), -0.2, np.float32))[4]
    assert not np.shares_memory(info["teleop_action"], info["executed_action"])
    env.close()


def test_an_info_says_nothing_of_arms_that_did_not_act() -> None:
    mask, yes = np.array([True, False]), np.ones(2, bool)
    judged = Judgement(reward=np.ones(2), success=yes, failure=~yes, progress=np.zeros((2, 0)))
    info = infos.acting(mask, judged, np.ones((2, 6), np.float32), yes, np.ones(2))
    for key in ("is_success", "teleop_action", "executed_action", "safety_clipped", "time"):
        assert info[key][0].all(), key
        assert not info[key][1].any(), key
        assert info[f"_{key}"].tolist() == [True, False]
