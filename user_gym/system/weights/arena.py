"""Memory for weights that is used again: a slot is written anew once nobody holds it. It knows no versions.

Two slots take turns as long as readers are done with one before the next but one is published; for each that is held longer,
there is one slot more. Nothing is ever torn, nobody waits, and no publication asks the system for memory, which costs more
time than the copy.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import U8
from user_gym.system.weights.bf16 import BF16
from user_gym.system.weights.image import Image
from user_gym.system.weights.layout import Layout

Copy = Callable[[NDArray[Any], NDArray[Any]], object]  # into the first, of the second


class Slot:
    """One piece of memory to write weights into.

    Args:
        layout: what lies where.
        memory: writable (layout.nbytes,) or more.
    """

    def __init__(self, layout: Layout, memory: U8) -> None:
        self.layout, self.memory = layout, memory
        self._tensors = [(tensor.name, _plain(tensor.view(memory))) for tensor in layout.tensors]
        self._serials = [-1] * len(self._tensors)  # of the publication that each tensor is of
        self._lent: weakref.ref[Any] | None = None

    @property
    def held(self) -> bool:
        """Whether somebody in this process still has an array of what was lent last."""
        return self._lent is not None and self._lent() is not None

    def lend(self) -> Image:
        """What is written, to be read by anybody in this process."""
        if not self.layout.nbytes:
            return Image(self.layout, _NOTHING)
        # numpy keeps only the last owner in a chain of views. Behind a memoryview that is `flat`: it lives exactly as long
        # as any array made of it.
        flat = np.frombuffer(self.memory.data.toreadonly(), np.uint8, self.layout.nbytes)
        self._lent = weakref.ref(flat)
        return Image(self.layout, flat)

    def fill(self, arrays: Mapping[str, NDArray[Any]], serial: int, before: Slot | None, copy: Copy = np.copyto) -> None:
        """Write arrays that the layout has approved; those that are missing are taken from the slot written before.

        Where `copy`, of a target and a source of one shape and kind, raises, nothing that is here counts as written.
        """
        try:
            for k, (name, target) in enumerate(self._tensors):
                array = arrays.get(name)
                if array is not None:
                    copy(target, _plain(array))
                    self._serials[k] = serial
                elif before is not None and self._serials[k] != before._serials[k]:
                    copy(target, before._tensors[k][1])
                    self._serials[k] = before._serials[k]
        except BaseException:
            self._serials = [-1] * len(self._tensors)  # another publication may get the same serial
            raise


class Arena:
    """Slots of one process. Owned by one thread; what is lent may go anywhere."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._slots: list[Slot] = []

    def __len__(self) -> int:
        return len(self._slots)

    def free(self) -> Slot:
        """A slot that nobody holds."""
        slot = next((slot for slot in self._slots if not slot.held), None)
        if slot is None:
            slot = Slot(self.layout, np.zeros(self.layout.nbytes, np.uint8))
            self._slots.append(slot)
        return slot


_NOTHING = np.empty(0, np.uint8)
_NOTHING.flags.writeable = False


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Bits as numbers: numpy copies records one by one."""
    return array.view(np.uint16) if array.dtype == BF16 else array
