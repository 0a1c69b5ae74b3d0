"""No order reaches a robot before it went through here. Pure: the same in a simulator, a driver and at the edge.

A driver keeps its own limits and watchdog besides. This file knows no task, no time and no contact: it bounds where an
order may point, how far it may be from what is measured, and keeps joints from being pushed into their stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from user_gym.core import F64, Bool, Command, RobotSpec, RobotState, Workspace
from user_gym.errors import BadAction, BadOption, RobotFault
from user_gym.robots import kinematics, pose

_DAMPING = 1e-3  # of the least squares that turn a TCP step into a joint step: bounded near singular poses
_ROUNDING = 1e-9  # m or rad; what arithmetic may add without it counting as "farther out"
_NEAR = 0.2  # rad to a joint's margin within which an order is checked by kinematics; one step turns no joint farther
JOINT_TILT = 0.3  # rad that a joint order may turn the tool beyond the box: one joint alone cannot keep it upright
_WIDER = np.array([0.0, 0.0, 0.0, JOINT_TILT, JOINT_TILT, JOINT_TILT])
JOINT_STEP = 0.05  # rad that a joint order may be from the measured joint; at 10 Hz a quarter of the slowest joint's speed
_VISIBLE = 1e-6  # m or rad; a smaller change of an order is no clip: no arm can tell


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """What an order may ask of one robot in one workspace at one rate. Build it with `limits`."""

    low: F64  # (6,) m, rad: box of the pose chart
    high: F64  # (6,) m, rad
    step: F64  # (6,) m, rad: from the measured TCP, per axis and period
    q_low: F64  # (dof,) rad: joint limits less the margin
    q_high: F64  # (dof,) rad
    joint_step: F64  # (dof,) rad: from the measured joints, per period; JOINT_STEP, or less where the joint is slower


class Clamped(NamedTuple):
    """A safe order, and whether it differs from the one that came."""

    command: Command
    clipped: Bool | bool  # (...,)


def limits(spec: RobotSpec, workspace: Workspace, period: float) -> Limits:
    """Limits of orders given every `period` s. Raises BadOption for a period or a box that means nothing."""
    if not 0.0 < period < inf:
        raise BadOption("period", period, "a positive number of seconds")
    low, high = np.array(workspace.low, float), np.array(workspace.high, float)
    if low.shape != (6,) or high.shape != (6,) or not np.all(np.isfinite([low, high])) or not np.all(low <= high):
        raise BadOption("workspace", (low.tolist(), high.tolist()), "low <= high, six finite numbers each")
    metres, radians = spec.tcp_speed
    step = np.array([metres] * 3 + [radians] * 3) * period
    joint_step = np.minimum(spec.dq_max * period, JOINT_STEP)
    return Limits(low, high, step, spec.q_min + spec.joint_margin, spec.q_max - spec.joint_margin, joint_step)


def clamp(command: Command, state: RobotState, limits: Limits, spec: RobotSpec) -> Clamped:
    """The nearest order that is allowed, given what is measured. One arm or a batch, row by row the same.

    A TCP order is brought into the box, then within one step of the measured TCP: an arm outside the box comes back step
    by step. It is shortened where it would take a joint past its margin, to nothing if the joint is there already.

    A joint order is brought within the joint limits, then within one step, and becomes "stay" where the TCP would
    leave the box, or would be outside it and not on its way back; for its rotation the box is JOINT_TILT wider. The gripper
    is brought into 0..1.

    Raises:
        BadAction: the order is not finite, has the wrong shape, or is not exactly one of `tcp` and `joints`.
        RobotFault: the measured state is not finite.
    """
    gripper, gripper_clipped = _gripper(command.gripper)
    if command.joints is None and command.tcp is not None:
        target, clipped = _bounded("tcp", command.tcp, state.tcp, limits.low, limits.high, limits.step)
        room = np.minimum(state.q - limits.q_low, limits.q_high - state.q)
        if not np.minimum.reduce(room, None) > _NEAR:  # "not >" also catches NaN
            _refuse("measured joints", state.q, RobotFault)
            clipped = clipped | _shorten(target, state, limits, spec)
        return Clamped(Command(gripper, target), clipped | gripper_clipped)
    if command.tcp is None and command.joints is not None:
        target, clipped = _bounded("joints", command.joints, state.q, limits.q_low, limits.q_high, limits.joint_step)
        clipped = clipped | _stay(_leaves_the_box(target, state.q, limits, spec), target, state.q)
        return Clamped(Command(gripper, None, target), clipped | gripper_clipped)
    raise BadAction("an order gives exactly one of tcp and joints")


def _bounded(name: str, order: F64, now: F64, low: F64, high: F64, step: F64) -> tuple[F64, Bool]:
    """The order inside the box, then within a step of now; and which rows (...,) that changed."""
    if order.shape != now.shape:
        raise BadAction(f"order {name} has shape {order.shape}; allowed: {now.shape}, the shape of what is measured")
    target = np.maximum(order, low)
    np.minimum(target, high, out=target)
    np.maximum(target, now - step, out=target)
    np.minimum(target, now + step, out=target)
    change = np.maximum.reduce(np.abs(target - order), -1)
    if not (change.max() if change.ndim else change) < inf:  # NaN and infinity of either side end up here
        _refuse(f"order {name}", order, BadAction)
        _refuse(f"measured {name}", now, RobotFault)
    return target, change > _VISIBLE


def _gripper(value: F64 | float) -> tuple[F64 | float, Bool | bool]:
    """The gripper's order in 0..1, and where that changed it."""
    if isinstance(value, float) and 0.0 <= value <= 1.0:
        return value, False
    value = np.asarray(value, float)
    _refuse("order gripper", value, BadAction)
    target = np.minimum(np.maximum(value, 0.0), 1.0)
    return (target if target.ndim else float(target)), target != value


