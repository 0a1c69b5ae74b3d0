"""Franka's robot protocol as data: layouts, numbers and names of each server version. Pure.

All structs are packed and little-endian; matrices are column-major; SI units. What differs between versions stands in `V5` and
`V10`, and nowhere else. Source: libfranka-common's service_types.h and rbk_types.h; the sizes were checked against wheels.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

ROBOT_PORT, GRIPPER_PORT = 1337, 1338  # fixed in the clients
TICK = 0.001  # s between two states
MAX_MESSAGE = 4096  # bytes of a request; the longest is SetCollisionBehavior's 428


class Call(Enum):
    """What a client may ask of a robot, and its request's payload in bytes; Move's is the version's."""

    CONNECT = ("Connect", 4)
    MOVE = ("Move", -1)
    STOP_MOVE = ("StopMove", 0)
    GET_CARTESIAN_LIMIT = ("GetCartesianLimit", 4)
    SET_COLLISION_BEHAVIOR = ("SetCollisionBehavior", 416)
    SET_JOINT_IMPEDANCE = ("SetJointImpedance", 56)
    SET_CARTESIAN_IMPEDANCE = ("SetCartesianImpedance", 48)
    SET_GUIDING_MODE = ("SetGuidingMode", 7)
    SET_EE_TO_K = ("SetEEToK", 128)
    SET_NE_TO_EE = ("SetNEToEE", 128)
    SET_LOAD = ("SetLoad", 104)
    SET_FILTERS = ("SetFilters", 40)
    AUTOMATIC_ERROR_RECOVERY = ("AutomaticErrorRecovery", 0)
    LOAD_MODEL_LIBRARY = ("LoadModelLibrary", 2)
    GET_ROBOT_MODEL = ("GetRobotModel", 0)


class Outcome(Enum):
    """How a call ended; a version and a call give it its number."""

    SUCCESS = "success"
    STARTED = "motion started"
    PREEMPTED = "preempted"
    NOT_POSSIBLE = "not possible in the current mode"
    SINGULAR = "start at a singular pose"
    INVALID = "invalid argument"
    REFLEX = "aborted by a reflex"
    EMERGENCY = "aborted by the user stop"
    INPUT_ERROR = "aborted by an input error"
    ABORTED = "aborted"
    MANUAL_RECOVERY = "manual recovery required"


class Mode(IntEnum):
    """`robot_mode` of a state."""

    OTHER = 0
    IDLE = 1
    MOVE = 2
    GUIDING = 3
    REFLEX = 4
    USER_STOPPED = 5
    RECOVERY = 6


class Controller(IntEnum):
    """Controllers as Move and a state number them."""

    JOINT_IMPEDANCE = 0
    CARTESIAN_IMPEDANCE = 1
    EXTERNAL = 2
    NONE = 3  # of a state, outside motions


class Generator(IntEnum):
    """Motion generators as a state numbers them; Move's numbers are one less."""

    IDLE = 0
    JOINT_POSITION = 1
    JOINT_VELOCITY = 2
    CARTESIAN_POSITION = 3
    CARTESIAN_VELOCITY = 4
    NONE = 5  # torque control alone


ERRORS = (
    "joint_position_limits_violation",
    "cartesian_position_limits_violation",
    "self_collision_avoidance_violation",
    "joint_velocity_violation",
    "cartesian_velocity_violation",
    "force_control_safety_violation",
    "joint_reflex",
    "cartesian_reflex",
    "max_goal_pose_deviation_violation",
    "max_path_pose_deviation_violation",
    "cartesian_velocity_profile_safety_violation",
    "joint_position_motion_generator_start_pose_invalid",
    "joint_motion_generator_position_limits_violation",
    "joint_motion_generator_velocity_limits_violation",
    "joint_motion_generator_velocity_discontinuity",
    "joint_motion_generator_acceleration_discontinuity",
    "cartesian_position_motion_generator_start_pose_invalid",
    "cartesian_motion_generator_elbow_limit_violation",
    "cartesian_motion_generator_velocity_limits_violation",
    "cartesian_motion_generator_velocity_discontinuity",
    "cartesian_motion_generator_acceleration_discontinuity",
    "cartesian_motion_generator_elbow_sign_inconsistent",
    "cartesian_motion_generator_start_elbow_invalid",
    "force_controller_desired_force_tolerance_violation",
    "start_elbow_sign_inconsistent",
    "communication_constraints_violation",
    "power_limit_violation",
    "cartesian_motion_generator_joint_position_limits_violation",
    "cartesian_motion_generator_joint_velocity_limits_violation",
    "cartesian_motion_generator_joint_velocity_discontinuity",
    "cartesian_motion_generator_joint_acceleration_discontinuity",
    "cartesian_position_motion_generator_invalid_frame",
    "controller_torque_discontinuity",
    "joint_p2p_insufficient_torque_for_planning",
    "tau_J_range_violation",
    "instability_detected",
    "joint_move_in_wrong_direction",
    "cartesian_spline_violation",
    "joint_via_motion_generator_planning_joint_limit_violation",
    "base_acceleration_initialization_timeout",
    "base_acceleration_invalid_reading",
)

