"""How much a transfer may take, from how long steps last beside it and without it. It has no clock and moves no byte."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from user_gym.core import real, whole
from user_gym.system.cap.copier import ascending
from user_gym.system.cap.estimate import Slowdown, slowdown

LOOK = 5  # steps beside the transfer between two looks at them; a gross breach is seen by the first look
CERTAIN = 3.0  # standard errors
PRECISE = 1 / 8  # of the budget: a figure with no larger error decides by itself
PATIENCE = 16  # rounds' worth of steps after which it decides whatever its error
REFERENCE = 4  # rounds' worth of steps alone that are remembered, and that noise can make a rest last at most
ROOM = 0.6  # of the budget: below it the next level is tried; between it and the budget the level stays (hysteresis)
STALE = 20  # rounds' worth of steps beside the transfer without one alone: then the reference is taken anew
FIRST, LONGEST = 8, 256  # rounds that a level stays barred after its first breach, and after many: each doubles it


class Governed(NamedTuple):
    """Where a governor stands."""

    limit: int  # 0 while it takes its reference
    slowdown: float  # relative, of the last judgement; nan before the first
    error: float  # one standard error of it
    within: bool  # whether the last judgement was within the budget; only the lowest level stays while it is not
    rounds: int
    changes: int  # of the level, since the start


class Governor:
    """Adapts a copier's limit so that steps beside a transfer are at most `budget` slower than steps alone.

    The caller reports the duration of each step and whether a transfer ran beside it, and gives `limit` to the copier after
    each report. The governor begins at 0, a hold: it needs a reference of steps alone. It then judges the steps beside the
    transfer in rounds of `samples`, or as many more as noise asks for:

    - slower than the budget: lower at once. Back to the level before, if this one was only tried; else at least one level,
      and further where the breach is large. The level that broke is barred, for twice as long each time: changes become
      rare whatever the noise, and a plant that got better is noticed after at most 256 rounds;
    - below 0.6 of the budget: one level up, unless that is barred;
    - between: it stays.

    A reference that is old is taken anew, before a breach is believed as well: the limit is 0 meanwhile. It never guesses
    that the budget is kept: at the lowest level with a breach, `state().within` is False, and a path without multiprocessors is
    the cure. One owner.

    Args:
        levels: limits to choose from, ascending; a copier's `levels`.
        budget: relative slowdown that is allowed, > 0; 0.05 is five per cent.
        samples: steps of a reference and of a round, 5 or more.
    """

    def __init__(self, levels: Sequence[int], budget: float = 0.05, samples: int = 15) -> None:
        self.levels = ascending(levels)
        self.budget = real("budget", budget, sys.float_info.min, sys.float_info.max, "a relative slowdown, finite and > 0")
        self.samples = whole("samples", samples, LOOK)
        self._index = 0
        self._alone: deque[float] = deque(maxlen=REFERENCE * self.samples)
        self._beside: list[float] = []
        self._resting = True
        self._trying = False  # the level was just raised and has kept no round yet
        self._skip = False  # the first step after a change ran partly before it
        self._since_alone = 0  # steps beside the transfer since the last one alone
        self._round = self._changes = self._kept = 0
        self._until = [0] * len(self.levels)  # round in which the level's bar ends
        self._bar = [0] * len(self.levels)  # rounds, length of its last bar
        self._last = Slowdown(math.nan, math.nan)

    @property
    def limit(self) -> int:
        """What the copier may take now, in its unit; 0 holds the transfer."""
        return 0 if self._resting else self.levels[self._index]

    def state(self) -> Governed:
        """Where it stands, for people and metrics."""
        within = not self._last.value > self.budget
        return Governed(self.limit, *self._last, within, self._round, self._changes)

    def observe(self, duration: float, beside: bool) -> int:
        """One step took so many s, beside a transfer or alone; returns the limit from now on."""
        real("duration", duration, sys.float_info.min, sys.float_info.max, "s, finite and > 0")
        if beside:
            self._observe_beside(duration)
        else:
            self._observe_alone(duration)
        return self.limit

    def _observe_alone(self, duration: float) -> None:
        self._alone.append(duration)
        self._since_alone = 0
        if self._resting and self._has_reference():
            self._resting = False
            if len(self._beside) >= LOOK:  # the breach that made it rest, seen against a new reference
                self._last = slowdown(self._beside, self._alone)
                if self._last.value > self.budget:
                    self._lower()
            self._begin_round()

    def _has_reference(self) -> bool:
        steps = len(self._alone)
        if steps < self.samples or steps == self._alone.maxlen:
            return steps >= self.samples
        return slowdown(self._alone, self._alone).error <= PRECISE * self.budget

    def _observe_beside(self, duration: float) -> None:
        if self._resting:
            return  # a piece that was under way
        if self._skip:
            self._skip = False
            return
        self._since_alone += 1
        self._beside.append(duration)
        if len(self._beside) % LOOK == 0:
            self._judge()

    def _judge(self) -> None:
        steps = len(self._beside)
        value, error = found = slowdown(self._beside, self._alone)
        low, high = value - CERTAIN * error, value + CERTAIN * error
        room = ROOM * self.budget
        clear = error <= PRECISE * self.budget or high <= room or room < low <= high <= self.budget
        decided = steps >= (self.samples if clear else PATIENCE * self.samples)
        if low > self.budget or (decided and value > self.budget):
            self._last = found
            self._breach()
        elif decided:
            self._last = found
            self._keep(value <= room)

    def _breach(self) -> None:
        if self._index > 0 and self._since_alone > self.samples:
            self._rest()  # did the transfer slow the steps down, or are the steps themselves other ones by now?
        else:
            self._lower()
            self._begin_round()

    def _lower(self) -> None:
        """Down, and bar the level."""
        self._bar[self._index] = min(LONGEST, max(FIRST, 2 * self._bar[self._index]))
        self._until[self._index] = self._round + self._bar[self._index]
        most = self.levels[self._index] * self.budget / self._last.value
        below = sum(level <= most for level in self.levels[: self._index]) - 1
        self._go(max(0, self._index - 1 if self._trying else below))
        self._trying = False

    def _keep(self, room: bool) -> None:
        """A round within the budget."""
        self._trying = False
        self._kept += 1
        if self._bar[self._index] and self._kept >= self._bar[self._index]:
            self._bar[self._index] //= 2  # it did well for as long as it was barred
            self._kept = 0
        above = self._index + 1
        if room and above < len(self.levels) and self._until[above] <= self._round:
            self._go(above)
            self._trying = True
        self._begin_round()
        if self._since_alone >= STALE * self.samples:
            self._rest()

    def _rest(self) -> None:
        """Hold the transfer until there is a new reference. The steps that made it doubt the old one are kept."""
        self._alone.clear()
        self._resting = True

    def _go(self, index: int) -> None:
        if index != self._index:
            self._index = index
            self._changes += 1
            self._kept = 0

    def _begin_round(self) -> None:
        self._beside.clear()
        self._round += 1
        self._skip = True
