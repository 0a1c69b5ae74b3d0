"""A block that cannot be read, and which one it is. Whoever sees it decides what becomes of the block."""

from __future__ import annotations

from user_gym.errors import BadBlock, Gone
from user_gym.system.buffer.entries import Entry


class Damaged(BadBlock):
    """A block that cannot be read; `first` says which."""

    def __init__(self, first: int, error: BadBlock) -> None:
        Exception.__init__(self, str(error))
        self.first = first


class Absent(Gone):
    """The file of a block is not there: the block has moved, or somebody deleted it."""

    def __init__(self, message: str, entry: Entry) -> None:
        super().__init__(message)
        self.entry = entry
