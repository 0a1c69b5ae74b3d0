"""One contract for all that moves a flat arena under a limit. It knows no kernel, engine or network: they move a piece."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from threading import Lock
from types import TracebackType
from typing import ClassVar, Generic, Self, TypeVar

from user_gym.core import whole
from user_gym.errors import BadOption, Busy, Closed
from user_gym.system.cap.bucket import TokenBucket

Arena = TypeVar("Arena")

RATES = tuple(1_000_000 << k for k in range(17))  # bytes/s: 1 MB/s .. 65.5 GB/s, each twice the one before
WAIT = 0.005  # s between two looks at the limit while a piece waits


class Unit(Enum):
    """What a limit counts."""

    MULTIPROCESSORS = "multiprocessors"
    BYTES_PER_SECOND = "bytes/s"


@dataclass(frozen=True, slots=True)
class Copied:
    """What one copy took."""

    bytes: int
    elapsed: float  # s, from the call to the last byte in place
    held: float  # s of it at limit 0
    pieces: int
    lowest: int  # limit in force, in the copier's unit
    highest: int
    multiprocessors: int | None  # most that one piece was seen on (%smid); 0 for paths that use none; None: cannot be counted


class Copier(ABC, Generic[Arena]):
    """Copies a flat arena from here to there, piece by piece, under a limit that may change meanwhile.

    `copy` blocks its caller, so it belongs to a thread of its own: never the learner's, never a control loop's. One copy runs
    at a time. `limit` may be set by any thread; it holds from the next piece on. 0 holds the copy until it is raised again.
    Where the unit is a rate, at most limit x T bytes begin to move in any T s, and one piece.

    Args:
        levels: values that `limit` may have besides 0, ascending, in `unit`.
        limit: at the start; the lowest level unless given.
        clock: s, monotonic.
        sleep: waits so many s.
    """

    unit: ClassVar[Unit] = Unit.BYTES_PER_SECOND
    period: ClassVar[float] = 0.005  # s, what a piece takes at a rate
    least: ClassVar[int] = 4 << 10  # bytes of the smallest piece at a rate, and of the largest
    most: ClassVar[int] = 4 << 20

    def __init__(
        self,
        levels: Sequence[int],
        limit: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._levels = ascending(levels)
        self._limit = self._allowed(self._levels[0] if limit is None else limit)
        self._clock, self._sleep = clock, sleep
        self._bucket = TokenBucket(self._levels[0])
        self._one = Lock()
        self._is_open = self._busy = False
        self._copied = 0

    @property
    def levels(self) -> tuple[int, ...]:
        """Values that `limit` may have besides 0, ascending."""
        return self._levels

    @property
    def limit(self) -> int:
        """The limit in force, in `unit`; 0 holds the copy."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = self._allowed(limit)

    @property
    def multiprocessors(self) -> int:
        """The most streaming multiprocessors that a piece may occupy under the present limit."""
        return self._limit if self.unit is Unit.MULTIPROCESSORS else 0

    @property
    def busy(self) -> bool:
        """Whether bytes are moving now: a copy is under way and not held."""
        return self._busy and self._limit > 0

    @property
    def copied(self) -> int:
        """Bytes of all pieces that were begun since the start. A step during which it rose ran beside a copy."""
        return self._copied

    def open(self) -> None:
        """Take what copies need. May be called twice."""
        self._is_open = True

    def close(self) -> None:
        """End a copy that is under way with Closed, at its next piece, and let everything go. May be called twice."""
        self._is_open = False

    def copy(self, source: Arena | None, target: Arena | None) -> Copied:
        """Copy all bytes of source into target; returns when the last one is there.

        Args:
            source: the arena; complete, or being completed by work that is enqueued on the caller's current stream. None
                where it is in another process.
            target: as many bytes as source. None where they arrive in another process.

        Raises:
            BadOption: arenas that do not fit together or that this path cannot reach.
            Busy: another copy is under way.
            Closed: not open, or closed meanwhile; target then holds a part.
        """
        if not self._is_open:
            raise Closed(f"this {type(self).__name__} is not open; call open() first")
        if not self._one.acquire(blocking=False):
            raise Busy(f"this {type(self).__name__} is at another copy; wait for it, or use a second one")
        try:
            self._busy = True
            return self._run(source, target)
        finally:
            self._busy = False
            self._one.release()

    def _run(self, source: Arena | None, target: Arena | None) -> Copied:
        began = self._clock()
        at = pieces = highest = 0
        lowest = self._levels[-1]
        held = 0.0
        try:
            size = self._begin(source, target)
            while at < size:
                limit, waited = self._admit()
                held += waited
                end = min(size, at + self._piece(limit))
                self._copied += end - at
                if self.unit is Unit.BYTES_PER_SECOND:
                    self._bucket.take(end - at, self._clock())
                self._move(at, end, limit)
                at, pieces = end, pieces + 1
                lowest, highest = min(lowest, limit), max(highest, limit)
        finally:
            seen = self._finish()  # also after an error: pieces in flight write into target, refused arenas are kept
        return Copied(size, self._clock() - began, held, pieces, min(lowest, highest), highest, seen)

    def _admit(self) -> tuple[int, float]:
        """The limit for the next piece, and for how long it was 0 before."""
        held = 0.0
        while self._is_open:
            limit, now = self._limit, self._clock()  # read once: another thread may set it at any moment
            delay = WAIT if limit == 0 else self._delay(limit, now)
            if delay <= 0.0:
                return limit, held
            self._rest(min(delay, WAIT))
            held += self._clock() - now if limit == 0 else 0.0
        raise Closed(f"this {type(self).__name__} was closed during a copy")

    def _delay(self, limit: int, now: float) -> float:
        """Seconds until the next piece's turn."""
        if self.unit is not Unit.BYTES_PER_SECOND:
            return 0.0
        self._bucket.change(limit, now)
        return self._bucket.delay(now)

    def _rest(self, seconds: float) -> None:
        """Wait; a broadcast also tells those who wait for it that it is alive."""
        self._sleep(seconds)

    def _allowed(self, limit: int) -> int:
        if whole("limit", limit, 0) not in (0, *self._levels):
            raise BadOption("limit", limit, f"0 or a level, in {self.unit.value}: {', '.join(map(str, self._levels))}")
        return int(limit)

    def _piece(self, limit: int) -> int:
        """Bytes of a piece under this limit: what a change of the limit has to wait for."""
        return min(self.most, max(self.least, int(limit * self.period) // 4096 * 4096))

    @abstractmethod
    def _begin(self, source: Arena | None, target: Arena | None) -> int:
        """Check the arenas and keep them until `_finish`, which follows also where they are refused; returns their bytes."""

    @abstractmethod
    def _move(self, begin: int, end: int, limit: int) -> None:
        """Move these bytes, or enqueue their move and wait until few are in flight."""

    @abstractmethod
    def _finish(self) -> int | None:
        """Wait for all pieces and let the arenas go; returns `Copied.multiprocessors`."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def ascending(levels: Sequence[int]) -> tuple[int, ...]:
    """Levels as a tuple. Raises BadOption unless there is one, and all are whole, >= 1 and above the one before."""
    given = tuple(whole("level", level, 1) for level in levels)
    if not given or any(low >= high for low, high in pairwise(given)):
        raise BadOption("levels", levels, "at least one whole number, each above the one before")
    return given
