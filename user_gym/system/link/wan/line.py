"""One direction of a wide-area network, as a rule for packets: which of them come out, and when. It knows no bytes."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from user_gym.core import real


@dataclass(frozen=True, slots=True)
class Line:
    """What a direction is like.

    Raises:
        BadOption: a value that is not allowed.
    """

    delay: float = 0.0  # s from one end to the other
    rate: float | None = None  # bytes per second; None: no limit
    jitter: float = 0.0  # s; each packet comes up to so much later, evenly drawn, and order is kept
    loss: float = 0.0  # share of the packets that never come, each drawn by itself
    queue: float = 0.1  # s at `rate` that the router before the line holds; what does not fit is lost
    seed: int = 0  # of jitter and loss

    def __post_init__(self) -> None:
        for name in ("delay", "jitter", "queue"):
            real(name, getattr(self, name), 0.0, 60.0, "s, 0..60")
        real("loss", self.loss, 0.0, 1.0, "a share, 0..1")
        if self.rate is not None:
            real("rate", self.rate, 1.0, 1e12, "bytes per second, 1 or more, or None")


class Traffic:
    """Packets on one line.

    Attributes:
        carried: bytes that came out or will.
        dropped: packets that did not fit into the queue.
        lost: packets that `loss` took.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._rng = random.Random(line.seed)
        self._free = self._latest = -math.inf  # s: when the line can take the next packet; when the last one comes out
        self.carried = self.dropped = self.lost = 0

    def due(self, nbytes: int, now: float) -> float | None:
        """When (s) a packet comes out that arrives now; None: never."""
        line = self._line
        begin = max(self._free, now)
        if line.rate is not None:
            if begin - now > line.queue:
                self.dropped += 1
                return None
            begin += nbytes / line.rate
        self._free = begin
        if line.loss and self._rng.random() < line.loss:  # on its way: it took its share of the rate
            self.lost += 1
            return None
        self.carried += nbytes
        self._latest = max(self._latest, begin + line.delay + (self._rng.uniform(0.0, line.jitter) if line.jitter else 0.0))
        return self._latest
