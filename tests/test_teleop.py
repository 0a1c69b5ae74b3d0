"""Several hands at one robot, around the real environment."""

import gymnasium as gym
import numpy as np
import pytest
from test_wrappers import ID, POLICY, Hand

from user_gym.core import Teleop, TeleopOrder
from user_gym.errors import BadOption, MissingSystem
from user_gym.tasks.expert import PegInsertExpert
from user_gym.teleop import FirstActive
from user_gym.wrappers import Intervention

LEFT, RIGHT = np.full(6, -0.5, np.float32), np.full(6, 0.5, np.float32)


def both(first, second):
    hands = Hand(first), Hand(second)
    env = Intervention(gym.make(ID), FirstActive({"keyboard": hands[0], "spacemouse": hands[1]}))
    env.reset(seed=0)
    result = env.step(POLICY)
    env.close()
    return result, hands


@pytest.mark.parametrize(
    ("first", "second", "acts", "source"),
    [
        (True, True, LEFT, "keyboard"),
        (True, False, LEFT, "keyboard"),
        (False, True, RIGHT, "spacemouse"),
        (False, False, None, None),
    ],
)
def test_the_first_that_is_active_acts_and_is_named(first, second, acts, source) -> None:
    (_, _, _, _, info), _ = both(TeleopOrder(LEFT, active=first), TeleopOrder(RIGHT, active=second))
    assert info["is_intervention"] is (acts is not None)
    assert info.get("intervention_source") == source
    if acts is not None:
        assert np.array_equal(info["intervene_action"], acts)


def test_everybodys_verdict_counts_and_the_first_ones_before_others() -> None:
    (_, reward, terminated, _, info), _ = both(TeleopOrder(LEFT, active=True), TeleopOrder(RIGHT, False, success=True))
    assert (reward, terminated, info["is_success"]) == (1.0, True, True)
    (_, reward, terminated, _, _), _ = both(TeleopOrder(LEFT, False, success=False), TeleopOrder(RIGHT, True, success=True))
    assert (reward, terminated) == (0.0, True)
    ends = TeleopOrder(LEFT, active=True, terminate=True), TeleopOrder(RIGHT, active=False, rerecord=True)
    (_, _, _, truncated, info), _ = both(*ends)
    assert (truncated, info["terminate_episode"], info["rerecord_episode"]) == (True, True, True)


def test_all_are_connected_told_of_the_episode_read_and_closed() -> None:
    _, hands = both(TeleopOrder(LEFT, active=True), TeleopOrder(RIGHT, active=True))
    for hand in hands:
        assert hand.log[:3] == ["connect", "reset", 0.0]
        assert hand.log[-1] == "close"


def test_where_one_does_not_open_those_before_it_are_closed_again() -> None:
    class Missing(Hand):
        def connect(self):
            raise MissingSystem("no terminal")

    hand, never = Hand(), Hand()
    teleop = FirstActive({"hand": hand, "keyboard": Missing(), "later": never})
    assert isinstance(teleop, Teleop)
    with pytest.raises(MissingSystem, match="no terminal"):
        teleop.connect()
    assert hand.log == ["connect", "close"]
    assert never.log == []


def test_one_that_fails_to_close_leaves_no_other_open() -> None:
    class Stuck(Hand):
        def close(self):
            raise OSError("stuck")

    hand = Hand()
    with pytest.raises(OSError, match="stuck"):
        FirstActive({"a": hand, "b": Stuck(), "c": hand}).close()
    assert hand.log == ["close", "close"]


def test_a_person_overrides_the_scripted_expert() -> None:
    env = gym.make(ID)
    hand = Hand(TeleopOrder(LEFT, active=True))
    env = Intervention(env, FirstActive({"hand": hand, "expert": PegInsertExpert(env.unwrapped.task)}))
    env.reset(seed=1)
    assert env.step(POLICY)[4]["intervention_source"] == "hand"
    assert env.step(POLICY)[4]["intervention_source"] == "expert"
    env.close()


def test_nobody_is_refused() -> None:
    with pytest.raises(BadOption, match="at least one"):
        FirstActive({})
