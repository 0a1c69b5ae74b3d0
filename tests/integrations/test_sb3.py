"""The adapter against SB3's own DummyVecEnv over single environments, which is what SB3's users compare with."""

import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import user_gym  # noqa: F401
from user_gym.core import RobotState
from user_gym.errors import BadOption, NotReset
from user_gym.tasks.expert import PegInsertExpert

pytest.importorskip("stable_baselines3", reason="comes with the extra 'sb3'")

from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan, VecMonitor, VecNormalize

from user_gym.integrations.sb3 import RobotVecEnv, make_vec_env

ID = "User/PegInsert-sim-v0"
LIMIT = 35  # steps: the expert inserts earlier, random actions never do


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def make():
    """Build adapters that are closed at the end."""
    built = []

    def build(n=3, **options):
        built.append(make_vec_env(ID, n, **options))
        return built[-1]

    yield build
    for env in built:
        env.close()
        env.close()


def dummy(n=3, seed=None, **options):
    env = DummyVecEnv([lambda: gym.make(ID, **options) for _ in range(n)])
    env.seed(seed)
    return env


def same(ours, theirs, path=""):
    """Equal values of equal types, bit for bit."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), path
        for key in theirs:
            same(ours[key], theirs[key], f"{path}/{key}")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), path
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            same(a, b, f"{path}[{i}]")
    elif isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray), path
        assert ours.dtype == theirs.dtype, path
        assert ours.shape == theirs.shape, path
        assert np.array_equal(ours, theirs), path
    else:
        assert type(ours) is type(theirs), path
        assert ours == theirs, path


def state_of_row(state, i):
    return RobotState(*(getattr(state, f)[i] for f in RobotState.__dataclass_fields__))


@pytest.mark.parametrize("options", [{}, {"robot": "arx-x5"}, {"control": "joint"}], ids=str)
def test_a_hundred_steps_equal_the_dummy_vec_env_bit_for_bit(make, options) -> None:
    ours, theirs = (
        make(seed=5, max_episode_steps=LIMIT, threads=2, **options),
        dummy(seed=5, max_episode_steps=LIMIT, **options),
    )
    same(ours.reset(), theirs.reset())
    same(ours.reset_infos, theirs.reset_infos)
    rng = np.random.default_rng(0)
    experts = [PegInsertExpert(ours.get_attr("task")[0]) for _ in range(2)]
    successes = timeouts = 0
    for _ in range(100):
        actions = rng.uniform(-1, 1, (3, *ours.action_space.shape)).astype(np.float32)
        if not options.get("control"):
            state = ours.get_attr("state")[0]
            for i, expert in enumerate(experts):  # two arms succeed, the third runs into the time limit
                actions[i] = expert.action(state_of_row(state, i))
        a, b = ours.step(actions), theirs.step(actions)
        same(a, b)
        same(ours.reset_infos, theirs.reset_infos)
        for i, done in enumerate(a[2]):
            if done and i < 2:
                experts[i].reset()
            successes += bool(done and a[3][i]["is_success"])
            timeouts += bool(done and a[3][i]["TimeLimit.truncated"])
    assert timeouts >= 2
    assert options.get("control") or successes >= 1
    theirs.close()


def test_pictures_equal_the_dummy_vec_env_bit_for_bit(make) -> None:
    ours, theirs = make(2, seed=1, obs="pixels", max_episode_steps=3), dummy(2, seed=1, obs="pixels", max_episode_steps=3)
    same(ours.reset(), theirs.reset())
    for k in range(5):
        actions = np.full((2, 6), 0.1 * k, np.float32)
        same(ours.step(actions), theirs.step(actions))
    theirs.close()


def test_every_step_says_whether_a_time_limit_cut_it(make) -> None:
    env = make(2, max_episode_steps=2)
    env.reset()
    for cut in (False, True, False):
        _, rewards, dones, infos = env.step(np.zeros((2, 6), np.float32))
        assert rewards.dtype == np.float32
        assert dones.tolist() == [cut, cut]
        assert [info["TimeLimit.truncated"] for info in infos] == [cut, cut]
        assert [("terminal_observation" in info) for info in infos] == [cut, cut]
        assert all(type(info["is_success"]) is bool for info in infos)


def test_the_terminal_observation_is_the_last_and_the_observation_the_first(make) -> None:
    env = make(2, seed=0, max_episode_steps=2)
    env.reset()
    env.step(np.zeros((2, 6), np.float32))
    obs, _, _, infos = env.step(np.ones((2, 6), np.float32))
    for i in range(2):
        assert not np.array_equal(infos[i]["terminal_observation"]["state"], obs["state"][i])
        assert env.observation_space.contains(infos[i]["terminal_observation"])
        assert infos[i]["time"] > 0.15
        assert env.reset_infos[i]["time"] == 0.0


def test_the_infos_of_a_reset_inside_a_step_are_kept(make) -> None:
    env = make(2, max_episode_steps=2)
    env.reset()
    env.reset_infos = [{}, {}]
    env.step(np.zeros((2, 6), np.float32))
    assert env.reset_infos == [{}, {}]
    env.step(np.zeros((2, 6), np.float32))
    assert [set(info) for info in env.reset_infos] == [{"is_success", "is_intervention", "time"}] * 2


def test_step_async_only_dispatches(make) -> None:
    env = make(2)
    env.reset()
    before = env.get_attr("state")[0]
    env.step_async(np.ones((2, 6), np.float32))
    assert env.get_attr("state")[0] is before
    env.step_wait()
    assert env.get_attr("state")[0] is not before
    with pytest.raises(NotReset, match="step_async"):
        env.step_wait()


def test_seeds_are_per_environment_and_used_once(make) -> None:
    env = make(2)
    assert list(env.seed(4)) == [4, 5]
    first = env.reset()["state"]
    second = env.reset()["state"]
    env.seed(5)
    third = env.reset()["state"]
    assert not np.array_equal(first, second)
    assert np.array_equal(third[0], first[1])


@pytest.mark.parametrize("already_reset", [False, True])
def test_options_are_per_environment_and_used_once(make, already_reset) -> None:
    env = make(3, seed=2)
    goal = env.get_attr("task")[0].goal
    if already_reset:
        env.reset()
        env.seed(2)
    there = [goal + np.array([0.01, 0.02, 0.05, 0, 0, 0.1]), None, goal + np.array([0.0, -0.02, 0.06, 0, 0, 0])]
    env.set_options([{} if tcp is None else {"tcp": tcp} for tcp in there])
    env.reset()
    tcp = env.get_attr("state")[0].tcp
    assert np.allclose(tcp[0], there[0], atol=1e-5)
    assert np.allclose(tcp[2], there[2], atol=1e-5)
    theirs = dummy(3, seed=2)
    theirs.set_options([{} if tcp is None else {"tcp": tcp} for tcp in there])
    theirs.reset()
    assert np.array_equal(tcp[1], theirs.envs[1].unwrapped.state.tcp)
    theirs.close()
    env.reset()
    assert not np.allclose(env.get_attr("state")[0].tcp[0], there[0], atol=1e-3)


def test_one_set_of_options_is_for_all(make) -> None:
    env = make(2)
    tcp = env.get_attr("task")[0].goal + np.array([0.01, 0, 0.05, 0, 0, 0])
    env.set_options({"tcp": tcp})
    env.reset()
    assert np.allclose(env.get_attr("state")[0].tcp, tcp, atol=1e-5)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_another_autoreset_mode_is_refused_and_the_fix_is_named(mode) -> None:
    env = gym.make_vec(ID, 2, autoreset_mode=mode)
    with pytest.raises(BadOption, match=r"(?s)autoreset_mode.*SameStep.*make_vec_env"):
        RobotVecEnv(env)
    env.close()


def test_the_render_mode_is_known_during_construction(make) -> None:
    assert make(2).render_mode is None
    env = make(2, render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
    env.reset()
    images = env.get_images()
    assert [image.shape for image in images] == [(480, 480, 3)] * 2
    assert env.render().shape[0] >= 480
    assert [picture.shape for picture in env.env_method("render")] == [(480, 480, 3)] * 2


def test_attributes_and_methods_take_indices(make) -> None:
    env = make(3)
    assert env.get_attr("task_description", [0, 2]) == ["insert the red peg into the hole of the board"] * 2
    assert env.get_attr("_max_episode_steps", 1) == [100]
    assert not env.has_attr("no_such_attribute")
    env.set_attr("note", np.arange(3))
    assert [note.tolist() for note in env.get_attr("note")] == [[0, 1, 2]] * 3
    with pytest.raises(BadOption, match="share"):
        env.set_attr("note", 7, indices=[1])
    assert env.env_is_wrapped(Monitor) == [False] * 3


def test_environments_of_their_own_are_addressed_one_by_one() -> None:
    env = make_vec_env(ID, 2, vectorization_mode="sync")
    env.reset()
    env.set_attr("note", 1)
    env.set_attr("note", 7, indices=[1])
    assert env.get_attr("note") == [1, 7]
    env.set_attr("late", 3, indices=0)  # as SB3's own classes: the others need not have it
    assert env.get_attr("late", indices=[0]) == [3]
    assert not env.has_attr("late")
    assert env.env_method("get_wrapper_attr", "note", indices=1) == [7]
    assert env.env_is_wrapped(gym.wrappers.TimeLimit, indices=[0]) == [True]
    assert env.env_is_wrapped(Monitor) == [False, False]
    env.close()


@pytest.mark.slow
def test_environments_in_other_processes_move_while_the_caller_waits() -> None:
    ours = make_vec_env(ID, 2, seed=3, vectorization_mode="async", max_episode_steps=3, vector_kwargs={"context": "spawn"})
    theirs = make_vec_env(ID, 2, seed=3, max_episode_steps=3)
    same(ours.reset(), theirs.reset())
    for k in range(5):
        actions = np.full((2, 6), 0.2 * k, np.float32)
        same(ours.step(actions), theirs.step(actions))
    ours.close()
    theirs.close()


@pytest.mark.parametrize("algorithm", ["SAC", "PPO"])
@pytest.mark.parametrize("source", ["single id", "adapter"])
def test_sb3_trains_unchanged(make, algorithm, source) -> None:
    env = make(2, max_episode_steps=20) if source == "adapter" else ID
    small = {"policy_kwargs": {"net_arch": [8]}, "seed": 0}
    if algorithm == "SAC":
        model = SAC("MultiInputPolicy", env, learning_starts=60, batch_size=16, train_freq=4, buffer_size=400, **small)
    else:
        model = PPO("MultiInputPolicy", env, n_steps=64, batch_size=32, n_epochs=1, **small)
    model.learn(200)
    assert model.num_timesteps >= 200
    assert model.get_env().observation_space["state"].shape == (19,)
    model.get_env().close()


def test_time_limits_reach_the_replay_buffer_as_time_limits(make) -> None:
    env = make(2, max_episode_steps=5)
    model = SAC("MultiInputPolicy", env, learning_starts=1000, buffer_size=100, policy_kwargs={"net_arch": [8]})
    model.learn(20)
    buffer = model.replay_buffer
    assert buffer.dones[:10].sum() == buffer.timeouts[:10].sum() == 4
    last = buffer.next_observations["state"][4]
    assert not np.array_equal(last, buffer.observations["state"][5])  # the episode's last, not the next one's first


def test_sb3s_own_wrappers_work_around_it(make) -> None:
    env = VecNormalize(VecCheckNan(VecMonitor(make(2, max_episode_steps=4)), raise_exception=True), norm_obs_keys=["state"])
    env.reset()
    ended = []
    for _ in range(9):
        _, _, _, infos = env.step(np.zeros((2, 6), np.float32))
        ended += [info["episode"]["l"] for info in infos if "episode" in info]
    assert ended == [4] * 4


def test_sb3s_check_for_nan_sees_a_bad_action_before_we_do(make) -> None:
    env = VecCheckNan(make(1), raise_exception=True)
    env.reset()
    with pytest.raises(ValueError, match="nan"):
        env.step(np.full((1, 6), np.nan, np.float32))


def test_policies_are_evaluated_on_it(make) -> None:
    env = VecMonitor(make(2, max_episode_steps=5))
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, policy_kwargs={"net_arch": [8]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rewards, lengths = evaluate_policy(model, env, n_eval_episodes=4, return_episode_rewards=True)
    assert not caught
    assert lengths == [5] * 4
    assert rewards == [0.0] * 4


def test_sb3s_make_vec_env_works_on_the_single_id() -> None:
    env = sb3_make_vec_env(ID, n_envs=2, seed=0, env_kwargs={"robot": "arx-x5"})
    assert env.reset()["state"].shape == (2, 19)
    env.step(np.zeros((2, 6), np.float32))
    env.close()


def test_sb3s_expectations_of_a_vec_env_hold(make) -> None:
    """What SB3's tests/test_vec_envs.py asks of each of its own classes."""
    env = make(3, max_episode_steps=4)
    obs = env.reset()
    assert env.num_envs == 3
    assert {key: value.shape for key, value in obs.items()} == {"state": (3, 19)}
    assert env.unwrapped is env
    assert env.reset_infos[0]["time"] == 0.0
    for _ in range(6):
        new, rewards, dones, infos = env.step(np.stack([env.action_space.sample() for _ in range(3)]))
        assert rewards.shape == dones.shape == (3,)
        assert len(infos) == 3
        assert all(env.observation_space["state"].contains(row) for row in new["state"])
        for key, value in new.items():  # what was handed out before is not written again
            assert not np.shares_memory(value, obs[key])
        obs = new
    assert env.has_attr("task")
    assert env.get_attr("num_envs", indices=None) == [3] * 3
    assert env.metadata["render_modes"] == []


def test_without_sb3_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['stable_baselines3'] = None\n"
        "from user_gym.errors import MissingExtra\n"
        "try:\n    import user_gym.integrations.sb3\n"
        "except MissingExtra as e:\n    print(e)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "user-gym[sb3]" in out
