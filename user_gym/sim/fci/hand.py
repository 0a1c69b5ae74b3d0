"""The hand of an FCI twin: fingers that take their time, and the gripper port's calls. It knows no arm.

The fingers follow the arm's clock while a motion runs and the wall's otherwise: a gated arm that stands still would
keep a client waiting for ever inside a blocking gripper call. Opening does not drop what is fixed to the tool. Where the
task moves the fingers, this leads those of the physics, and a call ends when they rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from user_gym.core import Gripper
from user_gym.robots.wire.fci_gripper import REQUESTS, STATE, Call, Status
from user_gym.sim.fci.port import Request

PERIOD = 0.02  # s between two state datagrams, on the wall's clock
NOTHING = 0.002  # m: fingers as close as this hold nothing


class Fingers(Protocol):
    """The fingers of the physics."""

    def lead(self, width: float, force: float) -> None:
        """Pull them towards a width (m) with at most so much force (N)."""
        ...

    def resting(self) -> bool:
        """Whether they stand still, or time does."""
        ...

    def apart(self) -> float:
        """m between them."""
        ...


class Hand:
    """A parallel gripper and its one running call.

    Args:
        gripper: width and speed.
        held: m, width of what is between the fingers; 0: nothing.
        answer: (command, command_id, status) -> None, when a call has ended.
        fingers: of the physics; None: the task does not move them.
    """

    def __init__(
        self, gripper: Gripper, held: float, answer: Callable[[int, int, int], None], fingers: Fingers | None = None
    ) -> None:
        self._gripper, self._held, self._answer, self._fingers = gripper, held, answer, fingers
        self.width = held if held > 0 else gripper.width
        self.grasped = False
        self.misses = False  # a grasp closes on nothing
        self._target, self._speed, self._force = self.width, gripper.speed, gripper.force
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
        self._force = values[4] if call is Call.GRASP else self._gripper.force
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
        arrived = abs(self.width - goal) < 1e-9 or self._speed == 0.0
        if self._fingers is not None:
            self._fingers.lead(self.width, self._force)
            arrived = arrived and self._fingers.resting()
        if arrived:
            self._finish()

    @property
    def apart(self) -> float:
        """m between the fingers, as the sensor has it."""
        return self.width if self._fingers is None else self._fingers.apart()

    def _finish(self) -> None:
        assert self._call is not None
        call, command_id, values = self._call
        self._call = None
        status = Status.SUCCESS
        if call is Call.GRASP:
            width, inner, outer = values[:3]
            held = self._held > 0 if self._fingers is None else self.apart > NOTHING
            self.grasped = held and not self.misses and width - inner <= self.apart <= width + outer
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
        record["message_id"], record["width"], record["max_width"] = self._number, self.apart, self._gripper.width
        record["is_grasped"], record["temperature"] = self.grasped, 30
        return record.tobytes()
