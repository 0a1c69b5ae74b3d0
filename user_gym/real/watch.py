"""What may interrupt a worker that is busy: a stop from outside, its parent's death, a signal. It touches no arm."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from user_gym.errors import Halted
from user_gym.real.driver import Clock
from user_gym.robots import stop

ORPHANED = "the program that drove it is gone"


class Watch:
    """A thread that waits for `user-gym stop` and for the parent's end of the pipe to close.

    Args:
        name: of the device.
        link: descriptor of the pipe to the parent; only its end is looked at.
        alarm: called from the thread at each message, for drivers that can break off a call that blocks.
    """

    def __init__(self, name: str, link: int, alarm: Callable[[], None]) -> None:
        self._name, self._link, self._alarm = name, link, alarm
        self._ear = stop.Listener(name)
        self._bell, self._rope = socket.socketpair()  # rings in the main thread's select
        self._quit, self._leave = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"watch of {name}", daemon=True)
        self.reason: str | None = None  # why the arm has to stop; None: it need not
        self.orphaned = False  # the parent is gone
        self.released = False  # an operator lets the arm go

    def open(self) -> None:
        """Begin. Raises MissingSystem."""
        self._ear.open()
        self._bell.setblocking(False)
        self._thread.start()

    def fileno(self) -> int:
        """For select: readable when something happened."""
        return self._bell.fileno()

    def hush(self) -> None:
        """The main thread has seen what happened."""
        try:
            while self._bell.recv(64):
                pass
        except BlockingIOError:
            pass

    def check(self) -> None:
        """Raise Halted where there is a reason."""
        if self.reason is not None:
            raise Halted(f"{self._name} stopped: {self.reason}; reset() goes on")

    def forgive(self) -> None:
        """An operator's stop ends with the next reset; the parent's death does not."""
        if not self.orphaned:
            self.reason = None

    def end(self, reason: str) -> None:
        """The worker shall end. Called from the thread or by a signal."""
        self.orphaned, self.reason = True, reason
        self._ring()

    def close(self) -> None:
        """Stop listening."""
        self._leave.close()
        if self._thread.ident is not None:
            self._thread.join(1.0)
        for end in (self._ear, self._bell, self._rope, self._quit):
            end.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._ear.fileno(), select.POLLIN)
        poll.register(self._quit.fileno(), select.POLLIN)
        poll.register(self._link, 0)  # 0: only that the other end is gone
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._quit.fileno() in ready:
                return
            if self._link in ready:
                poll.unregister(self._link)
                self.end(ORPHANED)
                self._alarm()
            elif (message := self._ear.read()) is not None:
                self.released |= message == stop.RELEASE
                self.reason = self.reason or "an operator said stop"
                self._ring()
                self._alarm()

    def _ring(self) -> None:
        self._rope.send(b"!")


class Watched:
    """A clock whose ticks break off when there is a reason to stop."""

    def __init__(self, clock: Clock, watch: Watch) -> None:
        self._clock, self._watch = clock, watch

    @property
    def frozen(self) -> bool:
        """As of the clock."""
        return self._clock.frozen

    def connect(self) -> None:
        """As of the clock."""
        self._clock.connect()

    def start(self) -> None:
        """As of the clock."""
        self._clock.start()

    def check(self) -> None:
        """Raise Halted where there is a reason to stop; for drivers whose motions do not tick."""
        self._watch.check()

    def tick(self, period: float) -> None:
        """As of the clock; raises Stopped as well."""
        self._watch.check()
        self._clock.tick(period)
        self._watch.check()

    def free(self) -> AbstractContextManager[None]:
        """As of the clock."""
        return self._clock.free()

    @property
    def overruns(self) -> int:
        """As of the clock."""
        return self._clock.overruns

    def close(self) -> None:
        """As of the clock."""
        self._clock.close()