def _refuse(name: str, values: F64, error: type[Exception]) -> None:
    """Raise an error that names the first entry that is not finite, if there is one."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        index = tuple(bad[0].tolist())
        raise error(f"{name}{list(index) if index else ''} is {values[index]}; allowed: finite numbers")


def _stay(forbidden: Bool, target: F64, now: F64) -> Bool:
    """Overwrite the forbidden rows (...,) of target with `now`; return which of them that changed."""
    changed = forbidden & (target != now).any(axis=-1)
    np.copyto(target, now, where=forbidden[..., None])
    return changed


def _shorten(target: F64, state: RobotState, limits: Limits, spec: RobotSpec) -> Bool:
    """Shorten the TCP steps that would take a joint past its margin, in place; return where (...,) one was."""
    near = (state.q - limits.q_low <= _NEAR) | (limits.q_high - state.q <= _NEAR)
    shortened = np.zeros(target.shape[:-1], bool)
    for row in np.argwhere(near.any(axis=-1)):  # few rows, and LAPACK's answer is then the same for each
        row = tuple(row)
        now, q = state.tcp[row], state.q[row]
        joints = _joint_step(target[row], now, q, spec)
        # Room in the direction of each joint's motion; a joint that is past its margin has none to go farther.
        room = np.maximum(np.where(joints > 0, limits.q_high - q, q - limits.q_low), 0.0)
        share = np.min(room / np.maximum(np.abs(joints), _ROUNDING))
        if share < 1.0:
            target[row] = now + share * (target[row] - now)
            shortened[row] = True
    return shortened[()]


def _joint_step(target: F64, tcp: F64, q: F64, spec: RobotSpec) -> F64:
    """Joint displacement (dof,) that takes the tool from tcp (6,) to target (6,), to first order."""
    turn = pose.multiply(pose.from_chart(target)[3:], pose.conjugate(pose.from_chart(tcp)[3:]))
    move = np.concatenate([target[:3] - tcp[:3], pose.log(turn)])
    jacobian = kinematics.jacobian(spec, q)
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + _DAMPING**2 * np.eye(6), move)


def _leaves_the_box(target: F64, q: F64, limits: Limits, spec: RobotSpec) -> Bool:
    """Where (...,) these joints would put the TCP out of the box, on any axis where it is not on its way back."""
    outside = _outside(kinematics.forward(spec, target), limits)
    forbidden = np.asarray((outside > _ROUNDING).any(axis=-1))
    if forbidden.any():  # rarely worth a second run through the kinematics
        outside_now = _outside(kinematics.forward(spec, q), limits)
        forbidden = np.asarray(((outside > _ROUNDING) & (outside > outside_now - _VISIBLE)).any(axis=-1))
    return forbidden


def _outside(tcp: F64, limits: Limits) -> F64:
    """How far (..., 6) m, rad a TCP pose (..., 7) is out of the box, per axis; the rotation's box is JOINT_TILT wider."""
    chart = pose.to_chart(tcp)
    return np.maximum(np.maximum(limits.low - _WIDER - chart, chart - limits.high - _WIDER), 0.0)
