"""What one owner's requests do to the arm: connect, reset, orders. Under the guard, whoever the owner is.

guard -> driver.exchange -> guard, once per order
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from user_gym.core import Command, RobotState, Start
from user_gym.errors import (
    BadAction,
    BadOption,
    Closed,
    Halted,
    NotReset,
    RobotFault,
    Unreachable,
    UserGymError,
)
from user_gym.real import approach
from user_gym.real.arm import Arm
from user_gym.real.guard import Guard
from user_gym.real.job import Job, Reply, Request, described
from user_gym.real.watch import Watch
from user_gym.robots import reach
from user_gym.robots.gate import GateScene

ARRIVED = np.array([0.01] * 3 + [0.1] * 3)  # m, rad: friction in the joints holds an ARX millimetres off its target
GRIPPED = 0.05  # share of the gripper's range
_NO_FAULT = (BadAction, BadOption, Unreachable, NotReset, Closed)  # the arm is as well as before
_log = logging.getLogger(__name__)


class Session:
    """Answers one owner.

    Args:
        job: the owner's.
        arm: connected already, where it was taken over.
        watch: whose stops a reset forgives.
    """

    def __init__(self, job: Job, arm: Arm, watch: Watch) -> None:
        self._job, self._arm, self._watch = job, arm, watch
        self._guard = Guard(job.spec, job.workspace, job.period, job.thresholds)
        self._scene = GateScene(job.twin, job.objects) if job.twin is not None else None
        self._state: RobotState | None = None  # what the client saw last; None: it has to reset first
        self._clips = 0  # orders of this episode that the guard changed
        self._gripper = 0.0  # kept where the task does not move it

    @property
    def patience(self) -> float | None:
        """S that it may take until the next order; None: as long as it likes."""
        return self._job.stale if self._state is not None and self._arm.fault is None else None

    def answer(self, request: Request) -> Reply:
        """Do it, and say how it went."""
        try:
            state, clipped = self._do(request)
            return Reply(request.number, state, clipped, self._arm.clock.overruns)
        except _NO_FAULT as error:
            return Reply(request.number, error=described(error))
        except RobotFault as fault:
            self._arm.refuse(fault)
            stops = self._watch.stops if isinstance(fault, Halted) else 0
            return Reply(request.number, error=described(fault), overruns=self._arm.clock.overruns, stops=stops)
        except UserGymError as error:
            return Reply(request.number, error=described(error))
        except Exception as error:  # top of a process: a vendor's client may raise anything
            _log.exception("driver of %s broke", self._job.name)
            fault = RobotFault(f"driver of {self._job.name} broke: {type(error).__name__}: {error}")
            self._arm.refuse(fault)
            return Reply(request.number, error=described(fault))

    def close(self) -> None:
        """The owner is done. May be called twice."""
        self._count_clips()
        if self._scene is not None:
            self._arm.attempt(self._scene.close)

    def _do(self, request: Request) -> tuple[RobotState | None, bool]:
        match request.verb:
            case "exchange":
                return self._exchange(request.argument)
            case "reset":
                self._watch.forgive(request.stops)  # not one that nobody has seen: this reset may have come by itself
                return self._reset(request.argument), False
            case "connect":
                if self._scene is not None:
                    self._scene.connect()
                self._arm.connect()
            case "compliance":
                self._arm.driver.set_compliance(request.argument)
            case "close":
                self.close()
                if not (self._watch.orphaned and self._arm.falls):  # who asked for it has died: the arm is held
                    self._arm.close()
            case _:
                raise BadOption("verb", request.verb, "connect | reset | exchange | compliance | close")
        return None, False

    def _exchange(self, command: Command) -> tuple[RobotState, bool]:
        if self._arm.fault is not None:
            raise self._arm.fault
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
        state = self._arm.driver.exchange(safe, self._job.period)
        self._guard.judge(state)
        return state, bool(clipped)

    def _count_clips(self) -> None:
        """The episode is over."""
        if self._clips > 1:
            _log.warning("%d orders of this episode for %s were brought within their limits", self._clips, self._job.name)
        self._clips = 0

    def _reset(self, start: Start) -> RobotState:
        driver, job = self._arm.driver, self._job
        self._watch.check()
        reach.solve(job.spec, start.tcp)  # Unreachable before anything moves
        self._state = None
        self._count_clips()
        self._arm.recover()
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
            self._arm.driver.move(waypoints, self._job.approach_speed)
            self._watch.check()
            self._guard.judge(self._arm.driver.measure())

    def _grip(self, wanted: float, state: RobotState) -> RobotState:
        """Bring the gripper to the start's; the episode's clock starts after that."""
        hand, tcp = self._job.spec.gripper, self._job.control == "tcp"
        order = Command(wanted, state.tcp) if tcp else Command(wanted, None, state.q)  # once: else the arm follows its own sag
        periods = int(hand.width / hand.speed / self._job.period) + 10
        while abs(float(state.gripper) - wanted) > GRIPPED and periods > 0:
            (state, _), periods = self._follow(order, state), periods - 1
        return self._arm.driver.begin()
