"""A Franka hand, moved from a thread of its own: its calls block for seconds, and an arm's control loop cannot wait.

The latest order wins: one that arrives while the fingers move waits for them, and replaces another that waits. A grasp
that fails is a warning in the log and an attribute, not an error: the next order may well succeed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from user_gym.core import Gripper
from user_gym.errors import LinkLost

_LOG = logging.getLogger(__name__)
_SAME = 0.02  # of the stroke: a smaller change of an order is none
_PAUSE = 0.02  # s of the wall's time between two looks at the width
_LOST = 5.0  # s without one: libfranka gives up after 1 s, which a busy network or computer may take


class Fingers(Protocol):
    """What both vendors' clients offer. Every call blocks until the fingers rest."""

    def move(self, width: float, speed: float) -> bool:
        """Go to a width (m) at a speed (m/s)."""
        ...

    def grasp(self, width: float, speed: float, force: float, epsilon_inner: float, epsilon_outer: float) -> bool:
        """Close until something is held; True if its width is as expected."""
        ...


class FrankaHand:
    """Orders go in, the newest width comes out; neither waits.

    Args:
        spec: the gripper.
        fingers: a vendor's connected client.
        read: the newest state of that client, with `width` (m) and `is_grasped`; may block until there is one.
        clock: s, monotonic.
    """

    def __init__(
        self, spec: Gripper, fingers: Fingers, read: Callable[[], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._spec, self._fingers, self._read, self._clock = spec, fingers, read, clock
        self._news = threading.Condition()
        self._wanted: float | None = None
        self._ordered: float | None = None
        self._closing = False
        self._busy = False
        self._width, self._grasped = 0.0, False
        self._gone = ""  # why the width is not known any more; "" where it is
        self.failure: str = ""  # why the last order did not succeed; "" where it did
        self._threads = [
            threading.Thread(target=self._move, name="franka-hand", daemon=True),  # a vendor's call cannot be interrupted
            threading.Thread(target=self._watch, name="franka-hand-width", daemon=True),
        ]

    @property
    def opening(self) -> float:
        """0 closed .. 1 open, as newest measured. Raises LinkLost where the hand does not tell it any more."""
        if self._gone:
            raise LinkLost(f"the hand's width is not known any more: {self._gone}; reset() builds the link anew")
        return min(max(self._width / self._spec.width, 0.0), 1.0)

    def open(self) -> None:
        """Read the width once and start the threads. Raises the vendor's exceptions."""
        self._look()
        for thread in self._threads:
            thread.start()

    def order(self, opening: float) -> None:
        """Open or close to `opening` (0 .. 1): 0 grasps whatever is there. Returns at once."""
        with self._news:
            if self._ordered is None:
                # What the hand already does needs no order: a second grasp while holding fails.
                self._ordered = opening if abs(opening - self.opening) < _SAME else None
                if opening < _SAME and self._grasped:
                    self._ordered = opening
            if self._ordered is not None and abs(opening - self._ordered) < _SAME:
                return
            self._ordered = self._wanted = opening
            self._news.notify_all()

    def wait(self, timeout: float) -> bool:
        """Whether the fingers came to rest within so many s of the wall's time."""
        with self._news:
            return self._news.wait_for(lambda: not self._busy and self._wanted is None, timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Start no more orders. An order under way goes on in the hand itself; the threads end with it."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(timeout)

    def _move(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closing or self._wanted is not None)
                if self._closing or self._wanted is None:
                    return
                opening, self._wanted, self._busy = self._wanted, None, True
            failure = self._go(opening)
            with self._news:
                self._busy, self.failure = False, failure
                self._news.notify_all()

    def _go(self, opening: float) -> str:
        spec = self._spec
        try:
            if opening < _SAME:
                done = self._fingers.grasp(0.0, spec.speed, spec.force, 0.0, spec.width)
            else:
                done = self._fingers.move(opening * spec.width, spec.speed)
        except Exception as error:  # top of this thread's work; the vendors' exceptions have no common root
            _LOG.warning("the hand did not go to %.2f: %s", opening, error)
            return str(error)
        if not done:
            _LOG.warning("the hand did not get to %.2f; its fingers are %.4f m apart", opening, self._width)
            return f"the hand did not get to {opening:.2f}"
        return ""

    def _watch(self) -> None:
        seen = self._clock()
        while not self._closing:
            try:
                self._look()
                seen = self._clock()
            except Exception as error:  # top of this thread
                if self._closing:
                    return
                if self._clock() - seen > _LOST:
                    _LOG.warning("the hand's width is not known any more: %s", error)
                    self._gone = str(error) or type(error).__name__
                    return
            with self._news:
                self._news.wait_for(lambda: self._closing, _PAUSE)

    def _look(self) -> None:
        state = self._read()
        self._width, self._grasped = float(state.width), bool(state.is_grasped)
