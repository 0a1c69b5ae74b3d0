"""How much of a message goes in one piece where no window counts its bytes: as much as the stream takes in a moment.

What is urgent waits for the piece before it, and each piece costs both ends work whatever is in it. It knows no stream.
"""

from __future__ import annotations

from user_gym.system.link.wire.lanes import FRAGMENT

_AIM = 0.01  # s that a piece may take to be written
_LEAST = 1 << 16  # bytes; below, its cost outweighs what it is good for


class Piece:
    """Of one direction of one connection. Owned by one thread.

    Attributes:
        size: bytes, at most.
    """

    def __init__(self) -> None:
        self.size = 1 << 19

    def wrote(self, nbytes: int, seconds: float) -> None:
        """So many bytes were written in that time: halved where they took long, doubled where they were many and quick."""
        if seconds > _AIM and nbytes > _LEAST:
            self.size = max(self.size // 2, _LEAST)
        elif nbytes >= self.size and seconds < _AIM / 2:
            self.size = min(self.size * 2, FRAGMENT)
