"""Where a hub puts what edges bring. A buffer is one; a run that counts and limits is another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from user_gym.core import Acknowledgement
from user_gym.system.buffer import Buffer
from user_gym.system.buffer.block import Block

MOST_STEPS = 1 << 60  # no limit


class Room(NamedTuple):
    """What is said of how much may come."""

    steps: int  # that may be under way from a robot, not acknowledged; -1: it waits
    enough: bool  # nothing more is needed, ever


class Store(Protocol):
    """Thread-safe."""

    def unfit(self, source: str, form: str) -> str:
        """Why a robot may bring nothing here; "" where it may.

        Args:
            source: of the robot.
            form: names, shapes and dtypes of what it sees and does, as its edge says; "" where that does not say it.
        """
        ...

    def newest(self, source: str) -> tuple[int, int] | None:
        """Episode and sequence of the newest block of a source; None: there is none. All before it came before it."""
        ...

    def extend(self, blocks: Sequence[Block]) -> list[Acknowledgement]:
        """Store all or none; idempotent by (source, episode, sequence). Raises BadChunk, BadBlock, NoSpace."""
        ...

    def room(self, robots: int) -> Room:
        """For each of so many robots at edges that are connected. Never waits."""
        ...


class BufferStore:
    """A `Store` without a limit.

    Args:
        buffer: the caller's, who closes it after the hub.
    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer

    def unfit(self, source: str, form: str) -> str:
        """As `Store.unfit`."""
        return ""

    def newest(self, source: str) -> tuple[int, int] | None:
        """As `Store.newest`."""
        numbers = self._buffer.view(f"source = '{source}'", last=1).numbers()
        if not len(numbers):
            return None
        chunk = self._buffer.chunk(int(numbers[-1]))
        return chunk.episode, chunk.sequence

    def extend(self, blocks: Sequence[Block]) -> list[Acknowledgement]:
        """As `Store.extend`."""
        return self._buffer.extend(blocks)

    def room(self, robots: int) -> Room:
        """As `Store.room`."""
        return Room(MOST_STEPS, False)


def known(store: Store | None, forms: Mapping[str, str]) -> tuple[dict[str, tuple[int, int]], str]:
    """What is stored of each of these robots, and why one of them may bring nothing; "" where all may."""
    found: dict[str, tuple[int, int]] = {}
    if store is None:
        return found, ""
    for source, form in forms.items():
        if why := store.unfit(source, form):
            return {}, why
        if (place := store.newest(source)) is not None:
            found[source] = place
    return found, ""
