"""One arm of many, on a thread of its own: its waits and its faults are nobody else's. It knows no other arm.

Whatever the arm does that takes time (connecting, a step, a reset, a picture) happens on the row's thread, one thing after
another; the caller gets a future at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from user_gym.core import Obs
from user_gym.env import RobotEnv
from user_gym.errors import Busy, Halted, NoRobot, RobotFault

ATTENTION = 0.25  # s between two signs of life to an arm that waits for others
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What a step or a reset of one arm led to. A fault is a truncation, and `info["fault"]` says which."""

    obs: Obs
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class Row:
    """A single environment whose RobotFaults end its episode and nothing else.

    Args:
        number: of the arm, for messages.
        env: the arm's; it is used on the row's thread only, from the first call on.
        steps: of an episode.
        retry: s between two attempts to bring back an arm that is down; the first attempt comes at once.
        max_faults: so many faults in a row, with no good step between them, and the arm is given up until it is reset by name;
            so it is at once where a person stopped it.
    """

    def __init__(self, number: int, env: RobotEnv, steps: int, retry: float, max_faults: int) -> None:
        self._arm = env
        self.env = TimeLimit(env, steps)
        self.over = False  # its episode ended; to be read when nothing is under way
        self.fault = ""  # what keeps the arm from moving; "": nothing
        self._number, self._retry, self._max_faults = number, retry, max_faults
        self._faults, self._next_attempt = 0, 0.0
        self._obs: Obs | None = None
        self._time = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"user-gym arm {number}")  # it starts with the first call
        self._closing = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether the arm is down and was given up."""
        return bool(self.fault) and self._faults >= self._max_faults

    def reset(self, seed: int | None, options: Mapping[str, Any]) -> Future[Outcome]:
        """Begin an episode because the caller wants it. Raises RobotFault if the arm never was there before."""
        return self._thread.submit(self._reset, seed, options)

    def restart(self, until_back: bool) -> Future[Outcome]:
        """Begin the next episode. An arm that is down is tried once, if it is time; or until it is back or lost."""
        return self._thread.submit(self._restart, until_back)

    def step(self, action: np.ndarray, same_step: bool, until_back: bool) -> Future[Outcome]:
        """Step; with `same_step`, an arm whose episode ended restarts before the answer. An arm that is down is truncated."""
        return self._thread.submit(self._step, action, same_step, until_back)

    def follow(self) -> Future[Outcome | None]:
        """After a step: if that ended an episode, the next one's beginning, until it is back or lost; else None."""
        return self._thread.submit(lambda: self._restart(True) if self.over else None)

    def attend(self) -> None:
        """Nothing is asked of the arm for now, on purpose. What is wrong with it, its next step will say."""
        if not self.fault and not self._closing.is_set():
            self._thread.submit(self._attend)

    def ask(self, question: Callable[[gymnasium.Env[Obs, np.ndarray]], T]) -> Future[T]:
        """Anything else of the environment, when what is under way is done."""
        return self._thread.submit(question, self.env)

    def close(self) -> Future[None]:
        """Stop the arm after what is under way, and let go of it."""
        self._closing.set()
        done = self._thread.submit(self.env.close)
        self._thread.shutdown(wait=False)
        return done

    def _reset(self, seed: int | None, options: Mapping[str, Any]) -> Outcome:
        self._faults = 0
        outcome = self._begin(seed, options)
        self.over = False  # a reset tells of no truncation: of an arm that is down, the next step is one
        return outcome

    def _begin(self, seed: int | None, options: Mapping[str, Any]) -> Outcome:
        try:
            obs, info = self.env.reset(seed=seed, options=dict(options))
        except (RobotFault, NoRobot, Busy) as fault:  # the last two: somebody else took it, or its entry is gone
            if self._obs is None:
                raise
            return self._down(fault)
        self._obs, self.fault, self._time = obs, "", info["time"]
        return Outcome(obs, 0.0, False, False, info)

    def _attend(self) -> None:
        try:
            self._arm.attend()
        except RobotFault as fault:
            _log.warning("arm %d: %s", self._number, fault)

    def _restart(self, until_back: bool) -> Outcome:
        outcome = self._attempt(until_back)
        while until_back and self.fault and not self.lost and not self._closing.is_set():
            outcome = self._attempt(True)
        self.over = outcome.truncated
        return outcome

    def _attempt(self, wait: bool) -> Outcome:
        """Begin an episode, unless the arm is lost, or down and it is too early for another attempt."""
        pause = self._next_attempt - monotonic() if self.fault and not self.lost else 0.0
        if wait and pause > 0:
            self._closing.wait(pause)
            pause = 0.0
        return self._still_down() if pause > 0 or self.lost or self._closing.is_set() else self._begin(None, {})

    def _step(self, action: np.ndarray, same_step: bool, until_back: bool) -> Outcome:
        if self.fault:
            ended = self._still_down()
        else:
            try:
                obs, reward, terminated, truncated, info = self.env.step(action)
                self._obs, self._faults, self._time = obs, 0, info["time"]
                ended = Outcome(obs, float(reward), terminated, truncated, info)
            except RobotFault as fault:
                ended = self._down(fault)
        self.over = ended.terminated or ended.truncated
        if not (self.over and same_step):
            return ended
        begun = self._restart(until_back)
        return ended._replace(obs=begun.obs, info={"final_obs": ended.obs, "final_info": ended.info, **begun.info})

    def _down(self, fault: Exception) -> Outcome:
        self.fault = f"{type(fault).__name__}: {fault}"
        self._next_attempt = monotonic() + self._retry * (self._faults > 0)
        self._faults = self._max_faults if isinstance(fault, Halted) else self._faults + 1
        _log.warning("arm %d %s: %s", self._number, "is given up" if self.lost else "is down", self.fault)
        return self._still_down()

    def _still_down(self) -> Outcome:
        assert self._obs is not None  # an arm that was never there raised
        info = {"is_success": False, "is_intervention": False, "time": self._time, "fault": self.fault}
        return Outcome({key: value.copy() for key, value in self._obs.items()}, 0.0, False, True, info)
