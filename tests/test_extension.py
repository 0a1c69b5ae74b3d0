"""What others add fits in one file: a policy, an algorithm and a reward here; a task with an object further down."""

import inspect
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.core import ActionChunk, Body, Judgement, RewardSignal, Shape, Start, Workspace
from user_gym.env import RobotEnv
from user_gym.errors import BadOption, WrongRun
from user_gym.system import Buffer, train
from user_gym.testing.compare import assert_same
from user_gym.vector import RobotVectorEnv
from user_gym.wrappers import RewardFrom

ID = "User/PegInsert-sim-v0"


class Linear:
    """A policy: the action is linear in the pose relative to the goal, and noise around it."""

    def __init__(self, noise=0.6):
        self.version, self.noise = -1, noise
        self.weights = np.zeros((6, 6))
        self.spec_hash = f"linear {self.weights.shape}"
        self.rng = np.random.default_rng(0)

    def reset(self, seed=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)

    def act(self, obs, deterministic=False):
        action = obs["state"][:6] @ self.weights
        if not deterministic:
            action = action + self.rng.normal(0.0, self.noise, 6)
        return ActionChunk(np.clip(action, -1, 1).astype(np.float32)[None], self.version)

    def load(self, weights):
        if weights.spec_hash != self.spec_hash:
            raise BadOption("spec_hash", weights.spec_hash, self.spec_hash)
        self.weights, self.version = weights.arrays["weights"].copy(), weights.version


class RewardWeightedRegression:
    """An algorithm: imitate what was done, weighted by how well it went (Peters and Schaal 2007)."""

    def __init__(self, temperature=0.3):
        self.policy = Linear()
        self.temperature = temperature
        self.seen = np.eye(6) * 1e-3
        self.wanted = np.zeros((6, 6))
        self.theta = np.zeros((6, 6))

    def update(self, batch):
        x, worth = batch.obs["state"][:, :6].astype(float), batch.reward / self.temperature
        weight = np.exp(worth - worth.max())[:, None]
        self.seen = 0.99 * self.seen + x.T @ (weight * x)
        self.wanted = 0.99 * self.wanted + x.T @ (weight * batch.action)
        self.theta = np.linalg.solve(self.seen, self.wanted)
        return {"reward": float(batch.reward.mean())}

    def weights(self):
        return {"weights": self.theta}

    def save(self, path: Path):
        np.savez(path, seen=self.seen, wanted=self.wanted, theta=self.theta)

    def restore(self, path: Path):
        with np.load(path) as saved:
            if saved["theta"].shape != self.theta.shape:
                raise WrongRun(f"{path} holds weights of shape {saved['theta'].shape}; allowed: {self.theta.shape}")
            self.seen, self.wanted, self.theta = saved["seen"], saved["wanted"], saved["theta"]


class Homing:
    """A reward: speed towards the goal, in units of the action."""

    def __call__(self, obs, state, scene, rule):
        error, velocity = obs["state"][:3].astype(float), obs["state"][6:9].astype(float)
        return RewardSignal(-float(error @ velocity) / (np.linalg.norm(error) + 0.1), None, "homing")


LEAD = 20  # updates that either side may be ahead, where not synchronous


def trained(synchronous: bool) -> tuple[RewardWeightedRegression, Buffer]:
    env = RewardFrom(gym.make(ID, max_episode_steps=20), Homing())
    agent, buffer = RewardWeightedRegression(), Buffer.open(":memory:")
    result = train(
        env, agent, buffer, steps=600, updates_per_step=0.5, synchronous=synchronous, learning_starts=100, random_steps=100,
        batch_size=64, max_seconds=0.5, tolerance=LEAD,
    )  # fmt: skip
    assert result.counters.env_steps == len(buffer) == 600
    assert result.counters.updates == pytest.approx(250, abs=0 if synchronous else LEAD)
    env.close()
    return agent, buffer


def distance_left(policy) -> float:
    """Share of the horizontal distance to the goal that is left after three seconds."""
    env = gym.make(ID)
    left = []
    for seed in range(4):
        obs, _ = env.reset(seed=100 + seed)
        began = np.linalg.norm(obs["state"][:2])
        for _ in range(30):
            obs, *_ = env.step(policy.act(obs, deterministic=True).actions[0])
        left.append(np.linalg.norm(obs["state"][:2]) / began)
    env.close()
    return float(np.mean(left))


@pytest.mark.parametrize("synchronous", [True, False], ids=["sync", "async"])
def test_a_policy_an_algorithm_and_a_reward_of_ones_own_are_trained(synchronous) -> None:
    agent, buffer = trained(synchronous)
    assert distance_left(Linear()) > 0.9
    agent.policy.weights = agent.theta
    assert distance_left(agent.policy) < (0.6 if synchronous else 0.75)  # when the other side runs is up to the machine
    assert buffer.sample(50, np.random.default_rng(0)).policy_version.max() > 0
    buffer.close()


def test_synchronous_training_repeats_itself_bit_for_bit() -> None:
    one, two = trained(True)[0], trained(True)[0]
    assert np.array_equal(one.theta, two.theta)


def test_what_was_learned_is_kept(tmp_path) -> None:
    one, two = trained(True)[0], RewardWeightedRegression()
    one.save(tmp_path / "agent.npz")
    two.restore(tmp_path / "agent.npz")
    assert np.array_equal(one.theta, two.theta)


@pytest.mark.parametrize("part", [Linear, RewardWeightedRegression, Homing])
def test_each_part_takes_less_than_sixty_lines(part) -> None:
    assert len(inspect.getsource(part).splitlines()) < 60


