"""A human takes over, another judge rewards, episodes are recorded: around the real environment."""

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.core import RewardSignal, TeleopOrder
from user_gym.errors import BadAction, NotReset
from user_gym.system import Buffer, ChunkBuilder, check
from user_gym.tasks.expert import PegInsertExpert
from user_gym.wrappers import Intervention, Record, RewardFrom

ID = "User/PegInsert-sim-v0"
HUMAN = np.array([0.5, 0.0, -0.5, 0.0, 0.0, 0.2], np.float32)
POLICY = np.array([-0.5, 0.0, 0.0, 0.0, 0.0, 0.0], np.float32)


class Hand:
    """A teleop that does as it is told: a list of orders, then nothing."""

    def __init__(self, *orders):
        self.orders, self.log = list(orders), []

    def connect(self):
        self.log.append("connect")

    def reset(self):
        self.log.append("reset")

    def read(self, state):
        self.log.append(float(state.time))
        return self.orders.pop(0) if self.orders else TeleopOrder(np.zeros(6, np.float32), active=False)

    def close(self):
        self.log.append("close")


def taught(*orders, **options):
    hand = Hand(*orders)
    env = Intervention(gym.make(ID, **options), hand)
    env.reset(seed=0)
    return env, hand


def test_while_the_human_acts_the_policy_does_not() -> None:
    env, hand = taught(TeleopOrder(HUMAN, active=True))
    alone = gym.make(ID)
    alone.reset(seed=0)
    expected = alone.step(HUMAN)
    obs, _, _, _, info = env.step(POLICY)
    assert np.array_equal(obs["state"], expected[0]["state"])
    assert info["is_intervention"] is True
    assert np.array_equal(info["intervene_action"], HUMAN)
    assert np.array_equal(info["teleop_action"], HUMAN)
    assert np.array_equal(info["executed_action"], expected[4]["executed_action"])
    env.close()
    env.close()
    assert hand.log[:3] == ["connect", "reset", 0.0]
    assert hand.log[-1] == "close"


def test_while_the_human_only_watches_the_policy_acts_and_the_device_is_still_recorded() -> None:
    env, _ = taught(TeleopOrder(HUMAN, active=False))
    alone = gym.make(ID)
    alone.reset(seed=0)
    expected = alone.step(POLICY)
    obs, _, _, _, info = env.step(POLICY)
    assert np.array_equal(obs["state"], expected[0]["state"])
    assert info["is_intervention"] is False
    assert "intervene_action" not in info
    assert np.array_equal(info["teleop_action"], HUMAN)
    assert np.array_equal(info["executed_action"], expected[4]["executed_action"])


def test_what_was_executed_is_what_was_clamped_not_what_the_human_asked() -> None:
    asked = np.array([0, 0, 0, 1, 0, 0], np.float32)  # 0.1 rad of roll; the workspace allows 0.01
    env, _ = taught(TeleopOrder(asked, active=True))
    info = env.step(POLICY)[4]
    assert np.array_equal(info["intervene_action"], asked)
    assert info["executed_action"][3] == pytest.approx(0.1, abs=0.02)
    assert info["safety_clipped"] is True


@pytest.mark.parametrize("verdict", [True, False])
def test_the_humans_verdict_is_the_reward_and_ends_the_episode(verdict) -> None:
    env, _ = taught(TeleopOrder(HUMAN, active=False, success=verdict))
    _, reward, terminated, truncated, info = env.step(POLICY)
    assert (reward, terminated, truncated) == (float(verdict), True, False)
    assert type(reward) is float
    assert info["is_success"] is verdict
    assert info["reward_source"] == "human"


@pytest.mark.parametrize("wish", ["terminate", "rerecord"])
def test_the_human_can_end_an_episode_without_a_verdict(wish) -> None:
    env, _ = taught(TeleopOrder(HUMAN, active=False, **{wish: True}))
    _, reward, terminated, truncated, info = env.step(POLICY)
    assert (reward, terminated, truncated) == (0.0, False, True)  # nothing about the task: learners bootstrap
    assert info["terminate_episode"] is (wish == "terminate")
    assert info["rerecord_episode"] is (wish == "rerecord")
    assert "reward_source" not in info


def test_a_teleop_for_another_robot_is_refused() -> None:
    env, _ = taught(TeleopOrder(np.zeros(7, np.float32), active=True))
    with pytest.raises(BadAction, match=r"\(7,\).*teleop.*\(6,\)"):
        env.step(POLICY)


def test_the_expert_inserts_as_the_human() -> None:
    env = gym.make(ID)
    env = Intervention(env, PegInsertExpert(env.unwrapped.task))
    env.reset(seed=1)
    for _ in range(60):
        _, reward, terminated, _, info = env.step(POLICY)
        if terminated:
            break
    assert (reward, info["is_success"], info["is_intervention"]) == (1.0, True, True)


