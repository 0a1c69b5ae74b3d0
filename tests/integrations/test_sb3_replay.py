"""SB3's own agents on our buffer, and in our collectors. What a batch has to be is SB3's own DictReplayBuffer's answer."""

import pickle
import threading
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.errors import BadOption, Closed, WrongRun
from user_gym.system import Buffer, train

pytest.importorskip("stable_baselines3", reason="comes with the extra 'sb3'")

import torch
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from user_gym.integrations.sb3 import make_vec_env
from user_gym.integrations.sb3_agent import Sb3Agent
from user_gym.integrations.sb3_replay import PersistentReplayBuffer

ID = "User/PegInsert-sim-v0"
SMALL = {"policy_kwargs": {"net_arch": [8]}, "batch_size": 8, "learning_starts": 12, "seed": 0, "device": "cpu"}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def env():
    made = gym.make(ID, max_episode_steps=15)
    yield made
    made.close()


@pytest.fixture
def build(env):
    """An agent of SB3 on our buffer; closed at the end."""
    models = []

    def made(algorithm, folder, env=env, **options):
        replay = {"folder": folder} | options.pop("replay", {})
        kwargs = {"replay_buffer_class": PersistentReplayBuffer, "replay_buffer_kwargs": replay}
        name = "MultiInputPolicy" if isinstance(env.observation_space, gym.spaces.Dict) else "MlpPolicy"
        models.append(algorithm(name, env, **kwargs, **deepcopy(SMALL) | options))  # they write into it
        return models[-1]

    yield made
    for model in models:
        model.replay_buffer.close()


def contrib(name):
    module = pytest.importorskip("sb3_contrib", reason="TQC and CrossQ are in sb3-contrib")
    return getattr(module, name)


@pytest.mark.parametrize("name", ["SAC", "TD3", "DDPG", "TQC"])
def test_agents_learn_from_the_buffer_unchanged_and_a_later_process_finds_what_they_saw(name, build, tmp_path):
    algorithm = {"SAC": SAC, "TD3": TD3, "DDPG": DDPG}.get(name) or contrib(name)
    model = build(algorithm, tmp_path / "buffer")
    before = [p.clone() for p in model.policy.parameters()]
    model.learn(40)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    model.replay_buffer.close()
    with Buffer.open(tmp_path / "buffer", read_only=True) as buffer:
        assert len(buffer) == 40
        assert len(buffer.view("truncated")) == 2
    again = build(algorithm, tmp_path / "buffer")
    assert again.replay_buffer.size() == 40
    again.learn(20)  # episodes go on counting: none is taken for one that is there
    again.replay_buffer.close()
    with Buffer.open(tmp_path / "buffer", read_only=True) as buffer:
        assert len(buffer) == 60


@pytest.mark.parametrize("name", ["SAC", "CrossQ"])
def test_observations_that_are_no_dict_are_kept_as_collectors_keep_them(name, build, env):
    model = build({"SAC": SAC}.get(name) or contrib(name), ":memory:", env=gym.wrappers.FlattenObservation(env))
    model.learn(30)
    agent = Sb3Agent(model)
    train(model.env.envs[0], agent, model.replay_buffer.buffer, steps=20, batch_size=8)
    assert model.replay_buffer.size() == 30 + 20
    assert agent.updates == 20


