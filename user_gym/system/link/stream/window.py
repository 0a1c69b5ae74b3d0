"""How many bytes of bulk may be under way: as many as fill the link, and so few that what is urgent need not wait for them.

The rule is that of LEDBAT (RFC 6817): what a byte takes to be seen, above the least it ever took, is time that it waited in a
queue; the window grows while that is below a target, and shrinks above it. So an order to stop, which overtakes all that still
waits on this side, comes at most about the target later than on an idle link.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from user_gym.errors import BadBlock

TARGET = 0.05  # s in queues
LEAST, MOST = 1 << 16, 1 << 26  # bytes
_PARTS = 8  # fragments in a window, so that acknowledgements come often enough to steer by
_ALONE = 2  # the same where nothing is under way: a block that fits goes at once, for each fragment costs both ends work
_SMALLEST, _LARGEST = 1 << 14, 1 << 19  # bytes of a fragment; below, the cost of each outweighs what it is good for
_REMEMBER = 30.0  # s; the least delay is that of the last one or two such times, for routes change


class Window:
    """Of one direction of one connection. Owned by one thread.

    Args:
        target: s that bytes may wait in queues.
        clock: s, monotonic.
    """

    def __init__(self, target: float = TARGET, clock: Callable[[], float] = time.monotonic) -> None:
        self._target, self._clock = target, clock
        self._sent = self._seen = 0  # bytes
        self._marks: deque[tuple[int, float]] = deque()  # bytes sent up to here, when
        self._size, self._doubles = 2.0 * LEAST, True
        self._least, self._least_before, self._since = float("inf"), float("inf"), clock()

    @property
    def size(self) -> int:
        """Bytes that may be under way."""
        return int(self._size)

    @property
    def under_way(self) -> int:
        """Bytes that are."""
        return self._sent - self._seen

    @property
    def fragment(self) -> int:
        """Bytes that the next fragment may have; 0: it has to wait."""
        wanted = min(_LARGEST, max(_SMALLEST, self.size // (_PARTS if self.under_way else _ALONE)))
        return wanted if self.under_way + wanted <= self.size else 0

    def sent(self, nbytes: int) -> None:
        """So many more are under way."""
        self._sent += nbytes
        self._marks.append((self._sent, self._clock()))

    def seen(self, total: int) -> None:
        """The other side has so many, of all that were ever sent. Raises BadBlock where that cannot be."""
        if not self._seen <= total <= self._sent:
            raise BadBlock("bytes seen", total, f"{self._seen}..{self._sent}, what was sent")
        now, stamp = self._clock(), None
        while self._marks and self._marks[0][0] <= total:
            stamp = self._marks.popleft()[1]
        filled = 2 * self.under_way >= self.size  # else there was no more to say, and a larger window is not tried
        newly, self._seen = total - self._seen, total
        if stamp is not None:
            self._steer(newly, now - stamp, now, filled)

    def _steer(self, newly: int, delay: float, now: float, filled: bool) -> None:
        if now - self._since > _REMEMBER:
            self._least_before, self._least, self._since = self._least, float("inf"), now
        self._least = min(self._least, delay)
        waited = delay - min(self._least, self._least_before)
        off = 1.0 - waited / self._target  # 1: nothing waits; 0: on target; below: too much
        self._doubles = self._doubles and off > 0.5
        if off < 0:
            self._size -= 0.5 * min(1.0, -off) * newly  # half a window in a round trip at most
        elif filled and self._doubles:
            self._size += newly
        elif filled:
            self._size += off * newly / _PARTS  # an eighth in a round trip at most
        self._size = min(max(self._size, float(LEAST)), float(MOST))
