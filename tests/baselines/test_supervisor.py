from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from baselines.config import Setting
from baselines.episodes import hand, make
from baselines.supervisor import Supervisor
from user_gym.core import TeleopOrder
from user_gym.errors import BadOption
from user_gym.tasks.scripted import ScriptedHand
from user_gym.wrappers import Intervention

TASK = SimpleNamespace(name="PegInsert", goal=np.zeros(6), action_scale=np.ones(6), moves_gripper=False)
PATIENCE = 3


class Hand(ScriptedHand):
    """Counts how often it began anew."""

    begun = 0

    def __init__(self):
        super().__init__(np.ones(6))

    def reset(self):
        self.begun += 1

    def move(self, state):
        return np.full(6, 0.5)


def orders(distances, hand=None, **options) -> list[TeleopOrder]:
    """What the supervisor says of a policy that is so far from the goal, period by period."""
    supervisor = Supervisor(TASK, hand or Hand(), PATIENCE, **options)
    return [supervisor.read(SimpleNamespace(tcp=np.array([d, 0, 0, 0, 0, 0]))) for d in distances]


def acting(distances) -> list[bool]:
    return [order.active for order in orders(distances)]


def test_a_policy_that_gets_nearer_is_left_alone():
    assert not any(acting(np.arange(5.0, 0.0, -0.1)))


def test_one_that_rests_or_creeps_or_leaves_is_helped_after_the_patience():
    for away in ([0.0] * 6, [-0.01 * i for i in range(6)], [float(i) for i in range(6)]):
        assert acting([2.0 + d for d in away]) == [False] * PATIENCE + [True] * (6 - PATIENCE)


def test_help_ends_where_the_policy_is_nearer_than_it_ever_came_by_itself():
    assert acting([2.0] * 4 + [3.0, 2.9, 2.8, 2.7, 2.5, 1.8, 1.7, 1.6]) == [False] * 3 + [True] * 7 + [False] * 2
    again = [False] * 3 + [True]
    assert acting([2.0] * 4 + [1.7] * 8) == [*again, *[True] * 4, *again]  # not at once, and then it is watched as before


def test_help_lasts_as_long_as_it_is_to_however_near_it_comes():
    away = [2.0] * 4 + [1.5 - 0.1 * i for i in range(12)]
    for held in (5, 9):
        helped = [order.active for order in orders(away, held=held)]
        assert helped == [False] * 3 + [True] * held + [False] * (len(away) - 3 - held)


def test_the_hand_begins_anew_at_each_takeover_and_moves_only_then():
    hand = Hand()
    said = orders([2.0] * 4 + [1.7] * 8, hand)
    assert hand.begun == 1 + 2
    assert all((order.action == (0.5 if order.active else 0.0)).all() for order in said)


def test_a_new_episode_is_watched_from_its_start():
    supervisor = Supervisor(TASK, Hand(), PATIENCE)
    at = lambda d: supervisor.read(SimpleNamespace(tcp=np.full(6, d))).active  # noqa: E731
    assert [at(1.0) for _ in range(4)][-1]
    supervisor.reset()
    assert not at(9.0)


def test_a_task_whose_progress_cannot_be_seen_and_no_patience_are_refused():
    with pytest.raises(
        BadOption, match=r"task 'PickPlace'; allowed: one whose progress can be seen: Charger, PegInsert, TableCleanup"
    ):
        Supervisor(SimpleNamespace(name="PickPlace"), Hand(), 3)
    with pytest.raises(BadOption, match="patience 0"):
        Supervisor(TASK, Hand(), 0)
    with pytest.raises(BadOption, match="held 0"):
        Supervisor(TASK, Hand(), 1, held=0)


def test_one_who_clears_the_table_as_the_expert_does_is_left_alone_to_the_end():
    env = make(Setting(env_id="User/TableCleanup-sim-v0"))
    expert, core = hand(env, 0.05), env.unwrapped
    supervisor = Supervisor(core.task, hand(env), 25)
    env.reset(seed=0)
    over, info = False, {}
    while not over:
        assert not supervisor.read(core.state).active
        *_, terminated, truncated, info = env.step(expert.action(core.state))
        over = terminated or truncated
    env.close()
    assert info["is_success"]


def test_a_policy_that_goes_straight_down_inserts_the_peg_with_help():
    """By itself it never does: benchmarks/results/learning.md."""
    inner = make(Setting())
    env = Intervention(inner, Supervisor(inner.unwrapped.task, hand(inner), 8))
    env.reset(seed=3)
    over, helped = False, []
    while not over:
        *_, terminated, truncated, info = env.step(np.array([0, 0, -1, 0, 0, 0], np.float32))
        over = terminated or truncated
        helped.append(info["is_intervention"])
    env.close()
    assert info["is_success"]
    assert not any(helped[:7])
    assert 0.2 < np.mean(helped) < 0.9
