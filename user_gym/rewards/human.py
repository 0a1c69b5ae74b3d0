"""A person's verdicts as a reward: whenever they come, and nothing waits for them. It knows no page and no storage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from user_gym.core import RewardSignal, RobotState, Scene, Teleop, whole
from user_gym.errors import BadOption

_log = logging.getLogger(__name__)


def _unheard(episode: int, success: bool) -> None:
    """Where late verdicts go that nobody wants."""
    _log.warning("the verdict %s on episode %d came when it was over, and nobody keeps it", _word(success), episode)


class Human:
    """A Reward: 1 and success, or 0 and failure, at the step after the person said so; silent at all others.

    Args:
        teleop: a device whose verdicts count and whose motions do not; None: `tell` alone.
        late: takes (episode, success) of verdicts on episodes that are over, such as `system.Verdicts.tell`. It never blocks.
        first_episode: number of the first episode.
    """

    def __init__(
        self, teleop: Teleop | None = None, late: Callable[[int, bool], object] = _unheard, first_episode: int = 0
    ) -> None:
        self._teleop, self._late = teleop, late
        self._next = whole("first_episode", first_episode, 0)
        self._verdict: bool | None = None  # on the newest episode; no step has had it yet
        self._lock = Lock()
        self._connected = False

    @property
    def episode(self) -> int:
        """Number of the newest episode; -1 before the first."""
        return self._next - 1

    def tell(self, success: bool, episode: int | None = None) -> int:
        """A verdict, from any thread: of the next step where the episode is running, else late.

        Args:
            success: or failure.
            episode: None: the newest one.

        Returns:
            The number of the episode.

        Raises:
            BadOption: there is no such episode.
        """
        with self._lock:
            newest = self.episode
            known = f"0 .. {newest}" if newest >= 0 else "none yet: wait for the first reset"
            number = newest if episode is None else whole("episode", episode, 0, known)
            if not 0 <= number <= newest:
                raise BadOption("episode", number, known)
            if number == newest:
                self._verdict = bool(success)  # it is the next step's, or the reset's that comes before one
                return number
        self._late(number, bool(success))
        return number

    def reset(self, state: RobotState) -> None:
        """As `core.EpisodicReward.reset`; what was said since the last step is of the episode that is over."""
        if self._teleop is not None:
            if not self._connected:
                self._teleop.connect()
                self._connected = True
            self._hear(state)
            self._teleop.reset()
        with self._lock:
            over, verdict = self.episode, self._verdict
            self._next, self._verdict = self._next + 1, None
        if verdict is not None:
            self._late(over, verdict)

    def __call__(self, obs: Mapping[str, NDArray[Any]], state: RobotState, scene: Scene, rule: RewardSignal, /) -> RewardSignal:
        """As `core.Reward`."""
        if self._teleop is not None:
            self._hear(state)
        with self._lock:
            verdict, self._verdict = self._verdict, None
        if verdict is None:
            return RewardSignal(0.0, None, "human")
        return RewardSignal(float(verdict), verdict, "human", failure=not verdict)

    def close(self) -> None:
        """As `core.EpisodicReward.close`; a verdict that no step has had is late."""
        with self._lock:
            verdict, self._verdict = self._verdict, None
        if verdict is not None:
            self._late(self.episode, verdict)
        if self._teleop is not None:
            self._teleop.close()
            self._connected = False

    def _hear(self, state: RobotState) -> None:
        assert self._teleop is not None
        said = self._teleop.read(state).success
        if said is not None:
            with self._lock:
                self._verdict = bool(said)


def _word(success: bool) -> str:
    return "success" if success else "failure"
