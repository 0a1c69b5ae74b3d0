"""The rule as a reward, and rewards made of several others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from numpy.typing import NDArray

from user_gym.core import EpisodicReward, Reward, RewardSignal, RobotState, Scene
from user_gym.errors import BadOption

_Obs = Mapping[str, NDArray[Any]]


def rule(obs: _Obs, state: RobotState, scene: Scene, rule: RewardSignal, /) -> RewardSignal:
    """What the environment's own judge says: a Reward."""
    return rule


class _Several:
    """Rewards that are told of episodes together.

    Args:
        rewards: the one that matters most first.

    Raises:
        BadOption: there are none.
    """

    def __init__(self, rewards: Sequence[Reward]) -> None:
        if not rewards:
            raise BadOption("rewards", list(rewards), "at least one")
        self._rewards = tuple(rewards)

    def reset(self, state: RobotState) -> None:
        """As `core.EpisodicReward.reset`, for all."""
        for reward in self._rewards:
            if isinstance(reward, EpisodicReward):
                reward.reset(state)

    def close(self) -> None:
        """As `core.EpisodicReward.close`, whatever another one raises."""
        with ExitStack() as stack:
            for reward in self._rewards:
                if isinstance(reward, EpisodicReward):
                    stack.callback(reward.close)


class FirstVerdict(_Several):
    """The first that says success or not decides all of a step; where none does, the step is no success and gives 0."""

    def __call__(self, obs: _Obs, state: RobotState, scene: Scene, rule: RewardSignal, /) -> RewardSignal:
        """As `core.Reward`. All are asked, so that no old verdict waits in one."""
        signals = [reward(obs, state, scene, rule) for reward in self._rewards]
        silent = RewardSignal(0.0, False, signals[-1].source)
        return next((signal for signal in signals if signal.success is not None), silent)


class Sum(_Several):
    """Rewards add up. It is a success where one says so, and a failure where one says so and none says success."""

    def __call__(self, obs: _Obs, state: RobotState, scene: Scene, rule: RewardSignal, /) -> RewardSignal:
        """As `core.Reward`; the source names all of them."""
        signals = [reward(obs, state, scene, rule) for reward in self._rewards]
        said = [bool(signal.success) for signal in signals if signal.success is not None]
        success = any(said) if said else None
        failure = not success and any(bool(signal.failure) for signal in signals)
        return RewardSignal(
            sum(float(signal.value) for signal in signals), success, "+".join(signal.source for signal in signals), failure
        )
