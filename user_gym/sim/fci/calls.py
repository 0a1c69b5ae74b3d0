"""The robot port's calls, from request to reply: a table. It moves nothing by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from user_gym.errors import UserGymError
from user_gym.robots.wire.fci import Call, Mode, Outcome, Version
from user_gym.sim.fci.motion import Motions
from user_gym.sim.fci.port import Request
from user_gym.sim.fci.tool import is_frame

_UNLIMITED = bytes(8 * 19 + 1)  # GetCartesianLimit's answer: no size, no frame, not active
_log = logging.getLogger(__name__)


class Calls:
    """Answers the client of the robot port.

    Args:
        version: of the server.
        motions: what the calls act on.
        model: gives the bytes of GetRobotModel or LoadModelLibrary; may raise UserGymError.
        answer: (command, command_id, status, rest) -> None.
        changed: called after a setter.
    """

    def __init__(
        self,
        version: Version,
        motions: Motions,
        model: Callable[[], bytes],
        answer: Callable[[int, int, int, bytes], None],
        changed: Callable[[], None],
    ) -> None:
        self._version, self._motions, self._model, self._changed = version, motions, model, changed
        self._answer = answer
        self._setters: dict[Call, Callable[[bytes], bool]] = {
            Call.SET_COLLISION_BEHAVIOR: motions.contact.set,
            Call.SET_JOINT_IMPEDANCE: self._joint_impedance,
            Call.SET_CARTESIAN_IMPEDANCE: self._cartesian_impedance,
            Call.SET_GUIDING_MODE: _taken,
            Call.SET_EE_TO_K: self._ee_to_k,
            Call.SET_NE_TO_EE: self._ne_to_ee,
            Call.SET_LOAD: self._load,
            Call.SET_FILTERS: _taken,
        }

    def serve(self, request: Request) -> None:
        """Do one. Raises ConnectionError where this version has no such request."""
        command, command_id, payload = request
        call = self._version.calls.get(command)
        if call is None or call is Call.CONNECT or len(payload) != self._version.request_size(call):
            raise ConnectionError(f"command {command} with {len(payload)} bytes")
        if call is Call.MOVE:
            self.reply(call, command_id, self._motions.begin(command_id, payload))
        elif call is Call.STOP_MOVE:
            self._motions.end(Outcome.PREEMPTED)
            self.reply(call, command_id, Outcome.SUCCESS)
        elif call is Call.AUTOMATIC_ERROR_RECOVERY:
            self.reply(call, command_id, self._motions.recover())
        elif call is Call.GET_CARTESIAN_LIMIT:
            self._answer(command, command_id, 0, _UNLIMITED)
        elif call in (Call.GET_ROBOT_MODEL, Call.LOAD_MODEL_LIBRARY):
            self._give_model(command, command_id)
        else:
            self.reply(call, command_id, self._set(call, payload))

    def reply(self, call: Call, command_id: int, outcome: Outcome) -> None:
        """Send an outcome."""
        self._answer(self._version.number_of(call), command_id, self._version.status(call, outcome), b"")

    def _give_model(self, command: int, command_id: int) -> None:
        try:
            model = self._model()
        except UserGymError as error:
            _log.error("the client gets no model: %s", error)
            self._answer(command, command_id, 1, b"")
            return
        self._answer(command, command_id, 0, model)

    def _set(self, call: Call, payload: bytes) -> Outcome:
        # Thresholds may be set while the arm moves; what would make it jump may not.
        if call is not Call.SET_COLLISION_BEHAVIOR and self._motions.mode is Mode.MOVE:
            return Outcome.NOT_POSSIBLE
        if not self._setters[call](payload):
            return Outcome.INVALID
        self._changed()
        return Outcome.SUCCESS

    def _joint_impedance(self, payload: bytes) -> bool:
        stiffness = np.frombuffer(payload, "<f8")
        if not (np.isfinite(stiffness).all() and (stiffness >= 0).all()):
            return False
        self._motions.control.set_joint_stiffness(stiffness)
        return True

    def _cartesian_impedance(self, payload: bytes) -> bool:
        stiffness = np.frombuffer(payload, "<f8")
        if not (np.isfinite(stiffness).all() and (stiffness >= 0).all()):
            return False
        self._motions.control.set_cartesian_stiffness(stiffness)
        return True

    def _ee_to_k(self, payload: bytes) -> bool:
        frame = _frame(payload)
        if not is_frame(frame):
            return False
        self._motions.tool.ee_t_k = frame
        self._motions.tool.update()
        return True

    def _ne_to_ee(self, payload: bytes) -> bool:
        frame = _frame(payload)
        if not is_frame(frame):
            return False
        self._motions.tool.ne_t_ee = frame
        self._motions.tool.update()
        self._motions.reference.follow_tool()
        return True

    def _load(self, payload: bytes) -> bool:
        values = np.frombuffer(payload, "<f8")
        if not (np.isfinite(values).all() and values[0] >= 0):
            return False
        tool = self._motions.tool
        tool.load_mass, tool.load_com, tool.load_inertia = float(values[0]), values[1:4], values[4:].reshape(3, 3).T
        return True


def _frame(payload: bytes) -> np.ndarray:
    return np.frombuffer(payload, "<f8").reshape(4, 4).T.copy()


def _taken(payload: bytes) -> bool:
    """A setting that nothing in a twin depends on."""
    return True
