"""A real arm as a `core.Robot`: the owner's end of a worker process. It starts the process, or takes over one that holds the
arm already, and never waits without a limit.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import subprocess
import threading
import time
import weakref
from multiprocessing.connection import Connection
from typing import Any

from user_gym.core import Command, Compliance, RobotSpec, RobotState, Start
from user_gym.errors import BadOption, Closed, LinkLost, RobotFault, UserGymError
from user_gym.real import asked
from user_gym.real.berth import Berth, Place
from user_gym.real.driver_process import Adopted, DriverProcess, attach
from user_gym.real.job import Reply, Request, raised
from user_gym.real.patience import Patience, wait
from user_gym.real.watch import BREAK_OFF
from user_gym.robots.compliance import check

_LEAVE = 5.0  # s for a worker to exit once it has answered, or its pipe is closed
_robots: weakref.WeakSet[RealRobot] = weakref.WeakSet()  # that were connected, and perhaps never closed
_log = logging.getLogger(__name__)


class RealRobot:
    """One arm in a worker process.

    A RobotFault is raised once by the exchange that met it and by all that follow; `reset` recovers, or says why that takes a
    person. A worker that died is started anew by the next `reset`. `close` may come from any thread: it breaks off what is
    under way, and whoever waits for that gets Closed. All else is for one thread at a time.

    Args:
        spec: the arm.
        control: "tcp" or "joint".
        berth: where `connect` gets the arm from.
        patience: for replies.
    """

    def __init__(self, spec: RobotSpec, control: str, berth: Berth, patience: Patience | None = None) -> None:
        self.spec = spec
        self._control, self._berth, self._patience = control, berth, patience or Patience()
        self._process: DriverProcess | None = None
        self._link: Connection | None = None
        self._name = spec.name
        self._wanted = False  # connected, as far as the caller is concerned
        self._owner = 0  # process that connected: one that it forked may not close the arm
        self._compliance: Compliance | None = None
        self._number = 0
        self._stops = 0  # an operator's that this worker told of
        self._resetting = False  # the reply that is waited for is that of a reset
        self._due: float | None = None  # s, monotonic: when the reply that is waited for has to be here; None: none is
        self._reading, self._closing = threading.RLock(), threading.Lock()  # who waits for a reply; who closes
        self.clipped = False  # the guard changed the last order
        self.overruns = 0  # of the robot's clock, since it was connected

    @property
    def connection(self) -> Connection:
        """For multiprocessing.connection.wait: readable when `receive` will not block. Raises Closed."""
        return self._opened()

    @property
    def pid(self) -> int | None:
        """Process id of the worker."""
        return None if self._process is None else self._process.pid

    def connect(self) -> None:
        """Start the worker, which opens the arm, or take over the one that holds it.

        Raises:
            NoRobot, Busy, NotApproved: the arm is not to be had.
            LinkLost, RobotFault: it does not answer, or says what is wrong.
            MissingExtra, BadOption: it cannot be driven so.
        """
        self._wanted, self._owner = True, os.getpid()
        _robots.add(self)
        if self._link is not None:
            return
        place = self._berth.take()
        self._name = place.job.name
        try:
            self._start(place)
            self._ask("connect", None, self._patience.connect)
            if self._compliance is not None:
                self._ask("compliance", self._compliance, self._patience.exchange)
        except BaseException:
            with self._closing:  # by another thread, perhaps
                self._end()
                self._berth.release()
            raise

    def reset(self, start: Start) -> RobotState:
        """As `Robot.reset`; recovers from a fault first."""
        self.send_reset(start)
        return self.receive()

    def exchange(self, command: Command) -> RobotState:
        """As `Robot.exchange`."""
        self.send(command)
        return self.receive()

    def send(self, command: Command) -> None:
        """The first half of `exchange`: order, and do not wait. Raises BadAction for what is no order; nothing is sent then."""
        asked.order(command, self.spec.dof)
        self._resetting = False
        self._send("exchange", command, self._patience.exchange)

    def send_reset(self, start: Start) -> None:
        """The first half of `reset`; waits only where the worker died and a new one has to be started."""
        if not self._wanted:
            raise self._closed()
        asked.start(start)
        if self._process is None or self._process.poll() is not None:
            self._end()
        self.connect()
        self._send("reset", start, self._patience.reset)
        self._resetting = True

    def receive(self, timeout: float | None = None) -> RobotState:
        """The second half of `exchange` or `reset`.

        Args:
            timeout: s; None: as long as `Patience` says, counted from the first half.

        Raises:
            LinkLost: the worker died, or does not answer in time.
            RobotFault, BadAction, Unreachable, NotReset: as the arm's own answer.
        """
        with self._reading:
            if not self._wanted:
                raise self._closed()
            state = self._receive(timeout)
        if state is None:
            raise RobotFault(f"driver process of {self._name} answered without a state")
        if self._resetting:
            self._resetting = False
            self._berth.began(float(state.time))
        return state

    def attend(self) -> None:
        """As `Attended.attend`: the worker waits for the next order as long again. Raises LinkLost."""
        try:
            self._opened().send(Request(0, "attend"))
        except (BrokenPipeError, ConnectionError) as error:
            raise self._lost() from error

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`; kept when a worker is started anew."""
        if self._control != "tcp":
            raise BadOption(
                "control", self._control, "'tcp' to set a Cartesian compliance", "make the environment with control='tcp'"
            )
        check(compliance)
        if self._link is not None:
            self._ask("compliance", compliance, self._patience.exchange)
        self._compliance = compliance

    def close(self) -> None:
        """As `Robot.close`: what is under way is broken off, the arm holds or brakes, the worker ends."""
        self._wanted = False
        with self._closing:
            if self._due is not None and self._process is not None and self._process.poll() is None:
                self._process.send_signal(BREAK_OFF)
            alone = self._reading.acquire(timeout=self._patience.close)  # a thread that waits gets its answer first
            try:
                if alone and self._link is not None and self._process is not None and self._process.poll() is None:
                    self._ask("close", None, self._patience.close)
            except RobotFault as error:
                _log.warning("%s", error)
            finally:
                self._end(cut=not alone)
                self._berth.release()
                if alone:
                    self._reading.release()

    def _start(self, place: Place) -> None:
        self._process, self._link = attach(place)
        self._number, self._stops, self._due = 0, 0, time.monotonic() + self._patience.connect
        try:
            self._receive(None)
        except LinkLost:
            raise
        except UserGymError:
            if isinstance(self._process, Adopted):  # it refuses this job, and goes on holding the arm: not waited for
                self._process.close()
                self._process = None
            raise

    def _ask(self, verb: str, argument: Any, patience: float) -> RobotState | None:
        self._send(verb, argument, patience)
        return self._receive(None)

    def _send(self, verb: str, argument: Any, patience: float) -> None:
        link = self._opened()
        if not self._wanted and verb != "close":
            raise self._closed()
        self._number += 1
        self._due = time.monotonic() + patience
        try:
            link.send(Request(self._number, verb, argument, self._stops))
        except (BrokenPipeError, ConnectionError) as error:
            raise self._lost() from error

    def _receive(self, timeout: float | None) -> RobotState | None:
        with self._reading:
            reply = self._read(time.monotonic() + timeout if timeout is not None else self._due or time.monotonic())
        self.clipped, self.overruns = reply.clipped, max(reply.overruns, self.overruns)
        self._stops = max(reply.stops, self._stops)
        if reply.error is not None:
            raise raised(reply.error)
        return reply.state

    def _read(self, due: float) -> Reply:
        """The reply to the newest request; one that came too late for its own is dropped."""
        link, process = self._opened(), self._process
        assert process is not None
        while True:
            try:
                there = wait(link, process.pid, self._name, due)
                reply: Reply | None = link.recv() if there else None
            except LinkLost:
                raise
            except (EOFError, OSError) as error:
                raise (self._lost() if self._link is link else self._closed()) from error
            if reply is None:
                raise LinkLost(f"driver process of {self._name} (pid {self.pid}) does not answer in time; reset() goes on")
            if reply.number == self._number:
                self._due = None
                return reply

    def _lost(self) -> LinkLost:
        code: int | None = None
        if self._process is not None:
            try:
                code = self._process.wait(_LEAVE)
            except subprocess.TimeoutExpired:
                code = None
        ended = "closed its pipe" if code is None else f"ended with code {code}"
        return LinkLost(f"driver process of {self._name} (pid {self.pid}) {ended}; reset() starts a new one")

    def _opened(self) -> Connection:
        if self._link is None:
            raise self._closed()
        return self._link

    def _closed(self) -> Closed:
        return Closed(f"{self._name} is not connected; call connect()")

    def _end(self, cut: bool = False) -> None:
        """Let go of the worker: at the end of the pipe it holds the arm and exits by itself. `cut`: wake who waits there."""
        link, process = self._link, self._process
        self._link = self._process = None
        if link is not None:
            if cut:
                with socket.socket(fileno=os.dup(link.fileno())) as end:
                    end.shutdown(socket.SHUT_RDWR)
            link.close()
        if process is not None:
            try:
                process.wait(_LEAVE)
            except subprocess.TimeoutExpired:
                # Not killed: it may be what holds an arm without brakes.
                _log.warning("driver process of %s (pid %d) still holds the arm; see user-gym stop", self._name, process.pid)
            if isinstance(process, Adopted):
                process.close()


@atexit.register
def _close_all() -> None:
    """A program that ends without a word closes its arms, too: one without brakes would be held until somebody releases it."""
    for robot in list(_robots):
        if robot._wanted and robot._owner == os.getpid():
            robot.close()