_FIELDS = (
    *(("O_T_EE", 16), ("O_T_EE_d", 16), ("F_T_EE", 16), ("EE_T_K", 16), ("F_T_NE", 16), ("NE_T_EE", 16)),
    *(("m_ee", 1), ("I_ee", 9), ("F_x_Cee", 3), ("m_load", 1), ("I_load", 9), ("F_x_Cload", 3)),
    *(("elbow", 2), ("elbow_d", 2), ("tau_J", 7), ("tau_J_d", 7), ("dtau_J", 7)),
    *(("q", 7), ("q_d", 7), ("dq", 7), ("dq_d", 7), ("ddq_d", 7)),
    *(("joint_contact", 7), ("cartesian_contact", 6), ("joint_collision", 7), ("cartesian_collision", 6)),
    *(("tau_ext_hat_filtered", 7), ("O_F_ext_hat_K", 6), ("K_F_ext_hat_K", 6)),
    *(("O_dP_EE_d", 6), ("O_ddP_O", 3), ("elbow_c", 2), ("delbow_c", 2), ("ddelbow_c", 2)),
    *(("O_T_EE_c", 16), ("O_dP_EE_c", 6), ("O_ddP_EE_c", 6), ("theta", 7), ("dtheta", 7)),
)
_ACCELEROMETERS = (("accelerometer_top", 18), ("accelerometer_bottom", 18))


def _state(number: str, fields: tuple[tuple[str, int], ...]) -> np.dtype[np.void]:
    """The layout of a state whose floats are `number`."""
    floats = [(name, number, (size,)) if size > 1 else (name, number) for name, size in fields]
    flags = [
        ("motion_generator_mode", "u1"),
        ("controller_mode", "u1"),
        ("errors", "u1", (41,)),
        ("reflex_reason", "u1", (41,)),
    ]
    return np.dtype([("message_id", "<u8"), *floats, *flags, ("robot_mode", "u1"), ("control_command_success_rate", number)])


_COMMAND = [
    ("message_id", "<u8"),
    ("q_c", "<f8", (7,)),
    ("dq_c", "<f8", (7,)),
    ("O_T_EE_c", "<f8", (16,)),
    ("O_dP_EE_c", "<f8", (6,)),
    ("elbow_c", "<f8", (2,)),
    ("valid_elbow", "u1"),
    ("motion_generation_finished", "u1"),
    ("tau_J_d", "<f8", (7,)),
]


@dataclass(frozen=True, slots=True)
class Version:
    """One robot server version."""

    number: int
    state: np.dtype[np.void]
    command: np.dtype[np.void]
    move: struct.Struct  # controller, generator, deviations, and in v10 what this server does not use
    generators: tuple[Generator, ...]  # by Move's number
    calls: Mapping[int, Call]
    statuses: Mapping[Call, Mapping[Outcome, int]]  # of calls that are not setters

    def status(self, call: Call, outcome: Outcome) -> int:
        """The number of an outcome in a reply. Raises KeyError where the call cannot end so."""
        return self.statuses.get(call, _SETTER)[outcome]

    def request_size(self, call: Call) -> int:
        """Bytes of a request's payload."""
        return self.move.size if call is Call.MOVE else call.value[1]

    def number_of(self, call: Call) -> int:
        """The call's number. Raises KeyError where this version has no such call."""
        return {known: number for number, known in self.calls.items()}[call]


_SETTER = MappingProxyType({Outcome.SUCCESS: 0, Outcome.NOT_POSSIBLE: 1, Outcome.INVALID: 2})
_MOVING = (Outcome.SUCCESS, Outcome.STARTED, Outcome.PREEMPTED)
_REFUSED = (
    Outcome.NOT_POSSIBLE,
    Outcome.SINGULAR,
    Outcome.INVALID,
    Outcome.REFLEX,
    Outcome.EMERGENCY,
    Outcome.INPUT_ERROR,
    Outcome.ABORTED,
)


