"""The shared memory between the FER's driver and the process of its law: orders one way, ticks the other; latest value wins."""

from __future__ import annotations

import multiprocessing

import numpy as np

from user_gym.core import F64, Compliance
from user_gym.real.franka.panda_law import Law, Sample

_ORDER, _SOFT, _ENDS, _TICKS = 8, 26, 27, 62  # where the parts of the block end


class Board:
    """What two processes share while a motion runs: the latest order, the latest tick, the force since the last look."""

    def __init__(self) -> None:
        self._block = multiprocessing.get_context("spawn").Array("d", _TICKS + 2)

    @property
    def _view(self) -> F64:
        return np.frombuffer(self._block.get_obj())  # pyright: ignore[reportArgumentType, reportCallIssue]

    def clear(self, compliance: Compliance) -> None:
        """A motion begins: no order yet."""
        with self._block.get_lock():
            self._view[:] = 0.0
        self.comply(compliance)

    def follow(self, target: F64) -> None:
        """The order from the next tick on."""
        with self._block.get_lock():
            view = self._view
            view[0] = 1.0  # until the law has heard of it
            view[1 : 1 + len(target)] = target

    def comply(self, compliance: Compliance) -> None:
        """The compliance from the next tick on."""
        with self._block.get_lock():
            self._view[_ORDER:_SOFT] = np.concatenate([compliance.stiffness, compliance.damping, compliance.error_clip])

    def stop(self) -> None:
        """Come to rest, and end."""
        with self._block.get_lock():
            self._view[_SOFT] = 1.0

    @property
    def stopping(self) -> bool:
        """Whether the motion shall end."""
        return bool(self._view[_SOFT])

    def steer(self, law: Law, size: int) -> None:
        """Tell the law what is new."""
        with self._block.get_lock():
            view = self._view
            soft = view[_ORDER:_SOFT].reshape(3, 6).copy()
            law.stopping = bool(view[_SOFT])
            order = view[1 : 1 + size].copy() if view[0] else None
            view[0] = 0.0
        law.compliance = Compliance(*soft)
        if order is not None:
            law.follow(order)

    def publish(self, tick: Sample) -> None:
        """One tick."""
        with self._block.get_lock():
            view = self._view
            view[_ENDS] = tick.tick
            view[28:55] = np.concatenate([tick.q, tick.dq, tick.tau, tick.force])
            view[55:61] += tick.force
            view[61] += 1

    @property
    def ticks(self) -> int:
        """Since the last look."""
        return int(self._view[61])

    def look(self) -> tuple[Sample, F64]:
        """The newest tick, and the mean force since the last look."""
        with self._block.get_lock():
            view = self._view.copy()
            self._view[55:62] = 0.0
        q, dq, tau, force = view[28:35], view[35:42], view[42:49], view[49:55]
        return Sample(int(view[_ENDS]), q, dq, tau, force), view[55:61] / view[61] if view[61] else force