def judged(value, success):
    seen = []

    def reward(obs, state, scene, rule):
        seen.append((obs, state, scene))
        return RewardSignal(value, success, "classifier")

    env = RewardFrom(gym.make(ID), reward)
    env.reset(seed=0)
    return env, seen


@pytest.mark.parametrize("success", [None, True, False])
def test_another_judge_replaces_the_reward_and_says_who_it_is(success) -> None:
    env, seen = judged(np.float64(0.25), success)
    obs, reward, terminated, truncated, info = env.step(POLICY)
    assert reward == 0.25
    assert type(reward) is float
    assert info["reward_source"] == "classifier"
    assert (terminated, truncated) == (success is True, False)
    assert info["is_success"] is (success is True)
    assert seen[0][0] is obs
    assert seen[0][1] is env.unwrapped.state
    assert seen[0][2].names == ("board",)


def test_the_judges_no_overrules_the_rules_yes() -> None:
    rule = gym.make(ID)
    expert = PegInsertExpert(rule.unwrapped.task)
    env = RewardFrom(rule, lambda obs, state, scene, rule: RewardSignal(0.0, False, "strict human"))
    env.reset(seed=1)
    for _ in range(40):
        _, reward, terminated, _, info = env.step(expert.action(env.unwrapped.state))
        assert (reward, terminated, info["is_success"]) == (0.0, False, False)
    assert rule.unwrapped.task.judge(rule.unwrapped.state, rule.unwrapped.scene, np.zeros(0)).success


def test_the_scene_is_not_known_before_reset() -> None:
    with pytest.raises(NotReset):
        _ = gym.make(ID).unwrapped.scene


def recorder(*orders, **options):
    chunks = []
    env = Intervention(gym.make(ID, max_episode_steps=4), Hand(*orders))
    builder = ChunkBuilder("human", "franka-fr3", "PegInsert", "demo", max_seconds=0.2)
    return Record(env, builder, chunks.append, **options), chunks


def episode(env, steps=4):
    first, _ = env.reset(seed=0)
    seen = [first]
    for _ in range(steps):
        seen.append(env.step(POLICY)[0])
    return seen


def test_an_episode_is_recorded_as_it_was() -> None:
    env, chunks = recorder(TeleopOrder(HUMAN, active=True), version=lambda: 7)
    seen = episode(env)
    assert [len(c) for c in chunks] == [2, 2]
    for chunk in chunks:
        check(chunk)
    rows = np.concatenate([chunks[0].obs["state"], chunks[1].obs["state"][1:]])
    assert np.array_equal(rows, np.stack([obs["state"] for obs in seen]))
    assert chunks[0].is_intervention.tolist() == [True, False]
    assert chunks[1].truncated.tolist() == [False, True]
    assert chunks[0].policy_version.tolist() == [-1, 7]  # the first step was the human's
    assert chunks[0].action[0, 0] == pytest.approx(0.5, abs=1e-6)
    assert np.allclose(np.concatenate([c.time for c in chunks]), [0.1, 0.2, 0.3, 0.4])


def test_chunks_come_at_the_end_and_reach_a_storage() -> None:
    env, chunks = recorder()
    env.reset()
    for _ in range(4):
        assert not chunks
        env.step(POLICY)
    assert len(chunks) == 2
    with Buffer.open(":memory:") as buffer:
        for chunk in chunks:
            buffer.append(chunk)
        assert len(buffer) == 4


def test_an_episode_to_be_recorded_again_is_dropped_and_its_number_used_again() -> None:
    keep = TeleopOrder(HUMAN, active=False)
    env, chunks = recorder(keep, keep, TeleopOrder(HUMAN, active=False, rerecord=True))
    episode(env, 3)
    assert chunks == []
    episode(env)
    assert [(c.episode, c.sequence) for c in chunks] == [(0, 0), (0, 1)]
    episode(env)
    assert chunks[-1].episode == 1


@pytest.mark.parametrize("how", ["reset", "close"])
def test_an_episode_that_is_cut_short_is_recorded_as_far_as_it_went(how) -> None:
    env, chunks = recorder()
    episode(env, 3)
    getattr(env, how)()
    assert sum(len(c) for c in chunks) == 3
    assert not chunks[-1].truncated.any()
    env.close()
    assert len(chunks) == 2


def test_steps_after_the_end_belong_to_no_episode() -> None:
    env, chunks = recorder()
    episode(env)
    env.step(POLICY)
    env.close()
    assert sum(len(c) for c in chunks) == 4
