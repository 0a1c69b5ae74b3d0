"""libfranka's calls in a process of their own: panda-python's bindings keep Python's lock while they wait for the robot.

One process owns the robot, and runs the impedance law in libfranka's callback; one owns the hand. Verbs go through a pipe, one
at a time; orders and ticks through a block of shared memory, latest value wins. A loop dies with its parent, whatever it
waits for; the robot's own box then stops the arm.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

import numpy as np

from user_gym.core import F64, Compliance, RobotSpec
from user_gym.errors import LinkLost
from user_gym.real.franka import control_box
from user_gym.real.franka.panda_board import Board
from user_gym.real.franka.panda_law import Law, Sample, sample

_DOF = 7
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LEAVE = 2.0  # s that a process is given to end
_GONE = "the process that speaks to the robot is gone"


class _Halt(Exception):
    """Leaves libfranka's loop, which then tells the robot to stop."""


class Loop:
    """The process, seen from its parent.

    Args:
        make: builds what serves the verbs, in the child.
        arguments: of `make`.
    """

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        self._make, self._arguments = make, arguments
        self._turn = threading.Lock()
        self._count = 0
        self._answers: dict[int, tuple[bool, Any] | None] = {}  # to the requests that somebody waits for; None: none yet
        self._pipe: Any = None
        self._process: Any = None

    def open(self) -> None:
        """Start it. It lives no longer than the thread that calls this."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(os.getpid(), theirs, self._make, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()

    def start(self, verb: str, *arguments: Any) -> int:
        """Ask for something that takes long: the request's number, for `over` and `result`."""
        assert self._pipe is not None  # opened
        self._count += 1
        try:
            self._pipe.send((self._count, verb, arguments))
        except OSError as error:
            raise LinkLost(f"{_GONE}: {error}") from error
        self._answers[self._count] = None
        return self._count

    def over(self, request: int, timeout: float) -> bool:
        """Whether the request's answer is there within so many s."""
        assert self._pipe is not None  # opened
        deadline = monotonic() + timeout
        while self._answers[request] is None:
            if not self._pipe.poll(max(0.0, deadline - monotonic())):
                return False
            try:
                number, *answer = self._pipe.recv()
            except (EOFError, OSError) as error:
                number, answer = request, (False, LinkLost(f"{_GONE}: {error}"))
            if number in self._answers:  # else nobody waits for it any more
                self._answers[number] = tuple(answer)
        return True

    def result(self, request: int) -> Any:
        """The answer that is there. Raises what libfranka said, as RuntimeError; LinkLost where the process died."""
        answer = self._answers.pop(request)
        assert answer is not None  # over
        done, value = answer
        if isinstance(value, LinkLost):
            raise value
        if not done:
            raise RuntimeError(value)
        return value

    def ask(self, verb: str, *arguments: Any, timeout: float = control_box.CALL) -> Any:
        """A verb and its answer. Raises LinkLost where there is none in time, and as `result`."""
        with self._turn:
            request = self.start(verb, *arguments)
            if not self.over(request, timeout):
                del self._answers[request]
                raise LinkLost(f"no answer to {verb!r} within {timeout} s; check the address and the cable")
            return self.result(request)

    def close(self) -> None:
        """End it, at once where it waits for a robot that is gone."""
        if self._pipe is not None:
            self._pipe.close()
            self._process.join(_LEAVE)
            if self._process.is_alive():
                self._process.kill()
                self._process.join(_LEAVE)


def _serve(parent: int, pipe: Connection, make: Callable[..., Any], *arguments: Any) -> None:
    # By the kernel: inside libfranka's calls no Python runs that could see a closed pipe.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    server = make(*arguments)
    while True:
        try:
            number, verb, given = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = number, True, getattr(server, verb)(*given)
        except Exception as error:  # top of a process: its parent raises it
            answer = number, False, str(error)
        try:
            pipe.send(answer)
        except OSError:
            return


class RobotServer:
    """The verbs of the robot's process."""

    def __init__(self, spec: RobotSpec, control: str, address: str, board: Board) -> None:
        self._spec, self._control, self._address, self._board = spec, control, address, board
        self._vendor: Any = None
        self._robot: Any = None
        self._model: Any = None

    def open(self, enforce: bool) -> None:
        """Connect."""
        from panda_py import libfranka as vendor

        realtime = vendor.RealtimeConfig.kEnforce if enforce else vendor.RealtimeConfig.kIgnore
        self._vendor, self._robot = vendor, vendor.Robot(self._address, realtime)
        self._model = self._robot.load_model()

    def inspect(self) -> tuple[str, F64]:
        """Mode, and the tool (4, 4) in the flange."""
        state = self._robot.read_once()
        return str(state.robot_mode), np.array(state.F_T_EE).reshape(4, 4).T

    def read(self) -> tuple[Sample, F64]:
        """The newest state, and the joints (dof,) where the robot wants to be."""
        state = self._robot.read_once()
        return sample(state), np.array(state.q_d)

    def prepare(self, torque: float, force: float, load: control_box.Load | None) -> None:
        """Thresholds and load."""
        self._robot.set_collision_behavior([torque] * 7, [torque] * 7, [force] * 6, [force] * 6)
        if load is not None:
            self._robot.set_load(load.mass, list(load.com), list(load.inertia))

    def clear(self) -> None:
        """Recover from a reflex."""
        self._robot.automatic_error_recovery()

    def travel(self, way: F64) -> None:
        """Go along joint positions (n, dof), one per ms, unless the board says stop; returns at rest."""
        rows, at, board = way.tolist(), 0, self._board

        def follow(_: Any, duration: Any) -> Any:
            nonlocal at
            if board.stopping:
                raise _Halt
            at = min(at + duration.to_msec(), len(rows) - 1)
            positions = self._vendor.JointPositions(rows[at])
            positions.motion_finished = at == len(rows) - 1
            return positions

        with suppress(_Halt):
            self._robot.control_joint_position(follow)

    def control(self, compliance: Compliance) -> None:
        """Follow the board's orders until it says stop; returns at rest."""
        rest, board = np.array(self._robot.read_once().q), self._board
        law = Law(self._spec, self._control, compliance, self._model, self._vendor.Torques, rest)
        size = 6 if self._control == "tcp" else _DOF

        def tick(state: Any, _: Any) -> Any:
            now = sample(state)
            board.steer(law, size)
            answer = law(state, now)
            board.publish(now)
            return answer

        self._robot.control(tick)


class HandServer:
    """The verbs of the hand's process."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._fingers: Any = None

    def open(self) -> None:
        """Connect."""
        from panda_py import libfranka

        self._fingers = libfranka.Gripper(self._address)

    def read(self) -> tuple[float, bool]:
        """Width (m), and whether something is held."""
        state = self._fingers.read_once()
        return state.width, state.is_grasped

    def move(self, width: float, speed: float) -> bool:
        """As `Fingers.move`."""
        return self._fingers.move(width, speed)

    def grasp(self, *arguments: float) -> bool:
        """As `Fingers.grasp`."""
        return self._fingers.grasp(*arguments)
