"""A robot's state and a person's order as messages. It knows no connection.

An order names the moment, on the edge's own clock, of the state that the person had: how old it is, one clock says.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from user_gym.core import RobotState, TeleopOrder
from user_gym.errors import BadBlock
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

_FIELDS = tuple(field.name for field in fields(RobotState))
_NUMBERS = ("time", "gripper")  # of no axis
_SIX = ("tcp", "velocity", "wrench")
_MOST_JOINTS, _MOST_ACTIONS = 64, 256


class Seen(NamedTuple):
    """What an operator is shown."""

    source: str
    moment: int  # ns on the edge's clock
    episode: int  # another one: a new episode began
    state: RobotState


class Hand(NamedTuple):
    """What an operator wants."""

    source: str
    moment: int  # of the newest state that the operator had; -1: none yet
    order: TeleopOrder


def seen_message(seen: Seen) -> Message:
    """`read_seen` is the inverse."""
    arrays = {name: np.asarray(getattr(seen.state, name), np.float64) for name in _FIELDS}
    return Message(Kind.SEEN, {"source": seen.source, "moment": seen.moment, "episode": seen.episode}, arrays)


def read_seen(message: Message) -> Seen:
    """Raises BadBlock."""
    arrays = message.arrays
    shapes = {name: arrays[name].shape for name in _FIELDS if name in arrays and arrays[name].dtype == np.float64}
    joints = shapes.get("q", ())
    wanted = {name: () if name in _NUMBERS else (6,) if name in _SIX else joints for name in _FIELDS}
    if shapes != wanted or len(joints) != 1 or joints[0] > _MOST_JOINTS:
        raise BadBlock("state of a robot", shapes, "float64 arrays of a core.RobotState")
    state = RobotState(**{name: arrays[name][()] if name in _NUMBERS else arrays[name] for name in _FIELDS})
    return Seen(words.text(message, "source", 200), words.number(message, "moment"), words.number(message, "episode"), state)


def hand_message(hand: Hand) -> Message:
    """`read_hand` is the inverse."""
    order = hand.order
    said = {
        "source": hand.source, "moment": hand.moment, "active": bool(order.active),
        "success": None if order.success is None else bool(order.success), "terminate": bool(order.terminate),
        "rerecord": bool(order.rerecord),
    }  # fmt: skip
    return Message(Kind.HAND, said, {"action": np.asarray(order.action, np.float32)})


def read_hand(message: Message) -> Hand:
    """Raises BadBlock."""
    action = message.arrays.get("action")
    if action is None or action.ndim != 1 or len(action) > _MOST_ACTIONS or action.dtype != np.float32:
        raise BadBlock("action of an operator", message.arrays.keys(), f"'action', float32 (n,), n <= {_MOST_ACTIONS}")
    if not np.isfinite(action).all() or (np.abs(action) > 1.0).any():
        raise BadBlock("action of an operator", action.tolist(), "finite numbers in [-1, 1]")
    success = message.words.get("success")
    if success is not None and not isinstance(success, bool):
        raise BadBlock("'success' of an order", success, "true, false or null")
    flags = [words.flag(message, name) for name in ("active", "terminate", "rerecord")]
    order = TeleopOrder(action.copy(), flags[0], success, flags[1], flags[2], "operator")
    return Hand(words.text(message, "source", 200), words.number(message, "moment", -1), order)


def age(moment: int, now: int) -> float:
    """s since a moment, both in ns; inf: there was none, or it is none of this clock's."""
    return (now - moment) / 1e9 if 0 <= moment <= now else math.inf