@pytest.mark.parametrize("pictures", [False, True], ids=["state", "pixels"])
def test_a_batch_holds_what_sb3s_own_buffer_would_hold(pictures):
    options = {"obs": "pixels"} if pictures else {}
    env = DummyVecEnv([lambda: gym.make(ID, max_episode_steps=4, **options) for _ in range(2)])
    spaces = env.observation_space, env.action_space
    if pictures:
        from stable_baselines3.common.vec_env import VecTransposeImage

        env = VecTransposeImage(env)
        spaces = env.observation_space, env.action_space
    theirs = DictReplayBuffer(20, *spaces, device="cpu", n_envs=2)
    ours = PersistentReplayBuffer(20, *spaces, device="cpu", n_envs=2, folder=":memory:")
    env.seed(3)
    obs, rng = env.reset(), np.random.default_rng(0)
    for _ in range(8):
        action = rng.uniform(-1, 1, (2, 6)).astype(np.float32)
        after, reward, done, infos = env.step(action)
        last = {key: value.copy() for key, value in after.items()}
        for i in range(2):
            if done[i]:
                for key in last:
                    last[key][i] = infos[i]["terminal_observation"][key]
        for buffer in (theirs, ours):
            buffer.add(obs, last, action, reward, done, infos)
        obs = after
    env.close()
    assert ours.size() == 16
    inside = ours.buffer.read(np.arange(16))
    ours.hand(inside)
    batch = ours.sample(16)
    expected = theirs._get_samples(np.repeat([0], 1))
    assert {k: (v.dtype, v.shape[1:]) for k, v in batch.observations.items()} == {
        k: (v.dtype, v.shape[1:]) for k, v in expected.observations.items()
    }
    order = [(step, i) for i in range(2) for step in range(4)] + [(step, i) for i in range(2) for step in range(4, 8)]
    for row, (step, i) in enumerate(order):
        for key in batch.observations:
            np.testing.assert_array_equal(batch.observations[key][row], theirs.observations[key][step, i])
            np.testing.assert_array_equal(batch.next_observations[key][row], theirs.next_observations[key][step, i])
        np.testing.assert_array_equal(batch.actions[row], theirs.actions[step, i])
    assert batch.dones.shape == batch.rewards.shape == expected.dones.shape[:0] + (16, 1)
    assert not batch.dones.any()  # a time limit is no end
    ours.close()


def test_ends_and_rewards_arrive_and_vec_normalize_is_applied_to_what_is_drawn():
    spaces = gym.spaces.Dict({"state": gym.spaces.Box(-9, 9, (2,))}), gym.spaces.Box(-1, 1, (1,))
    ours = PersistentReplayBuffer(20, *spaces, device="cpu", folder=":memory:")
    at = lambda x: {"state": np.full((1, 2), x, np.float32)}  # noqa: E731
    ours.add(at(1), at(2), np.zeros((1, 1)), np.array([0.0]), np.array([False]), [{}])
    ours.add(at(2), at(3), np.ones((1, 1)), np.array([4.0]), np.array([True]), [{}])
    batch = ours.sample(200)
    assert {tuple(row.tolist()) for row in torch.cat([batch.rewards, batch.dones, batch.actions], 1)} == {(0, 0, 0), (4, 1, 1)}
    normal = VecNormalize(DummyVecEnv([lambda: gym.make(ID)]), norm_obs=False)
    normal.ret_rms.var = np.array(4.0)
    assert ours.sample(200, env=normal).rewards.max() == pytest.approx(2.0, rel=1e-3)
    normal.close()
    ours.close()


def test_a_sampler_of_ones_own_gives_half_of_each_batch_from_demonstrations(build):
    def half(steps, n, rng):
        counts.append(n)
        return steps.sample(n, rng)

    counts = []
    build(SAC, ":memory:", replay={"sampler": half}).learn(20)
    assert counts == [8] * 8


def test_only_steps_of_the_same_spaces_are_drawn(build, tmp_path):
    build(SAC, tmp_path / "b").learn(20)
    model = build(SAC, tmp_path / "b2", env=gym.make(ID, control="joint", max_episode_steps=15))
    model.replay_buffer.close()
    first = Buffer.open(tmp_path / "b", read_only=True)
    assert len(first.view(f"spec_hash = '{model.replay_buffer.spec_hash}'")) == 0 < len(first)
    first.close()
    model.env.close()


def test_an_agent_is_saved_and_loaded_as_ever_and_its_buffer_is_not_pickled(build, env, tmp_path):
    model = build(TD3, ":memory:")
    model.learn(20)
    model.save(tmp_path / "model")
    loaded = TD3.load(tmp_path / "model", env=env)
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])
    with pytest.raises(BadOption, match="its folder :memory: is what is kept"):
        pickle.dumps(model.replay_buffer)


