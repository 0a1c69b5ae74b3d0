"""The driver of a worker's process, from its first connect until it lets the arm go. Its owners may change meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from user_gym.errors import Closed, Halted, Reflex, RobotFault, Stopped
from user_gym.real.driver import Driver
from user_gym.real.job import Job
from user_gym.real.watch import Watch, Watched
from user_gym.robots.plugins import load_object

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Arm:
    """One driver, why it refuses orders, and how it is left.

    Args:
        job: of the first owner.
        watch: breaks its clock's ticks off.
    """

    def __init__(self, job: Job, watch: Watch) -> None:
        self.job = job
        self.clock = Watched(job.clock, watch)
        self.fault: RobotFault | None = None  # why orders are refused
        self.connected = False
        self._driver: Driver | None = None

    @property
    def driver(self) -> Driver:
        """Raises Closed before `connect`."""
        if self._driver is None:
            raise Closed(f"{self.job.name} is not connected; call connect()")
        return self._driver

    @property
    def falls(self) -> bool:
        """Whether it has no brakes: nothing holds it once the driver is closed."""
        return self.connected and not getattr(self._driver, "brakes", True)

    def connect(self) -> None:
        """Build the driver and connect it, unless it is. Raises RobotFault, MissingExtra, BadOption."""
        if self.connected:
            return
        job = self.job
        self.clock.connect()
        self._driver = load_object(job.driver)(job.spec, job.control, job.address, self.clock, **job.options)
        try:
            self.driver.connect()
        except Reflex as fault:  # from before this program; the reset that connects is what recovers
            self.fault = _kept(fault)
        self.connected = True

    def succeed(self, job: Job) -> None:
        """Another owner's from now on: it has to reset first, and finds nothing of what the last one had set. Moves nothing."""
        self.job = job
        self.fault = Stopped(f"{job.name} was held after its program had ended; reset() goes on")
        if job.control == "tcp":
            self.attempt(lambda: self.driver.set_compliance(job.spec.compliance))

    def refuse(self, fault: RobotFault) -> None:
        """Hold, and refuse orders from now on."""
        if fault is self.fault or (isinstance(fault, Halted) and isinstance(self.fault, Halted)):
            return
        _log.warning("%s", fault)
        self.fault = _kept(fault)
        if self.connected:
            self.attempt(self.driver.hold)

    def recover(self) -> None:
        """After a fault: make the arm ready without moving it. Raises RobotFault."""
        if self.fault is not None:
            try:
                self.driver.recover()
            except Closed:  # its connect left nothing that could recover
                raise self.fault from None
            self.fault = None

    def close(self) -> None:
        """Hold, and let go. May be called twice."""
        if self.connected:
            self.connected = False
            for step in (self.driver.hold, self.driver.close, self.clock.close):
                self.attempt(step)

    def attempt(self, call: Callable[[], _T]) -> _T | None:
        """What fails here must not keep the rest from being done: it is logged, and None is returned."""
        try:
            return call()
        except (RobotFault, Closed) as error:  # the arm is gone, or holds by itself already
            _log.warning("%s", error)
        except Exception:  # top of a process: a vendor's client may raise anything
            _log.exception("driver of %s broke", self.job.name)
        return None

    def interrupt(self) -> None:
        """From the watch's thread: break off a call that blocks, where the driver can."""
        getattr(self._driver, "interrupt", lambda: None)()


def _kept(fault: RobotFault) -> RobotFault:
    """A fault without its traceback: the frames in it would keep a vendor's client alive, and a robot serves one at a time."""
    fault.__cause__ = fault.__context__ = None
    return fault.with_traceback(None)