class PushAndReturn:
    """A task in two stages with one free object: push the cube 1 cm along x, then go up.

    Progress: the stage, and where the cube was.
    """

    name = "PushAndReturn"
    description = "push the cube, then raise the hand"
    rate = 10.0
    max_steps = 40
    moves_gripper = True
    scene_keys = ("cube",)

    def __init__(self, spec, height=0.08):
        x, y, _ = spec.work_point
        self.height = height
        self.goal = np.array([x, y, 0.03, 0, 0, 0])
        reach = np.array([0.10, 0.05, 0, 0.05, 0.05, 0.3])
        self.workspace = Workspace(self.goal - reach, self.goal + reach + [0, 0, 0.10, 0, 0, 0])
        self.action_scale = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1])
        cube = Shape("box", (0.02, 0.02, 0.02), np.array([0, 0, 0, 0, 0, 0, 1.0]), (0.2, 0.4, 0.8, 1.0))
        self.bodies = (Body("cube", "free", (cube,), mass=0.1),)

    def start(self, rng):
        x = self.goal[0] + rng.uniform(-0.005, 0.005)
        tcp = self.goal + np.array([-0.06, rng.uniform(-0.005, 0.005), 0, 0, 0, 0])
        return Start(tcp, 0.0, np.array([[x, self.goal[1], 0.02, 0, 0, 0, 1.0]]), progress=np.array([0.0, x]))

    def judge(self, state, scene, progress):
        pushed = scene.pose("cube")[..., 0] - progress[..., 1] > 0.01
        stage = np.maximum(progress[..., 0], pushed)
        success = (stage > 0) & (state.tcp[..., 2] > self.height)
        reward = 0.5 * (stage - progress[..., 0]) + 0.5 * success
        return Judgement(reward, success, success & False, np.stack([stage, progress[..., 1]], axis=-1))


def plan(step: int) -> np.ndarray:
    """Along x into the cube, then up; the gripper stays closed."""
    move = [1.0, 0, 0] if step < 18 else [0, 0, 1.0]
    return np.array([*move, 0, 0, 0, -1.0], np.float32)


def alone(robot: str, seed: int, **options) -> list:
    """One episode of a single environment, step by step."""
    env = RobotEnv(task=PushAndReturn, robot=robot, **options)
    record = [env.reset(seed=seed)]
    for k in range(40):
        record.append(env.step(plan(k)))
        if record[-1][2]:
            break
    env.close()
    return record


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_a_task_with_an_object_and_two_stages_runs_alone(robot) -> None:
    record = alone(robot, seed=0)
    rewards = [step[1] for step in record[1:]]
    assert [r for r in rewards if r] == [0.5, 0.5]  # each stage once, in this order
    assert record[-1][2] is True
    assert record[-1][4]["is_success"] is True
    first, last = record[0][0]["state"], record[-1][0]["state"]
    assert first.shape == (19 + 6,)
    assert last[19] - first[19] > 0.5  # the cube is seen moving: more than 1 cm, in steps of 2 cm


def test_its_gripper_is_part_of_the_action() -> None:
    env = RobotEnv(task=PushAndReturn)
    env.reset(seed=0)
    assert env.action_space.shape == (7,)
    for wanted in (1.0, -1.0):
        for _ in range(15):
            obs, _, _, _, info = env.step(np.array([0, 0, 0, 0, 0, 0, wanted], np.float32))
        assert obs["state"][18] == pytest.approx(wanted, abs=0.1)
        assert info["executed_action"][6] == wanted
    env.close()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_it_runs_batched_with_equal_results(robot, threads) -> None:
    env = RobotVectorEnv(3, task=PushAndReturn, robot=robot, threads=threads, autoreset_mode="Disabled")
    singles = [alone(robot, seed=7 + i) for i in range(3)]
    obs, _ = env.reset(seed=7)
    for i in range(3):
        assert_same(obs["state"][i], singles[i][0][0]["state"])
    for k in range(min(map(len, singles)) - 1):
        obs, reward, terminated, _, info = env.step(np.stack([plan(k)] * 3))
        for i in range(3):
            there = singles[i][k + 1]
            assert_same(obs["state"][i], there[0]["state"], f"arm {i}, step {k}")
            assert (reward[i], terminated[i], info["is_success"][i]) == (there[1], there[2], there[4]["is_success"])
            assert_same(info["executed_action"][i], there[4]["executed_action"])
    assert terminated.any()
    env.close()


def test_stages_survive_the_neighbours_reset() -> None:
    """Progress is per arm: one that starts anew does not lose another's stage."""
    env = RobotVectorEnv(2, task=PushAndReturn, autoreset_mode="Disabled")
    env.reset(seed=7)
    total = np.zeros(2)
    for k in range(17):
        total += env.step(np.stack([plan(k)] * 2))[1]
    assert total.tolist() == [0.5, 0.5]
    env.reset(options={"reset_mask": np.array([True, False])})
    for k in range(18, 30):
        _, reward, terminated, _, _ = env.step(np.stack([plan(k)] * 2))
        total += reward
        if terminated[1]:
            break
    assert total.tolist() == [0.5, 1.0]
    env.close()


def test_its_options_reach_it_by_keyword() -> None:
    assert RobotEnv(task=PushAndReturn, height=0.09).task.height == 0.09
    with pytest.raises(BadOption, match=r"hight.*height"):
        RobotEnv(task=PushAndReturn, hight=0.09)


def test_its_object_is_seen() -> None:
    env = RobotEnv(task=PushAndReturn, obs="pixels")
    obs, _ = env.reset(seed=0)
    red, blue = obs["side"][..., 0].astype(int), obs["side"][..., 2].astype(int)
    assert (blue - red > 60).sum() > 30
    env.close()