def _statuses(
    move: int, stop: tuple[int, int, int], recovery: tuple[int, int, int, int]
) -> Mapping[Call, Mapping[Outcome, int]]:
    """Tables of a version: Move's refusals count from `move`; the others name theirs."""
    o = Outcome
    moving = {outcome: i for i, outcome in enumerate(_MOVING)} | {outcome: move + i for i, outcome in enumerate(_REFUSED)}
    stopping = {o.SUCCESS: 0, o.NOT_POSSIBLE: 1, **dict(zip((o.EMERGENCY, o.REFLEX, o.ABORTED), stop, strict=True))}
    names = (o.MANUAL_RECOVERY, o.REFLEX, o.EMERGENCY, o.ABORTED)
    recovering = {o.SUCCESS: 0, o.NOT_POSSIBLE: 1, **dict(zip(names, recovery, strict=True))}
    return MappingProxyType({Call.MOVE: moving, Call.STOP_MOVE: stopping, Call.AUTOMATIC_ERROR_RECOVERY: recovering})


_GENERATORS = (
    Generator.JOINT_POSITION,
    Generator.JOINT_VELOCITY,
    Generator.CARTESIAN_POSITION,
    Generator.CARTESIAN_VELOCITY,
)
_SETTERS = (
    Call.SET_COLLISION_BEHAVIOR,
    Call.SET_JOINT_IMPEDANCE,
    Call.SET_CARTESIAN_IMPEDANCE,
    Call.SET_GUIDING_MODE,
    Call.SET_EE_TO_K,
    Call.SET_NE_TO_EE,
    Call.SET_LOAD,
)
_V5_CALLS = (
    *(Call.CONNECT, Call.MOVE, Call.STOP_MOVE, Call.GET_CARTESIAN_LIMIT, *_SETTERS),
    *(Call.SET_FILTERS, Call.AUTOMATIC_ERROR_RECOVERY, Call.LOAD_MODEL_LIBRARY),
)
_V10_CALLS = (Call.CONNECT, Call.MOVE, Call.STOP_MOVE, *_SETTERS, Call.AUTOMATIC_ERROR_RECOVERY, Call.GET_ROBOT_MODEL)

V5 = Version(
    number=5,
    state=_state("<f8", _FIELDS),
    command=np.dtype(_COMMAND),
    move=struct.Struct("<II6d"),
    generators=_GENERATORS,
    calls=MappingProxyType(dict(enumerate(_V5_CALLS))),
    statuses=_statuses(3, (2, 3, 4), (2, 3, 4, 5)),
)
V10 = Version(
    number=10,
    state=_state("<f4", (*_FIELDS, *_ACCELEROMETERS)),
    command=np.dtype([*_COMMAND, ("torque_command_finished", "u1")]),
    move=struct.Struct("<II6d?7d"),
    generators=(*_GENERATORS, Generator.NONE),
    calls=MappingProxyType(dict(enumerate(_V10_CALLS))),
    statuses=_statuses(5, (3, 4, 5), (3, 4, 5, 6)),
)
VERSIONS: Mapping[str, Version] = MappingProxyType({"franka-fr3": V10, "franka-fer": V5})


class Header(NamedTuple):
    """What precedes a payload on TCP."""

    command: int
    command_id: int
    size: int  # bytes of header and payload


class Port(NamedTuple):
    """How one of the two servers frames its messages."""

    header: struct.Struct
    status: struct.Struct

    def message(self, command: int, command_id: int, payload: bytes) -> bytes:
        """Header and payload."""
        return self.header.pack(command, command_id, self.header.size + len(payload)) + payload

    def reply(self, command: int, command_id: int, status: int, rest: bytes = b"") -> bytes:
        """A reply: it repeats command and command_id, and its payload begins with the status."""
        return self.message(command, command_id, self.status.pack(status) + rest)

    def read(self, data: bytes | bytearray) -> Header | None:
        """The header of a message whose beginning has arrived; None: not yet."""
        return Header(*self.header.unpack_from(data)) if len(data) >= self.header.size else None


ROBOT = Port(struct.Struct("<III"), struct.Struct("<B"))
GRIPPER = Port(struct.Struct("<HII"), struct.Struct("<H"))
CONNECT_REQUEST = struct.Struct("<HH")  # version, the client's UDP port
CONNECT_VERSION = struct.Struct("<H")
ACCEPTED, OTHER_VERSION = 0, 1
