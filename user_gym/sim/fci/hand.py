"""The hand of an FCI twin: fingers that take their time, and the gripper port's calls. It knows no arm.

The fingers follow the arm's clock while a motion runs and the wall's otherwise: a gated arm that stands still would
keep a client waiting for ever inside a blocking gripper call. Where the peg is fixed to the tool, opening does not drop it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from user_gym.core import Gripper
from user_gym.robots.wire.fci_gripper import REQUESTS, STATE, Call, Status
from user_gym.sim.fci.port import Request

PERIOD = 0.02  # s between two state datagrams, on the wall's clock


class Hand:
    """A parallel gripper and its one running call.

    Args:
        gripper: width and speed.
        held: m, width of what is between the fingers; 0: nothing.
        answer: (command, command_id, status) -> None, when a call has ended.
    """

    def __init__(self, gripper: Gripper, held: float, answer: Callable[[int, int, int], None]) -> None:
        self._gripper, self._held, self._answer = gripper, held, answer
        self.width = held if held > 0 else gripper.width
        self.grasped = False
        self.misses = False  # a grasp closes on nothing
        self._target, self._speed = self.width, gripper.speed
        self._call: tuple[Call, int, tuple[float, ...]] | None = None
        self._number = 0

    def serve(self, request: Request) -> None:
        """Begin one. Raises ConnectionError where it is none."""
        command, command_id, payload = request
        if command not in Call._value2member_map_ or command == Call.CONNECT:
            raise ConnectionError(f"gripper command {command}")
        call = Call(command)
        if len(payload) != REQUESTS[call].size:
            raise ConnectionError(f"gripper command {command} with {len(payload)} bytes")
        values = REQUESTS[call].unpack(payload)
        self._abort()
        if call is Call.STOP:
            self._target = self.width
            self._answer(call, command_id, Status.SUCCESS)
        elif not all(math.isfinite(v) and v >= 0 for v in values) or (values and values[0] > self._gripper.width):
            self._answer(call, command_id, Status.FAIL)
        else:
            self._begin(call, command_id, values)

    def _begin(self, call: Call, command_id: int, values: tuple[float, ...]) -> None:
        self._call = call, command_id, values
        self.grasped = False
        asked = {Call.GRASP: 3, Call.MOVE: 1}.get(call)
        self._speed = min(values[asked], self._gripper.speed) if asked is not None else self._gripper.speed
        self._target = {Call.HOMING: self._gripper.width, Call.GRASP: 0.0}.get(call, values[0] if values else 0.0)

    def advance(self, dt: float) -> None:
        """Let s of time pass."""
        if self._call is None:
            return
        floor = 0.0 if self.misses else self._held
        goal = max(self._target, min(floor, self.width))
        step = self._speed * dt
        self.width += min(max(goal - self.width, -step), step)
        if abs(self.width - goal) < 1e-9 or self._speed == 0.0:
            self._finish()

    def _finish(self) -> None:
        assert self._call is not None
        call, command_id, values = self._call
        self._call = None
        status = Status.SUCCESS
        if call is Call.GRASP:
            width, inner, outer = values[:3]
            self.grasped = self._held > 0 and not self.misses and width - inner <= self.width <= width + outer
            status = Status.SUCCESS if self.grasped else Status.UNSUCCESSFUL
        self._answer(call, command_id, status)

    def _abort(self) -> None:
        """A new call ends the one that runs."""
        if self._call is not None:
            call, command_id, _ = self._call
            self._call = None
            self._answer(call, command_id, Status.ABORTED)

    def leave(self) -> None:
        """The client is gone; the fingers stay."""
        self._call = None

    def state(self) -> bytes:
        """The next state datagram."""
        self._number += 1
        record = np.zeros((), STATE)
        record["message_id"], record["width"], record["max_width"] = self._number, self.width, self._gripper.width
        record["is_grasped"], record["temperature"] = self.grasped, 30
        return record.tobytes()
