"""A person's verdicts reach the step that comes next, or the episode that they are of; judges combine."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.core import RewardSignal, TeleopOrder
from user_gym.errors import BadOption, Closed
from user_gym.rewards import FirstVerdict, Human, Sum, rule
from user_gym.wrappers import RewardFrom

ID = "User/PegInsert-sim-v0"
STILL = np.zeros(6, np.float32)
DOCS = Path(__file__).parents[2] / "docs"


class Buttons:
    """A teleop of which somebody presses a button now and then."""

    def __init__(self):
        self.pressed, self.log, self.open = [], [], False

    def connect(self):
        self.log.append("connect")
        self.open = True

    def reset(self):
        self.log.append("reset")
        self.pressed.clear()

    def read(self, state):
        if not self.open:
            raise Closed("connect it first")
        return TeleopOrder(STILL, active=True, success=self.pressed.pop(0) if self.pressed else None)

    def close(self):
        self.log.append("close")
        self.open = False


def judged(*rewards, **options):
    late = []
    human = Human(late=lambda episode, success: late.append((episode, success)), **options)
    env = RewardFrom(gym.make(ID, max_episode_steps=5), FirstVerdict([human, *rewards]))
    return env, human, late


def signal(value=0.0, success=None, source="other", failure=False):
    return lambda obs, state, scene, rule: RewardSignal(value, success, source, failure)


@pytest.mark.parametrize("success", [True, False])
def test_a_verdict_is_the_reward_of_the_next_step_and_ends_the_episode(success) -> None:
    env, human, late = judged(rule)
    env.reset(seed=0)
    assert env.step(STILL)[1:3] == (0.0, False)
    assert human.tell(success) == 0
    _, reward, terminated, truncated, info = env.step(STILL)
    assert (reward, terminated, truncated) == (float(success), True, False)
    assert (info["is_success"], info["reward_source"], info["rule_success"]) == (success, "human", False)
    env.close()
    assert not late


def test_without_a_verdict_the_next_judge_counts_and_a_person_alone_gives_nothing() -> None:
    env, _, _ = judged(signal(0.5, True, "classifier"))
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(STILL)
    assert (reward, terminated, info["reward_source"]) == (0.5, True, "classifier")
    env, _, _ = judged()
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(STILL)
    assert (reward, terminated, info["reward_source"], info["is_success"]) == (0.0, False, "human", False)


def test_a_verdict_between_two_episodes_is_of_the_one_that_is_over() -> None:
    env, human, late = judged(rule, first_episode=7)
    env.reset(seed=0)
    for _ in range(5):
        truncated = env.step(STILL)[3]
    assert truncated
    assert human.tell(True) == 7
    env.reset()
    assert late == [(7, True)]
    assert env.step(STILL)[1:3] == (0.0, False)  # and not of the next one as well
    assert human.tell(False, 7) == 7
    assert late == [(7, True), (7, False)]
    human.tell(True, 8)
    env.close()
    assert late[2:] == [(8, True)]  # no step came for it


@pytest.mark.parametrize("episode", [-1, 3, 1.5, True])
def test_a_verdict_on_no_episode_is_refused(episode) -> None:
    env, human, late = judged(rule)
    with pytest.raises(BadOption, match="none yet"):
        human.tell(True)
    env.reset(seed=0)
    with pytest.raises(BadOption, match=r"episode.*0 \.\. 0"):
        human.tell(True, episode)
    assert not late


def test_a_late_verdict_that_nobody_keeps_is_told_of(caplog) -> None:
    human = Human()
    env = RewardFrom(gym.make(ID), human)
    env.reset(seed=0)
    human.tell(True)
    env.reset()
    assert "success on episode 0" in caplog.text


@pytest.mark.parametrize("first", [0, 3])
def test_a_device_gives_verdicts_and_moves_nothing(first) -> None:
    buttons = Buttons()
    late = []
    env = RewardFrom(gym.make(ID), FirstVerdict([Human(buttons, lambda *told: late.append(told), first), rule]))
    env.reset(seed=0)
    buttons.pressed.append(True)
    _, reward, terminated, _, info = env.step(STILL)
    assert (reward, terminated, info["is_intervention"]) == (1.0, True, False)
    buttons.pressed.append(False)
    env.reset()
    assert late == [(first, False)]
    env.close()
    env.close()
    assert buttons.log == ["connect", "reset", "reset", "close", "close"]


def test_a_sum_adds_and_names_all_and_success_beats_failure() -> None:
    said = Sum([signal(0.25, None, "shape"), signal(1.0, True, "rule"), signal(0.0, False, "human", True)])
    assert said({}, None, None, RewardSignal(0.0, False, "rule")) == RewardSignal(1.25, True, "shape+rule+human", False)
    failed = Sum([signal(0.25, None, "shape"), signal(0.0, False, "human", True)])
    assert failed({}, None, None, RewardSignal(0.0, False, "rule")) == RewardSignal(0.25, False, "shape+human", True)
    assert Sum([signal(0.25)])({}, None, None, RewardSignal(0.0, True, "rule")).success is None


@pytest.mark.parametrize("several", [Sum, FirstVerdict])
def test_nobody_is_no_judge(several) -> None:
    with pytest.raises(BadOption, match="at least one"):
        several([])


def test_the_documented_program_runs_as_it_stands() -> None:
    program = re.search(r"```python\n(.*?)```", (DOCS / "rewards.md").read_text(), re.S)
    assert program
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program[1]], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
