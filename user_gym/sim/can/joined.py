"""A CAN bus that exists without the twin: python-can's virtual one inside this process, or an interface of the kernel."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from queue import Queue
from typing import Any

from user_gym.robots.wire import buses, can_frame
from user_gym.robots.wire.buses import BusName
from user_gym.robots.wire.can_frame import Frame
from user_gym.sim.can.bus import MOST_AT_ONCE, CanBus


class JoinedBus(CanBus):
    """A member like others.

    Args:
        name: of kind "virtual" or "socketcan".
    """

    def __init__(self, name: BusName) -> None:
        self._name = name
        self._bus: Any = None

    @property
    def address(self) -> str:
        """As `buses.connect` takes it."""
        return str(self._name)

    def open(self) -> None:
        """Raises as `CanBus.open`."""
        self._bus = buses.connect(self.address)
        from can import CanError

        from user_gym.robots.wire.can_message import from_message, to_message

        self._from, self._to, self._error = from_message, to_message, CanError
        self._queue: Queue[Any] | None = self._bus.queue if self._name.kind == "virtual" else None
        self._woken = False
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wait(self, timeout: float | None) -> None:
        """Until there is something to do."""
        # To take a frame here would let another thread of the twin overtake it: only look.
        if self._queue is None:
            ready, _, _ = select.select([self._bus.fileno(), self._waker], [], [], timeout)
            if self._waker in ready:
                os.eventfd_read(self._waker)
            return
        with self._queue.not_empty:
            if not self._queue.queue and not self._woken:
                self._queue.not_empty.wait(timeout)
            self._woken = False

    def frames(self) -> Iterator[Frame]:
        """What has come."""
        for _ in range(MOST_AT_ONCE):
            message = self._bus.recv(0)
            if message is None:
                return
            if message.is_fd or len(message.data) > can_frame.MAX_DATA:
                self._reject(message)
                continue
            yield self._from(message)

    def send(self, frame: Frame) -> None:
        """To all members."""
        try:
            self._bus.send(self._to(frame), timeout=0)
        except self._error:
            self.dropped += 1

    def wake(self) -> None:
        """End a `wait`."""
        if self._queue is None:
            os.eventfd_write(self._waker, 1)
            return
        with self._queue.not_empty:
            self._woken = True
            self._queue.not_empty.notify_all()

    def unplug(self) -> None:
        """Nothing: these members are not ours to send away; they hear no more of the twin."""

    def close(self) -> None:
        """Leave no socket behind."""
        if self._bus is None:
            return
        self._bus.shutdown()
        self._bus = None
        os.close(self._waker)
