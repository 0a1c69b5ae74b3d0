"""The limits that no order passes, in the process that owns the driver: no client can go round them. It moves nothing.

Orders are brought within `robots.safety`'s limits once more, and within what the links leave room for. What is measured is
judged afterwards: too fast or too hard a contact stops the arm until the next reset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from user_gym.core import F64, Command, RobotSpec, RobotState, Workspace
from user_gym.core.numbers import real
from user_gym.errors import BadAction, RobotFault, Stopped
from user_gym.robots import collision, safety
from user_gym.robots.safety import Clamped

_FAR = np.array([0.3] * 3 + [1.5] * 3)  # m, rad: an order this far from the tool is a mistake, not a step
_FAR_JOINT = 0.5  # rad


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What stops an arm that is under orders. The defaults leave room for peg insertion: it presses with 20 N and 6 N
    sideways, and impacts within a period were seen to average 43 N.

    Raises:
        BadOption: a value is not positive.
    """

    force: float = 60.0  # N, of the contact wrench, mean over a period
    torque: float = 15.0  # N m
    speed: float = 1.0  # m/s of the TCP; orders ask for 0.25, and joint control was seen to reach 0.53
    turn: float = 3.0  # rad/s

    def __post_init__(self) -> None:
        for name in ("force", "torque", "speed", "turn"):
            real(name, getattr(self, name), 1e-6, 1e6, "a positive number")


class Guard:
    """Holds one arm within its limits.

    Args:
        spec: the arm.
        workspace: the box of orders.
        period: s between two orders.
        thresholds: what stops it.

    Raises:
        BadOption: the period or the box means nothing, or nobody knows the outline of this family.
    """

    def __init__(self, spec: RobotSpec, workspace: Workspace, period: float, thresholds: Thresholds) -> None:
        self._spec, self._thresholds = spec, thresholds
        self._limits = safety.limits(spec, workspace, period)
        collision.capsules(spec)

    def allow(self, command: Command, state: RobotState) -> Clamped:
        """The nearest order that is allowed; `state` is what the client decided upon.

        Where it would bring links closer to each other or to the table than `collision.MARGIN`, it becomes "stay".

        Raises:
            BadAction: no finite order of the right shape, or one that jumps; nothing may move.
            RobotFault: the measured state is not finite.
        """
        safe = safety.clamp(command, state, self._limits, self._spec)
        given, now, far = (command.tcp, state.tcp, _FAR) if command.joints is None else (command.joints, state.q, _FAR_JOINT)
        if given is not None and (np.abs(given - now) > far).any():
            raise BadAction(f"order {np.round(given, 3)} jumps away from {np.round(now, 3)}; allowed: within {far} of it")
        if self._collides(safe.command, state):
            return Clamped(_stay(safe.command, state), True)
        return safe

    def judge(self, state: RobotState) -> None:
        """Raise Stopped where what is measured is beyond a threshold, RobotFault where it is not finite."""
        t = self._thresholds
        measured = (
            ("contact force", _norm(state.wrench[:3]), t.force, "N"),
            ("contact torque", _norm(state.wrench[3:]), t.torque, "N m"),
            ("speed of the tool", _norm(state.velocity[:3]), t.speed, "m/s"),
            ("turn of the tool", _norm(state.velocity[3:]), t.turn, "rad/s"),
            ("speed of a joint in its limit's units", float(np.abs(state.dq / self._spec.dq_max).max()), 1.0, ""),
        )
        for name, value, most, unit in measured:
            if not value <= most:
                kind = Stopped if np.isfinite(value) else RobotFault
                raise kind(f"{self._spec.name} stopped: {name} is {value:.3g} {unit}, allowed: {most:g}; reset() goes on")

    def _collides(self, command: Command, state: RobotState) -> bool:
        q = command.joints
        if command.tcp is not None:
            q = collision.step(self._spec, state.q, state.tcp, command.tcp)
        if q is None:
            return False
        after = collision.clearance(self._spec, q).distance
        # An arm that is too near already may go away from there.
        return after < collision.MARGIN and after < collision.clearance(self._spec, state.q).distance


def _norm(vector: F64) -> float:
    return float(np.sqrt(vector @ vector))


def _stay(command: Command, state: RobotState) -> Command:
    if command.joints is not None:
        return Command(command.gripper, None, state.q.copy())
    return Command(command.gripper, state.tcp.copy())
