"""The process that owns one driver. It obeys its parent through a pipe, and outlives it long enough to leave the arm still.

    guard -> driver.exchange -> guard, once per order

No order for `stale` seconds: the driver holds, and orders are refused until the next reset. `user-gym stop`: the same, at once.
The parent is gone, or SIGTERM: hold, close, exit. But a driver whose arm has no brakes (attribute `brakes` False) goes on
holding until no motor answers or an operator releases it: such an arm would fall.

Ctrl-C at the terminal does not reach it: it runs in a session of its own. It is started by `robot`, never by a fork.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from user_gym.core import Command, RobotState, Start
from user_gym.errors import (
    BadAction,
    BadOption,
    Closed,
    Halted,
    NotReset,
    Reflex,
    RobotFault,
    Stopped,
    Unreachable,
    UserGymError,
)
from user_gym.real import approach
from user_gym.real.driver import Driver
from user_gym.real.guard import Guard
from user_gym.real.job import Job, Reply, Request, described
from user_gym.real.watch import ORPHANED, Watch, Watched
from user_gym.robots import reach
from user_gym.robots.gate import GateScene
from user_gym.robots.plugins import load_object

ARRIVED = np.array([0.01] * 3 + [0.1] * 3)  # m, rad: friction in the joints holds an ARX millimetres off its target
GRIPPED = 0.05  # share of the gripper's range
_LOOK = 0.02  # s between two looks whether an orphan's motors still answer
_NO_FAULT = (BadAction, BadOption, Unreachable, NotReset, Closed)  # the arm is as well as before
_log = logging.getLogger(__name__)


class Worker:
    """Serves one parent until it leaves.

    Args:
        job: what to drive.
        link: to the parent.
    """

    def __init__(self, job: Job, link: Connection) -> None:
        self._job, self._link = job, link
        self._driver: Driver | None = None
        self._watch = Watch(job.name, link.fileno(), job.parent, self._interrupt)
        self._clock = Watched(job.clock, self._watch)
        self._guard = Guard(job.spec, job.workspace, job.period, job.thresholds)
        self._scene = GateScene(job.twin, job.objects) if job.twin is not None else None
        self._connected = False
        self._state: RobotState | None = None  # what the client saw last; None: it has to reset first
        self._fault: RobotFault | None = None  # why orders are refused
        self._clips = 0  # orders of this episode that the guard changed
        self._gripper = 0.0  # kept where the task does not move it

    def open(self) -> None:
        """Listen for interruptions. Raises MissingSystem."""
        self._watch.open()

    def run(self) -> None:
        """Serve until the parent closes or dies."""
        try:
            while not self._watch.orphaned and not self._watch.released and self._serve():
                pass
        finally:
            self._leave()

    def _serve(self) -> bool:
        """Wait for one thing and do it; whether to go on."""
        stale = self._job.stale if self._state is not None and self._fault is None else None
        ready = wait([self._link, self._watch.fileno()], stale)
        if not ready:
            self._refuse(Stopped(f"{self._job.name} stopped: no order for {stale:g} s; reset() goes on"))
            return True
        if self._watch.fileno() in ready:
            self._watch.hush()
            try:
                self._watch.check()
            except Stopped as stopped:
                self._refuse(stopped)
            except Closed:  # the request to close comes next
                pass
            return True
        try:
            request: Request = self._link.recv()
            if request.verb == "attend":  # no answer: that it came is all it says
                return True
            self._link.send(self._answer(request))
        except (EOFError, ConnectionError):
            self._watch.end(ORPHANED)  # the watch's thread may not have seen it yet
            return False
        return request.verb != "close"

    def _answer(self, request: Request) -> Reply:
        try:
            state, clipped = self._do(request)
            return Reply(request.number, state, clipped, self._clock.overruns)
        except _NO_FAULT as error:
            return Reply(request.number, error=described(error))
        except RobotFault as fault:
            self._refuse(fault)
            stops = self._watch.stops if isinstance(fault, Halted) else 0
            return Reply(request.number, error=described(fault), overruns=self._clock.overruns, stops=stops)
        except UserGymError as error:
            return Reply(request.number, error=described(error))
        except Exception as error:  # top of a process: a vendor's client may raise anything
            _log.exception("driver of %s broke", self._job.name)
            fault = RobotFault(f"driver of {self._job.name} broke: {type(error).__name__}: {error}")
            self._refuse(fault)
            return Reply(request.number, error=described(fault))

    def _do(self, request: Request) -> tuple[RobotState | None, bool]:
        match request.verb:
            case "exchange":
                return self._exchange(request.argument)
            case "reset":
                self._watch.forgive(request.stops)  # not one that nobody has seen: this reset may have come by itself
                return self._reset(request.argument), False
            case "connect":
                self._connect()
            case "compliance":
                self._driven().set_compliance(request.argument)
            case "close":
                self._leave()
            case _:
                raise BadOption("verb", request.verb, "connect | reset | exchange | compliance | close")
        return None, False

    def _connect(self) -> None:
        if self._connected:
            return
        self._clock.connect()
        if self._scene is not None:
            self._scene.connect()
        job = self._job
        self._driver = load_object(job.driver)(job.spec, job.control, job.address, self._clock, **job.options)
        try:
            self._driven().connect()
        except Reflex as fault:  # from before this program; the reset that connects is what recovers
            self._fault = _kept(fault)
        self._connected = True

    def _exchange(self, command: Command) -> tuple[RobotState, bool]:
        if self._fault is not None:
            raise self._fault
        if self._state is None:
            raise NotReset("exchange before reset; call reset first")
        if not self._job.moves_gripper:
            command = Command(self._gripper if np.isfinite(command.gripper) else command.gripper, command.tcp, command.joints)
        self._state, clipped = self._follow(command, self._state)
        if clipped and not self._clips:
            _log.warning("an order for %s was brought within its limits; further ones are counted", self._job.name)
        self._clips += clipped
        return self._state, clipped

    def _follow(self, command: Command, state: RobotState) -> tuple[RobotState, bool]:
        """One period under the guard; the state at its end, and whether the guard changed the order."""
        safe, clipped = self._guard.allow(command, state)
        state = self._driven().exchange(safe, self._job.period)
        self._guard.judge(state)
        return state, bool(clipped)

    def _count_clips(self) -> None:
        """The episode is over."""
        if self._clips > 1:
            _log.warning("%d orders of this episode for %s were brought within their limits", self._clips, self._job.name)
        self._clips = 0

    def _reset(self, start: Start) -> RobotState:
        driver, job = self._driven(), self._job
        self._watch.check()
        reach.solve(job.spec, start.tcp)  # Unreachable before anything moves
        self._state = None
        self._count_clips()
        if self._fault is not None:
            try:
                driver.recover()
            except Closed:  # its connect left nothing that could recover
                raise self._fault from None
            self._fault = None
        state = driver.measure()
        way = approach.plan(state.tcp, start.tcp, job.workspace)
        approach.check(job.spec, state, way, job.workspace)
        self._move(way.retreat)
        if self._scene is not None:
            self._scene.arrange(start)
        self._move(way.approach)
        state = driver.begin()
        if job.moves_gripper:
            state = self._grip(float(start.gripper), state)
        self._gripper = float(state.gripper)
        off = np.abs(state.tcp - start.tcp)
        if (off > ARRIVED).any():
            raise RobotFault(
                f"{job.name} did not arrive at its start: off by {np.round(off, 4)} m, rad; look what is in its way"
            )
        self._state = state
        return state

    def _move(self, waypoints: list[Any]) -> None:
        if waypoints:
            self._driven().move(waypoints, self._job.approach_speed)
            self._watch.check()
            self._guard.judge(self._driven().measure())

    def _grip(self, wanted: float, state: RobotState) -> RobotState:
        """Bring the gripper to the start's; the episode's clock starts after that."""
        hand, tcp = self._job.spec.gripper, self._job.control == "tcp"
        order = Command(wanted, state.tcp) if tcp else Command(wanted, None, state.q)  # once: else the arm follows its own sag
        periods = int(hand.width / hand.speed / self._job.period) + 10
        while abs(float(state.gripper) - wanted) > GRIPPED and periods > 0:
            (state, _), periods = self._follow(order, state), periods - 1
        return self._driven().begin()

    def _refuse(self, fault: RobotFault) -> None:
        """Hold, and refuse orders from now on."""
        if fault is self._fault or (isinstance(fault, Halted) and isinstance(self._fault, Halted)):
            return
        _log.warning("%s", fault)
        self._fault = _kept(fault)
        if self._connected:
            self._attempt(self._driven().hold)

    def _leave(self) -> None:
        """Leave the arm still. May be called twice."""
        if self._connected:
            self._connected = False
            self._count_clips()
            driver = self._driven()
            self._attempt(driver.hold)
            if self._watch.orphaned and not getattr(driver, "brakes", True):
                self._attempt(lambda: self._keep(driver))
            self._let_go(driver)

    def _keep(self, driver: Driver) -> None:
        """An arm without brakes is held as long as it answers. The driver keeps it still; this keeps the driver alive."""
        _log.warning("%s has no brakes: held until it is powered off, or: user-gym stop --release", self._job.name)
        while not self._watch.released:
            driver.measure()  # raises LinkLost where no motor answers any more
            time.sleep(_LOOK)

    def _let_go(self, driver: Driver) -> None:
        closers = [driver.close, self._clock.close, self._watch.close]
        for close in closers if self._scene is None else [*closers, self._scene.close]:
            self._attempt(close)

    def _attempt(self, call: Callable[[], None]) -> None:
        """What fails here must not keep the rest from being done."""
        try:
            call()
        except (RobotFault, Closed) as error:  # the arm is gone, or holds by itself already
            _log.warning("%s", error)
        except Exception:  # top of a process: a vendor's client may raise anything
            _log.exception("driver of %s broke", self._job.name)

    def _driven(self) -> Driver:
        if self._driver is None:
            raise Closed(f"{self._job.name} is not connected; call connect()")
        return self._driver

    def _interrupt(self) -> None:
        """From the watch's thread: break off a call that blocks, where the driver can."""
        getattr(self._driver, "interrupt", lambda: None)()


def _kept(fault: RobotFault) -> RobotFault:
    """A fault without its traceback: the frames in it would keep a vendor's client alive, and a robot serves one at a time."""
    fault.__cause__ = fault.__context__ = None
    return fault.with_traceback(None)
