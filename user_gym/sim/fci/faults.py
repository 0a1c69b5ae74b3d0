"""What may go wrong with an FCI twin, on demand. Random faults are drawn from a seed and count in the twin's own ticks."""

from __future__ import annotations

from collections import deque

import numpy as np

from user_gym.errors import BadOption

MAX_DELAY = 1000  # ticks


class Faults:
    """The link between client and arm, and what is switched off."""

    def __init__(self) -> None:
        self.heal()

    def heal(self) -> None:
        """End all."""
        self.dead = False
        self._share, self._delay = 0.0, 0
        self._rng = np.random.default_rng(0)
        self._under_way: deque[np.void | None] = deque()

    def lose(self, share: float, seed: int = 0) -> None:
        """From now on this share of commands, 0 .. 1, never arrives. Raises BadOption."""
        if not (isinstance(share, int | float) and 0.0 <= share <= 1.0):
            raise BadOption("share", share, "0 .. 1")
        self._share, self._rng = float(share), np.random.default_rng(seed)

    def delay(self, ticks: int) -> None:
        """From now on commands arrive so many ticks later. Raises BadOption."""
        if not isinstance(ticks, int) or not 0 <= ticks <= MAX_DELAY:
            raise BadOption("ticks", ticks, f"a whole number, 0 .. {MAX_DELAY}")
        self._delay = ticks
        self._under_way.clear()

    def begin(self) -> None:
        """A motion begins: what is still under way is of another one."""
        self._under_way.clear()

    def carry(self, command: np.void | None) -> np.void | None:
        """The command that arrives in the cycle in which this one was sent."""
        if self._share and command is not None and self._rng.random() < self._share:
            command = None
        if not self._delay:
            return command
        self._under_way.append(command)
        return self._under_way.popleft() if len(self._under_way) > self._delay else None
