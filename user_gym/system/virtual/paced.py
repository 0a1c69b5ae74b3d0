"""An environment that takes as long as a robot would: declared seconds for each step and reset, on any clock."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import gymnasium

from user_gym.core import real
from user_gym.system.clock import Clock

_REMEMBERED = 100_000  # steps whose lateness is kept


class Paced(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Steps end on a grid of `period` s that begins with the reset's end, as those of a robot that keeps its own time.

    A step that begins a whole period late or more begins a new grid: so the robot stood still, waiting for its orders.

    Args:
        env: takes no time of its own worth mentioning, or less than the period.
        clock: to wait on.
        period: s from one step to the next.
        reset_time: s that a reset takes.
        resets_until: when the first reset ends, s on the clock, of a run that goes on in the middle of one. None: as others.

    Attributes:
        between: an episode has ended, and no reset has begun.
        steps: taken.
        episodes: ended by the environment.
        moved: s in steps and resets.
        resetting: when the reset that goes on ends, s on the clock; None: no reset goes on.
        lateness: s, by how much each step began after the one before it had ended; of the newest 100,000.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        clock: Clock,
        *,
        period: float,
        reset_time: float = 0.0,
        resets_until: float | None = None,
    ) -> None:
        super().__init__(env)
        self._clock = clock
        self._period = real("period", period, 1e-9, math.inf, "s > 0")
        self._reset_time = real("reset_time", reset_time, 0.0, math.inf, "s, 0 or more")
        self._first = resets_until
        self._due = math.nan
        self.steps, self.episodes, self.moved = 0, 0, 0.0
        self.resetting: float | None = None
        self.between = False
        self.lateness: deque[float] = deque(maxlen=_REMEMBERED)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As of the environment, `reset_time` s later."""
        began = self._clock.now()
        self._due = began + self._reset_time if self._first is None else self._first
        self._first, self.resetting, self.between = None, self._due, False
        result = super().reset(seed=seed, options=options)
        self._clock.sleep_until(self._due)
        self.resetting = None
        self.moved += self._clock.now() - began
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As of the environment, at the period's end."""
        began = self._clock.now()
        late = began - self._due
        self.lateness.append(late)
        self._due = (self._due if late < self._period else began) + self._period
        result = super().step(action)
        self._clock.sleep_until(self._due)
        self.steps += 1
        self.between = bool(result[2] or result[3])
        self.episodes += self.between
        self.moved += self._clock.now() - began
        return result
