"""What a client may ask of a remote environment, and the values that go with it."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from user_gym.errors import BadBlock
from user_gym.system.link.remote.form import Form, Tree


class Ask(IntEnum):
    """The numbers travel: docs/remote.md."""

    LEASE = 1  # of the hub: a robot of an edge, for this client alone
    RELEASE = 2  # of the hub: it is free again
    OPEN = 3  # the hub to an edge: this lease counts from now on
    CLOSE = 4  # the hub to an edge: it does not any more
    HOLD = 5  # the hub to an edge: its client is gone
    RESET = 6
    STEP = 7
    CHUNK = 8  # several steps, until one ends the episode
    RENDER = 9
    STATE = 10  # the robot's, as core.RobotState
    SCENE = 11  # as core.Scene
    ATTEND = 12  # the next step comes late on purpose; nothing is answered

    __hash__ = int.__hash__  # Enum's own is a function of Python, called with every step


SILENT = frozenset({Ask.ATTEND, Ask.HOLD, Ask.CLOSE})  # nothing is answered
TO_EDGE = frozenset({Ask.RESET, Ask.STEP, Ask.CHUNK, Ask.RENDER, Ask.STATE, Ask.SCENE, Ask.ATTEND})  # what the hub passes on


class Writer:
    """Of one side of one lease: says a form where it is new to the other side, and else nothing but values."""

    def __init__(self) -> None:
        self._forms: dict[int, Form] = {}

    def forget(self) -> None:
        """The other side may have missed something: each form is said again."""
        self._forms.clear()

    def write(self, ask: int, tree: Tree, room: Any) -> tuple[Any, Any]:
        """The block of a tree, and the words of its form; None: it is the one of this ask before.

        Args:
            ask: forms are kept for each.
            tree: what is written.
            room: gives (n,) or more bytes of uint8 for n bytes.

        Raises:
            BadOption: something in the tree cannot travel.
        """
        form = self._forms.get(ask)
        if form is not None:
            block = room(form.nbytes)
            if form.write(tree, block):
                return block, None
        form = self._forms[ask] = Form.of(tree)
        block = room(form.nbytes)
        form.write(tree, block)
        return block, form.words


class Reader:
    """The inverse of a `Writer`."""

    def __init__(self) -> None:
        self._forms: dict[int, Form] = {}

    def read(self, ask: int, words: Any, block: Any, copy: bool) -> Tree:
        """As `Form.read`. Raises BadBlock."""
        if words is not None:
            self._forms[ask] = Form.parse(words)
        form = self._forms.get(ask)
        if form is None:
            raise BadBlock("values of a remote environment", f"ask {ask}", "one whose form was said before")
        return form.read(block, copy)


def fresh(nbytes: int) -> np.ndarray:
    """Room in memory of its own."""
    return np.empty(nbytes, np.uint8)
