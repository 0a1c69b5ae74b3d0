"""The FER ("Panda") through the libfranka bindings of panda-python, with an impedance law of our own.

panda-python's CartesianImpedance controller cannot have the task's compliance: its damping is one ratio for translation and
rotation, and it clips nothing. So `panda_law` computes each millisecond's torque in libfranka's callback, in a process that
does nothing else (`panda_loop`). libfranka filters the torque at 100 Hz and limits its change to 1 N m per millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from time import monotonic, sleep
from typing import Any, NamedTuple

from user_gym.core import F64, RobotState
from user_gym.errors import LinkLost, MissingExtra
from user_gym.real.franka import path
from user_gym.real.franka.driver import CATCH_UP, START, FrankaDriver
from user_gym.real.franka.hand import Fingers
from user_gym.real.franka.panda_board import Board
from user_gym.real.franka.panda_law import Sample
from user_gym.real.franka.panda_loop import HandServer, Loop, RobotServer

_GRASP = 30.0  # s that fingers may take
_LOOK = 0.0002  # s of the wall's time between two looks for a motion's first tick


class PandaDriver(FrankaDriver):
    """A `Driver` of one FER."""

    _hand_loop: Loop | None = None
    _board: Board | None = None
    _motion: int | None = None  # whose answer is still to come, or to be read
    _heard = 0.0  # s, monotonic: when the motion's ticks were seen to go on

    def _import(self) -> None:
        if find_spec("panda_py") is None:
            raise MissingExtra("panda_py", "franka")

    def _open(self, enforce: bool) -> Loop:
        self._board, self._motion = Board(), None
        loop = Loop(RobotServer, self.spec, self._control, self._address, self._board)
        loop.open()
        try:
            loop.ask("open", enforce)
        except BaseException:
            loop.close()
            raise
        return loop

    def _inspect(self, robot: Any) -> tuple[str, F64]:
        return robot.ask("inspect")

    def _prepare(self, robot: Any) -> None:
        o = self._options
        robot.ask("prepare", o.torque_threshold, o.force_threshold, o.load)

    def _open_hand(self) -> tuple[Fingers, Callable[[], Any]]:
        self._hand_loop = loop = Loop(HandServer, self._address)
        loop.open()
        loop.ask("open")
        return _Hand(loop), lambda: _Width(*loop.ask("read", timeout=_GRASP))

    def _newest(self) -> RobotState:
        sample = self._shared().look()[0] if self._running() else self._robot.ask("read")[0]
        return self._state(sample, sample.force)

    def _travel(self, waypoints: Sequence[F64], joints: Sequence[F64], speed: float) -> None:
        # From where the robot wants to be, not from where it is: its motion generator begins there.
        way = path.plan(self.spec, self._robot.ask("read")[1], joints, speed)
        self._shared().clear(self._compliance)
        with self._clock.free():
            self._motion = self._robot.start("travel", way)
            self._join(self._clock.check, self._options.patience)

    def _start(self) -> None:
        self._shared().clear(self._compliance)
        self._motion = self._robot.start("control", self._compliance)

    def _first(self) -> int:
        board, deadline = self._shared(), monotonic() + START
        while not board.ticks:
            if monotonic() > deadline:
                raise LinkLost(f"{self.spec.name} accepted a motion, but none began within {START} s")
            sleep(_LOOK)
        self._heard = monotonic()
        return board.look()[0].tick

    def _follow(self, target: F64) -> None:
        self._shared().follow(target)

    def _comply(self) -> None:
        self._shared().comply(self._compliance)

    def _collect(self) -> RobotState:
        board, now = self._shared(), monotonic()
        if board.ticks:
            self._heard = now
        elif now - self._heard > CATCH_UP and self._running():  # libfranka waits for the answer to its own stop, for ever
            raise LinkLost(f"no word from {self.spec.name} at {self._address} for {CATCH_UP:g} s; reset() builds the link anew")
        return self._state(*board.look())

    def _running(self) -> bool:
        return self._motion is not None and not self._robot.over(self._motion, 0.0)

    def _ended(self, timeout: float) -> bool:
        if (motion := self._motion) is None:
            return True
        if not self._robot.over(motion, timeout):
            return False
        self._motion = None
        self._robot.result(motion)
        return True

    def _stop(self) -> None:
        self._shared().stop()

    def _clear(self, robot: Any) -> None:
        robot.ask("clear")

    def _drop(self) -> None:
        robot, loop = self._robot, self._hand_loop
        self._hand_loop = None
        super()._drop()
        for each in (loop, robot):
            if each is not None:
                each.close()

    def _shared(self) -> Board:
        assert self._board is not None  # set when connected
        return self._board

    def _state(self, sample: Sample, force: F64) -> RobotState:
        return self._assemble(sample.tick, sample.q, sample.dq, sample.tau, force)


class _Width(NamedTuple):
    width: float  # m
    is_grasped: bool


class _Hand:
    """`Fingers` in another process."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def move(self, width: float, speed: float) -> bool:
        """As `Fingers.move`."""
        return self._loop.ask("move", width, speed, timeout=_GRASP)

    def grasp(self, width: float, speed: float, force: float, epsilon_inner: float, epsilon_outer: float) -> bool:
        """As `Fingers.grasp`."""
        return self._loop.ask("grasp", width, speed, force, epsilon_inner, epsilon_outer, timeout=_GRASP)
