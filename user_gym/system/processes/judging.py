"""Who rewards a robot of a run where its environment does not: what the plan names goes around that. It knows no reward."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import gymnasium

from user_gym.system.processes.callables import named
from user_gym.system.processes.journal import say
from user_gym.system.processes.plan import RULE, Plan


def _unheard(episode: int, success: bool) -> None:
    say(f"nobody keeps the verdict {'success' if success else 'failure'} on episode {episode}")


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a judge of one robot sits: what `Plan.judge` is told beside the environment and the reward."""

    number: int = 0
    """of the robot among those of the plan: judges that open a port open one each"""
    first_episode: int = 0
    """number of the first episode that it sees"""
    late: Callable[[int, bool], object] = _unheard
    """takes (episode, success) of a verdict on an episode that is over; from any thread, and never blocks"""
    shown: Callable[[str], object] = say
    """takes the address at which a person gives verdicts"""


def judged(env: gymnasium.Env[Any, Any], plan: Plan, seat: Seat) -> AbstractContextManager[gymnasium.Env[Any, Any]] | None:
    """The environment with the plan's reward, once it is entered, which opens what judges; None: it rewards itself.

    Raises BadOption, UnknownName, WrongRun, before anything is opened, where nobody judges so.
    """
    return None if plan.reward == RULE else named(plan.judge)(env, plan.reward, seat)