def test_what_a_replay_buffer_cannot_be_is_said():
    spaces = gym.spaces.Dict({"state": gym.spaces.Box(-1, 1, (2,))}), gym.spaces.Box(-1, 1, (1,))
    with pytest.raises(BadOption, match="RescaleAction"):
        PersistentReplayBuffer(9, spaces[0], gym.spaces.Box(-2, 2, (1,)), folder=":memory:")
    with pytest.raises(BadOption, match="handle_timeout_termination"):
        PersistentReplayBuffer(9, *spaces, handle_timeout_termination=False, folder=":memory:")
    replay = PersistentReplayBuffer(9, *spaces, folder=":memory:")
    with pytest.raises(BadOption, match="remove its folder"):
        replay.reset()
    with pytest.raises(BadOption, match="nothing yet"):
        replay.sample(1)
    replay.close()
    replay.close()
    with pytest.raises(Closed):
        replay.size()


@pytest.mark.parametrize("synchronous", [True, False])
@pytest.mark.parametrize("algorithm", [SAC, TD3])
def test_an_agent_learns_beside_its_robot_in_our_collector(algorithm, synchronous, build, env):
    noise = NormalActionNoise(np.zeros(6), np.full(6, 0.1)) if algorithm is TD3 else None
    model = build(algorithm, ":memory:", action_noise=noise)
    threads = set()
    agent = Sb3Agent(model)
    before = {name: value.copy() for name, value in agent.weights().items()}
    watched = _Watched(env, threads)
    result = train(
        watched, agent, model.replay_buffer.buffer, steps=40, learning_starts=12, batch_size=8, synchronous=synchronous
    )
    assert threads == {"collector"}
    assert (result.counters.env_steps, agent.updates) == (40, 28)
    assert {"critic_loss", "n_updates"} <= set(result.progress.metrics)
    assert any(not np.array_equal(value, before[name]) for name, value in agent.weights().items())
    assert len(model.replay_buffer.buffer.view("policy_version >= 0")) == 40


class _Watched(gym.Wrapper):
    """Notes which thread steps."""

    def __init__(self, env, threads):
        super().__init__(env)
        self._threads = threads

    def step(self, action):
        self._threads.add(threading.current_thread().name)
        return self.env.step(action)


def test_equal_seeds_give_equal_agents_where_robot_and_learner_take_turns(build, env):
    actors = []
    for _ in range(2):
        model = build(SAC, ":memory:")
        agent = Sb3Agent(model, seed=4)
        train(env, agent, model.replay_buffer.buffer, steps=30, learning_starts=12, batch_size=8, seed=5)
        actors.append(agent.weights())
    assert all(np.array_equal(value, actors[1][name]) for name, value in actors[0].items())


def test_a_restored_agent_goes_on_bit_for_bit(build, tmp_path, env):
    model, other = build(SAC, tmp_path / "a"), build(SAC, ":memory:", seed=7)
    model.learn(20)
    agents = [Sb3Agent(m) for m in (model, other)]
    batches = [model.replay_buffer.buffer.sample(8, np.random.default_rng(i)) for i in range(2)]
    agents[0].update(batches[0])
    agents[0].save(tmp_path / "agent.pt")
    after = []
    for agent in agents:
        agent.restore(tmp_path / "agent.pt")
        agent.update(batches[1])
        after.append(agent.weights())
    assert agents[1].updates == 2
    assert all(np.array_equal(value, after[1][name]) for name, value in after[0].items())
    with pytest.raises(WrongRun, match="another shape"):
        Sb3Agent(build(SAC, ":memory:", policy_kwargs={"net_arch": [9]})).restore(tmp_path / "agent.pt")


def test_what_cannot_be_an_agent_is_said(build, env):
    with pytest.raises(BadOption, match="PersistentReplayBuffer, as replay_buffer_class"):
        Sb3Agent(SAC("MultiInputPolicy", env, buffer_size=10, device="cpu"))
    with pytest.raises(BadOption, match="use_sde"):
        Sb3Agent(build(SAC, ":memory:", use_sde=True))


def test_our_vector_environments_fill_the_buffer_too(build, tmp_path):
    vector = make_vec_env(ID, 3, max_episode_steps=15)
    build(SAC, tmp_path / "b", env=vector).learn(60)
    vector.close()
    with Buffer.open(tmp_path / "b", read_only=True) as buffer:
        assert {buffer.chunk(int(n)).source for n in buffer.numbers()[::5]} == {"sb3-0", "sb3-1", "sb3-2"}
