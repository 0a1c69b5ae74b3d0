"""History between two threads: a bounded queue that loses nothing and makes the faster side wait. It knows no chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from user_gym.core import whole
from user_gym.errors import Closed
from user_gym.system.clock import WALL, Clock

Item = TypeVar("Item")


class ChannelStats(NamedTuple):
    """What a channel has seen so far."""

    depth: int  # items queued now
    put_waited: float  # s that putters waited, all together


class Channel(Generic[Item]):
    """Bounded first-in first-out queue with back-pressure. Thread-safe; `close` may come from either end at any moment.

    After `close`, putters get Closed at once, also those that wait; getters still get what is queued, then Closed.

    Args:
        capacity: most items queued.
        clock: to wait on.
    """

    def __init__(self, capacity: int, clock: Clock = WALL) -> None:
        self._capacity, self._clock = whole("capacity", capacity, 1), clock
        self._items: deque[Item] = deque()
        self._changed = clock.condition()
        self._closed = False
        self._put_waited = 0.0  # s

    def put(self, item: Item, timeout: float | None = None) -> None:
        """Queue an item, waiting for room. Raises Closed, or TimeoutError after `timeout` s; then it is not queued."""
        with self._changed:
            began = self._clock.now()
            try:
                self._wait("put", lambda: self._closed or len(self._items) < self._capacity, timeout)
            finally:
                self._put_waited += self._clock.now() - began
            if self._closed:
                raise Closed("the channel is closed; nothing more can be put")
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout: float | None = None) -> Item:
        """The oldest item, waiting for one. Raises TimeoutError after `timeout` s, or Closed when drained."""
        with self._changed:
            self._wait("get", lambda: self._closed or bool(self._items), timeout)
            if not self._items:
                raise Closed("the channel is closed and drained")
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let nothing more in. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stats(self) -> ChannelStats:
        """Depth and waits now."""
        with self._changed:
            return ChannelStats(len(self._items), self._put_waited)

    def _wait(self, side: str, ready: Callable[[], bool], timeout: float | None) -> None:
        """Wait, with the lock held."""
        deadline = None if timeout is None else self._clock.now() + timeout
        while not ready():
            left = None if deadline is None else deadline - self._clock.now()
            if left is not None and left <= 0:
                raise TimeoutError(f"{side} waited {timeout} s; {len(self._items)} of {self._capacity} items are queued")
            self._changed.wait(left)
