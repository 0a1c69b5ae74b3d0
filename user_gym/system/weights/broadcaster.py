"""Latest value of a policy's weights within one process: the newest overwrites, nobody waits."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from user_gym.core import Weights
from user_gym.system.weights.arena import Arena, Slot
from user_gym.system.weights.layout import Layout
from user_gym.system.weights.numbering import Numbering


class Broadcaster:
    """A `Publisher`, and the `Subscriber` of any number of threads. To publish is one copy.

    Args:
        version: of the last weights published before, as on resume; -1 for none.
    """

    def __init__(self, version: int = -1) -> None:
        self._numbering = Numbering(version)
        self._newest: Weights | None = None
        self._publishing = Lock()
        self._arena: Arena | None = None
        self._slot: Slot | None = None  # of the newest

    @property
    def version(self) -> int:
        """As `Publisher.version`."""
        return self._numbering.version

    def publish(
        self, arrays: Mapping[str, NDArray[Any]], spec_hash: str, *, version: int | None = None, partial: bool = False
    ) -> Weights:
        """As `Publisher.publish`."""
        with self._publishing:
            number = self._numbering.next(spec_hash, version, partial)
            if self._arena is None:
                self._arena = Arena(Layout.of(arrays))
            self._arena.layout.require(arrays, partial)
            slot = self._arena.free()
            slot.fill(arrays, number, self._slot)
            weights = Weights(number, slot.lend(), spec_hash)
            self._newest, self._slot = weights, slot
            self._numbering.set(number, spec_hash)
        return weights

    def newest(self, than: int = -1) -> Weights | None:
        """As `Subscriber.newest`."""
        weights = self._newest
        return weights if weights is not None and weights.version > than else None
