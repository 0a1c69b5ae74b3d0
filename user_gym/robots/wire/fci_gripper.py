"""Franka's gripper protocol as data: version 3, which every client since libfranka 0.6 speaks. Pure."""

from __future__ import annotations

import struct
from enum import IntEnum
from types import MappingProxyType

import numpy as np

from user_gym.robots.wire.fci import CONNECT_REQUEST

VERSION = 3
STATE = np.dtype([("message_id", "<u4"), ("width", "<f8"), ("max_width", "<f8"), ("is_grasped", "u1"), ("temperature", "<u2")])


class Call(IntEnum):
    """What a client may ask of a gripper."""

    CONNECT = 0
    HOMING = 1
    GRASP = 2
    MOVE = 3
    STOP = 4


REQUESTS = MappingProxyType(
    {
        Call.CONNECT: CONNECT_REQUEST,
        Call.HOMING: struct.Struct(""),
        Call.GRASP: struct.Struct("<5d"),  # width, epsilon inner, epsilon outer m, speed m/s, force N
        Call.MOVE: struct.Struct("<2d"),  # width m, speed m/s
        Call.STOP: struct.Struct(""),
    }
)


class Status(IntEnum):
    """How a gripper's call ended."""

    SUCCESS = 0
    FAIL = 1  # the client throws
    UNSUCCESSFUL = 2  # the client's call returns False
    ABORTED = 3  # the client throws
