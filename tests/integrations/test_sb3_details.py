"""What the adapter promises in rare moments: refused options, an end that is two things at once, arrays of its own."""

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import user_gym  # noqa: F401
from user_gym.core import F64, Judgement, RobotState, Scene
from user_gym.errors import BadOption
from user_gym.tasks.peg_insert import PegInsert

pytest.importorskip("stable_baselines3", reason="comes with the extra 'sb3'")

from user_gym.integrations.sb3 import RobotVecEnv, make_vec_env
from user_gym.vector import RobotVectorEnv

ID = "User/PegInsert-sim-v0"
STILL = np.zeros((2, 6), np.float32)


@pytest.fixture
def make():
    """Build adapters of two environments that are closed at the end."""
    built = []

    def build(**options):
        built.append(make_vec_env(ID, 2, **options))
        return built[-1]

    yield build
    for env in built:
        env.close()


class FailsAtOnce(PegInsert):
    """Every state is a failure."""

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        return super().judge(state, scene, progress)._replace(failure=np.ones(state.tcp.shape[:-1], bool))


class OneBuffer(RobotVectorEnv):
    """Hands out the same info array at every step, overwritten, as a VectorEnv may."""

    buffer = np.zeros((2, 6), np.float32)

    def step(self, actions: Any) -> Any:
        *rest, info = super().step(actions)
        self.buffer[:] = info["executed_action"]
        return *rest, info | {"executed_action": self.buffer}


@pytest.mark.parametrize(
    "options", [{"tcp": np.zeros(6)}, [{}, {"tcp": np.zeros(6)}], {"speed": 3}], ids=["all", "one", "unknown"]
)
@pytest.mark.parametrize("already_reset", [False, True])
def test_refused_options_are_forgotten_and_the_seed_is_not(make, options, already_reset) -> None:
    env, plain = make(), make(seed=4)
    if already_reset:
        env.reset()
    env.seed(4)
    env.set_options(options)
    with pytest.raises(BadOption, match="reset option"):
        env.reset()
    assert np.array_equal(env.reset()["state"], plain.reset()["state"])


def test_an_end_that_is_also_the_time_limit_is_no_time_limit(make) -> None:
    env = make(task=FailsAtOnce, max_episode_steps=1)
    env.reset()
    _, _, dones, infos = env.step(STILL)
    assert dones.tolist() == [True, True]
    assert [info["TimeLimit.truncated"] for info in infos] == [False, False]
    assert all("terminal_observation" in info for info in infos)


def test_the_seed_is_also_that_of_sampled_actions(make) -> None:
    one, again, other = (make(seed=seed).action_space.sample() for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_what_an_info_says_does_not_change_at_the_next_step() -> None:
    env = RobotVecEnv(OneBuffer(2, autoreset_mode=AutoresetMode.SAME_STEP))
    env.reset()
    up, down = np.full((2, 6), 0.2, np.float32), np.full((2, 6), -0.2, np.float32)
    before = [info["executed_action"] for info in env.step(up)[3]]
    said = [action.copy() for action in before]
    env.step(down)
    assert np.array_equal(before, said)
    env.close()


def test_one_environments_info_does_not_keep_the_arrays_of_all_alive(make) -> None:
    env = make(max_episode_steps=2)
    env.reset()
    for _ in range(2):  # the second ends the episode: its info is the final one
        for info in env.step(STILL)[3]:
            assert info["executed_action"].base is None
