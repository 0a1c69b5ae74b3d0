"""What may interrupt a worker that is busy: a stop from outside, its owner's death or close, a signal. It touches no arm."""

from __future__ import annotations

import contextlib
import logging
import select
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from user_gym.errors import Closed, Halted
from user_gym.real.driver import Clock
from user_gym.real.owner import Owner
from user_gym.robots import stop

BREAK_OFF = signal.SIGUSR1  # of the parent, before it asks to close: what is under way ends, and the arm is let go in order
ORPHANED = "the program that drove it is gone"
_PATIENCE = 5.0  # s for the thread to look at another owner
_LOOK = b"\0"  # no signal's number: there is another owner
_log = logging.getLogger(__name__)


class Watch:
    """A thread that waits for `user-gym stop`, for SIGTERM, for the death of the owner, and for its BREAK_OFF.

    Args:
        name: of the device.
        owner: whom the worker obeys, opened; of its pipe only the end is looked at.
        alarm: called from the thread at each message, for drivers that can break off a call that blocks.
    """

    def __init__(self, name: str, owner: Owner, alarm: Callable[[], None]) -> None:
        self._name, self._owner, self._alarm = name, owner, alarm
        self._ear = stop.Listener(name)
        self._bell, self._rope = socket.socketpair()  # rings in the main thread's select
        self._quit, self._leave = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"watch of {name}", daemon=True)
        self._change, self._changed = threading.Lock(), threading.Event()  # of the owner
        self._owners = 1  # so far
        self._end: str | None = None  # why the worker has to end; None: it need not
        self._leaving = False  # the parent wants to close
        self.broken = False  # it hears nobody any more
        self.forgiven = 0  # stops that count no more
        self.stops = 0  # an operator's, heard so far
        self.released = False  # an operator lets the arm go

    @property
    def orphaned(self) -> bool:
        """Whether the worker has to end, or to find another owner."""
        return self._end is not None

    def open(self) -> None:
        """Begin; from the main thread. Raises MissingSystem."""
        self._ear.open()
        for end in (self._bell, self._rope, self._leave):
            end.setblocking(False)
        # The kernel's handler tells the thread, even while the main thread is in a vendor's call and Python's cannot run.
        for number in (signal.SIGTERM, BREAK_OFF):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._leave.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        self._changed.wait(_PATIENCE)

    def follow(self, owner: Owner) -> None:
        """Another owner, opened, is obeyed from now on, and the last one may be closed. What operators said stands."""
        with self._change:
            self._changed.clear()
            self._owner, self._owners = owner, self._owners + 1
            self._end, self._leaving = None, False
        with contextlib.suppress(BlockingIOError):  # it is awake already
            self._leave.send(_LOOK)
        if not self._changed.wait(_PATIENCE):
            self.broken = True
            self.end("its watch hangs")

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
        """Raise Halted where there is a reason to stop, Closed where the parent is about to close."""
        if self._leaving:
            raise Closed(f"{self._name} was closed meanwhile; call connect()")
        reason = self._end or ("an operator said stop" if self.stops > self.forgiven else None)
        if reason is not None:
            raise Halted(f"{self._name} stopped: {reason}; reset() goes on")

    def forgive(self, stops: int) -> None:
        """So many of the stops end with this reset: those that the client was told of. The owner's death does not."""
        self.forgiven = stops

    def end(self, reason: str) -> None:
        """The worker shall end."""
        self._end = reason
        self._alert()

    def close(self) -> None:
        """Stop listening."""
        signal.set_wakeup_fd(-1)
        self._leave.close()
        if self._thread.ident is not None:
            self._thread.join(1.0)
        for end in (self._ear, self._bell, self._rope, self._quit):
            end.close()

    def _run(self) -> None:
        try:
            while self._listen():
                pass
        except Exception:  # nobody would hear a stop any more
            _log.exception("watch of %s broke", self._name)
            self.broken = True
            self.end("its watch broke")

    def _listen(self) -> bool:
        """Until there is another owner, or the last one again; False: until the watch is closed."""
        with self._change:
            owner, number = self._owner, self._owners
        poll, deaths = select.poll(), _ends(owner)
        poll.register(self._ear.fileno(), select.POLLIN)
        poll.register(self._quit.fileno(), select.POLLIN)
        for end, events in deaths.items():
            poll.register(end, events)
        self._changed.set()
        if owner.dead:
            self._lost(number)
        while number == self._owners:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._quit.fileno() in ready:
                if not (signals := self._quit.recv(64)):
                    return False
                if signal.SIGTERM in signals:
                    self.end("it was told to terminate (SIGTERM)")
                if BREAK_OFF in signals:
                    self._leaving = True
                    self._alert()
            for gone in deaths.keys() & ready:
                poll.unregister(gone)
                self._lost(number)
            if (message := self._ear.read()) is not None:
                self.released |= message == stop.RELEASE
                self.stops += 1
                self._alert()
        return True

    def _lost(self, number: int) -> None:
        """An owner is gone; if it was the last one, the worker has none."""
        with self._change:
            if number == self._owners:
                self.end(ORPHANED)

    def _alert(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it rings already
            self._rope.send(b"!")
        try:
            self._alarm()
        except Exception:  # a vendor's call: the reason stands without it
            _log.exception("%s: the driver could not be interrupted", self._name)


def _ends(owner: Owner) -> dict[int, int]:
    """What tells that an owner is gone, for poll: descriptors, and events besides the end of a connection."""
    ends = {end.fileno(): 0 for end in (owner.link, owner.claim) if end is not None}
    if owner.death is not None:
        ends[owner.death] = select.POLLIN
    return ends


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
