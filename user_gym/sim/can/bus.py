"""The bus a CAN twin's motors hang on, as the twin sees it. `can_served` and `can_joined` are two kinds.

As on a wire, every frame of one member reaches all others, the twin's own included; the twin is told of all. A member that does
not read loses frames, as a full receive buffer does, and holds nobody up. What is no frame is counted and dropped.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator

from user_gym.robots.wire.can_frame import Frame

MOST_AT_ONCE = 4096  # frames taken before time goes on: a babbling member cannot stop the twin
_log = logging.getLogger(__name__)


class CanBus(ABC):
    """What a twin needs of a bus. `frames` and `send` from one thread at a time; `wake` from any."""

    dropped = 0  # frames that a member did not read in time
    rejected = 0  # packets that were no frames

    @abstractmethod
    def open(self) -> None:
        """Serve or join. Raises BadOption, LinkLost, MissingSystem, MissingExtra."""

    @property
    @abstractmethod
    def address(self) -> str:
        """As `buses.connect` takes it; a port that was 0 is known once it is open."""

    @abstractmethod
    def wait(self, timeout: float | None) -> None:
        """Until a frame is there, `wake` is called or `timeout` s have passed. Takes nothing."""

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """What has come, without waiting; at most MOST_AT_ONCE."""

    @abstractmethod
    def send(self, frame: Frame) -> None:
        """Put a frame on the bus."""

    @abstractmethod
    def wake(self) -> None:
        """End a `wait`."""

    @abstractmethod
    def unplug(self) -> None:
        """Send all members away."""

    @abstractmethod
    def close(self) -> None:
        """End it. May be called twice."""

    def _reject(self, why: object) -> None:
        self.rejected += 1
        _log.debug("dropped what is no CAN frame: %s", why)
