"""Steps beside a copier: times them, tells the governor, sets the limit. It knows no step and no arena."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from user_gym.system.cap.copier import Copier
from user_gym.system.cap.governor import Governor


class Watch:
    """Put each step of inference or learning into `with watch.step():`, and the copier keeps to the governor's budget.

    A step counts as beside the transfer if bytes moved at any moment of it. A step on a GPU ends when the GPU is done:
    synchronise inside. One owner; the copier may be at work in another thread.

    Args:
        copier: whose limit is set.
        governor: made for the copier's levels.
        clock: s, monotonic.
    """

    def __init__(self, copier: Copier[Any], governor: Governor, clock: Callable[[], float] = time.perf_counter) -> None:
        self._copier, self._governor, self._clock = copier, governor, clock
        copier.limit = governor.limit

    @contextmanager
    def step(self) -> Iterator[None]:
        """One step. A step that raises is not counted."""
        busy, copied, began = self._copier.busy, self._copier.copied, self._clock()
        yield
        duration = self._clock() - began
        beside = busy or self._copier.busy or self._copier.copied != copied
        self._copier.limit = self._governor.observe(duration, beside)
