"""What a control box does with motions: begin, follow, end, stop by itself, recover. No sockets, no wall time."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from user_gym.core import RobotSpec, Task
from user_gym.errors import UnknownName
from user_gym.robots.wire.fci import ERRORS, Call, Controller, Generator, Mode, Outcome, Version
from user_gym.sim.bodies import held_width
from user_gym.sim.fci.body import Body
from user_gym.sim.fci.contact import Contact
from user_gym.sim.fci.control import Control
from user_gym.sim.fci.reference import Reference
from user_gym.sim.fci.tool import Tool

STILL = 1e-4  # rad/s: an arm that moves less has come to rest
SETTLE = 20, 500  # ticks, at least and at most, that it is given to come to rest at a motion's end
LOST = 20  # cycles in a row without a command; then the box stops (communication_constraints_violation)
_WINDOW = 100  # cycles that control_command_success_rate counts
_USED = {
    Generator.JOINT_POSITION: ("q_c",),
    Generator.JOINT_VELOCITY: ("dq_c",),
    Generator.CARTESIAN_POSITION: ("O_T_EE_c", "elbow_c"),
    Generator.CARTESIAN_VELOCITY: ("O_dP_EE_c", "elbow_c"),
    Generator.NONE: (),
}
Reply = Callable[[Call, int, Outcome], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Motion:
    """One that was accepted."""

    command_id: int
    controller: Controller
    generator: Generator


class Motions:
    """The arm, its controllers and its modes.

    Args:
        version: whose numbers Move's payload has.
        spec: the arm.
        task: whose objects stand around it.
        friction: as `Body` takes it.
        lost_cycles: whether LOST cycles in a row without a command stop a motion.
        reply: called with the second reply of Move.
    """

    def __init__(
        self, version: Version, spec: RobotSpec, task: Task, friction: float | None, lost_cycles: bool, reply: Reply
    ) -> None:
        self._version, self._reply = version, reply
        self.body, self.tool = Body(spec, task, friction), Tool(spec, held_width(task))
        self.reference, self.control = Reference(self.body, self.tool), Control(self.body, self.tool)
        self.contact = Contact()
        self.lost_cycles = lost_cycles
        self.settles = True  # at a motion's end; a paced arm comes to rest in the wall's time
        self.mode = Mode.IDLE
        self.motion: Motion | None = None
        self.errors, self.reason = np.zeros(len(ERRORS), np.uint8), np.zeros(len(ERRORS), np.uint8)
        self.ended = 0  # motions that ended so far
        self._lost = 0
        self._cycles: deque[bool] = deque(maxlen=_WINDOW)

    @property
    def word(self) -> str:
        """What the side door says of it: moving, idle, or "reflex: " and the reasons."""
        if self.mode is Mode.REFLEX:
            return f"reflex: {', '.join(name for name, flag in zip(ERRORS, self.reason, strict=True) if flag)}"
        if self.mode is Mode.USER_STOPPED:
            return "reflex: user stop"
        return "idle" if self.motion is None else "moving"

    @property
    def success_rate(self) -> float:
        """Share of the last cycles that a command arrived for; 0 outside motions."""
        return sum(self._cycles) / len(self._cycles) if self.motion and self._cycles else 0.0

    def begin(self, command_id: int, payload: bytes) -> Outcome:
        """Start a motion; the outcome is Move's first reply, and its last unless it is STARTED."""
        if self.mode is not Mode.IDLE:
            return Outcome.NOT_POSSIBLE
        controller, generator, *_ = self._version.move.unpack(payload)
        if controller > Controller.EXTERNAL or generator >= len(self._version.generators):
            return Outcome.INVALID
        motion = Motion(command_id, Controller(controller), self._version.generators[generator])
        if motion.generator is Generator.NONE and motion.controller is not Controller.EXTERNAL:
            return Outcome.INVALID
        self.motion, self.mode = motion, Mode.MOVE
        self.control.tau = np.zeros(7)
        self.reason[:] = 0
        self.reference.hold()
        self._lost = 0
        self._cycles.clear()
        return Outcome.STARTED

    def follow(self, command: np.void | None) -> None:
        """One tick of a motion. None: no command arrived in this cycle."""
        motion = self.motion
        assert motion is not None
        self._cycles.append(command is not None)
        if command is None:
            self._miss(motion)
            return
        self._lost = 0
        if not _finite(motion, command):
            self.end(Outcome.INPUT_ERROR)
        elif self._finished(motion, command):
            self.end(Outcome.SUCCESS)
        elif (error := self.reference.accept(motion.generator, command)) is not None:
            self.reflex(error)
        else:
            tau = command["tau_J_d"].copy() if motion.controller is Controller.EXTERNAL else None
            self._tick(motion, tau)

    def _miss(self, motion: Motion) -> None:
        self._lost += 1
        if self.lost_cycles and self._lost >= LOST:
            self.reflex("communication_constraints_violation")
            return
        self.reference.extrapolate()
        self._tick(motion, None)

    def _finished(self, motion: Motion, command: np.void) -> bool:
        if motion.generator is Generator.NONE:
            return bool(command["torque_command_finished"])
        return bool(command["motion_generation_finished"])

    def _tick(self, motion: Motion, tau: np.ndarray | None) -> None:
        error = self.control.step(motion.controller, self.reference, tau)
        if error is None:
            error = self._feel()
        if error is not None:
            self.reflex(error)

    def _feel(self) -> str | None:
        if not self.body.touched():
            return None
        k = self.body.frame(self.tool.k)
        self.body.feel(k[:3, 3])
        return self.contact.judge(self.body.tau_ext, self.body.wrench)

    def rest(self) -> None:
        """One tick without a motion: the arm holds where its reference is."""
        self.control.step(Controller.JOINT_IMPEDANCE, self.reference, None)
        self._feel()

    def settle(self) -> None:
        """Let the arm come to rest at the reference; a motion's end would freeze its lag otherwise."""
        least, most = SETTLE
        for tick in range(most):
            self.rest()
            if tick + 1 >= least and np.abs(self.body.dq).max() < STILL:
                break

    def end(self, outcome: Outcome) -> None:
        """End the motion, if there is one, with the arm at rest; Move gets its second reply."""
        motion, self.motion = self.motion, None
        if motion is None:
            return
        if self.mode is Mode.MOVE:
            self.mode = Mode.IDLE
        if motion.controller is not Controller.JOINT_IMPEDANCE or outcome is not Outcome.SUCCESS:
            self.reference.q = self.body.q.copy()  # stop where it is, not where it should have been
        self.reference.hold()
        if self.settles:
            self.settle()
        self.reference.follow_tool()
        self.control.tau = np.zeros(7)
        self.ended += 1
        self._reply(Call.MOVE, motion.command_id, outcome)

    def reflex(self, name: str) -> None:
        """Stop by itself; motions are refused until `recover`. Raises UnknownName."""
        if name not in ERRORS:
            raise UnknownName("reflex", name, ERRORS)
        _log.info("%s stops by itself: %s", self.body.spec.name, name)
        self.errors[ERRORS.index(name)] = self.reason[ERRORS.index(name)] = 1
        if self.mode is not Mode.USER_STOPPED:
            self.mode = Mode.REFLEX
        self.end(Outcome.REFLEX)

    def recover(self) -> Outcome:
        """AutomaticErrorRecovery."""
        if self.mode in (Mode.MOVE, Mode.USER_STOPPED):
            return Outcome.NOT_POSSIBLE
        self.errors[:] = 0
        self.mode = Mode.IDLE
        return Outcome.SUCCESS

    def user_stop(self, pressed: bool) -> None:
        """A person presses or releases the button; motions are refused in between."""
        if pressed:
            self.mode = Mode.USER_STOPPED
            self.end(Outcome.EMERGENCY)
        elif self.mode is Mode.USER_STOPPED:
            self.mode = Mode.REFLEX if self.errors.any() else Mode.IDLE

    def set_strict(self, strict: bool) -> None:
        """Whether references and torques beyond the arm's limits are refused."""
        self.reference.strict = self.control.strict = strict


def _finite(motion: Motion, command: np.void) -> bool:
    """Whether the fields that this motion uses are numbers."""
    fields = _USED[motion.generator] + (("tau_J_d",) if motion.controller is Controller.EXTERNAL else ())
    return all(math.isfinite(np.add.reduce(command[name])) for name in fields)
