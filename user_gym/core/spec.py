"""An arm as data: what a simulator, a driver and a task need to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from user_gym.core.arrays import F64


class Damping(Enum):
    """Where the damping of Cartesian impedance comes from."""

    CARTESIAN = "cartesian"  # the controller: force = -D v (Franka, 1 kHz torque control)
    JOINT = "joint"  # the motors: torque = -kd dq (ARX; facts: over CAN the host's damping diverges)


class ForceEstimate(Enum):
    """How the contact wrench is known: the same definition in sim, twin and real. A twin adds no sensor noise of its own."""

    WRIST = "wrist"  # external wrench that the robot itself reports
    JOINT_TORQUES = "joint torques"  # inv(J^T) (gravity - measured torque)


@dataclass(frozen=True, slots=True)
class Compliance:
    """Cartesian impedance with a clipped error: force = clip(K e, K clip) - D v.

    Forces act along the base's axes, torques along the axes of the ordered orientation.
    """

    stiffness: F64  # (6,) N/m, N m/rad
    damping: F64  # (6,) N s/m, N m s/rad; unused where damping comes from the joints
    error_clip: F64  # (6,) m, rad; bounds force (K clip) and free speed (K clip / D)


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A pinhole camera; it looks along its own +z, image x to the right, y down."""

    name: str
    mount: str  # "tool": pose is in the TCP frame; "base": in the base frame
    pose: F64  # (7,) m, xyzw
    fovy: float  # rad, vertical
    height: int = 128  # pixels
    width: int = 128


@dataclass(frozen=True, slots=True)
class Gripper:
    """A parallel gripper."""

    width: float  # m between the fingers when open
    speed: float  # m/s of the width
    force: float  # N


@dataclass(frozen=True, slots=True, eq=False)
class RobotSpec:
    """An arm as data. Two robots are two records, never two classes.

    Link 0 is the base; link i hangs on joint i (1-based). Inertias are about the link's centre of mass, link axes.
    """

    name: str
    family: str  # "franka" | "arx": protocol and client follow from the name
    inertia_set: str  # which published set the link_* fields are
    joint_xyz: F64  # (dof, 3) m, origin in the parent link
    joint_rpy: F64  # (dof, 3) rad, fixed-axis roll, pitch, yaw
    joint_axis: F64  # (dof, 3) unit vectors, child frame
    q_min: F64  # (dof,) rad
    q_max: F64  # (dof,) rad
    dq_max: F64  # (dof,) rad/s
    tau_max: F64  # (dof,) N m
    armature: F64  # (dof,) kg m2, reflected rotor inertia
    joint_stiffness: F64  # (dof,) N m/rad, joint impedance mode
    joint_damping: F64  # (dof,) N m s/rad, joint impedance mode, and the motors' law where damping is JOINT
    friction: tuple[float, float]  # N m, range from which the twin draws each joint's Coulomb friction
    link_mass: F64  # (dof + 1,) kg
    link_com: F64  # (dof + 1, 3) m
    link_inertia: F64  # (dof + 1, 6) kg m2: xx yy zz xy xz yz
    flange: F64  # (7,) pose of the hand in the last link
    hand_mass: float  # kg; 0 where the last link's inertia includes the hand
    hand_com: F64  # (3,) m, hand frame
    hand_inertia: F64  # (6,) kg m2
    tcp: F64  # (7,) pose of the TCP in the hand frame; +z leaves the tool, fingers move along y
    gripper: Gripper
    gravity: float  # m/s2, of the vendor's own model
    home: F64  # (dof,) rad
    work_point: F64  # (3,) m, base frame: where a task puts the centre of its work on the table (z = 0)
    compliance: Compliance
    damping: Damping
    force_estimate: ForceEstimate
    tcp_speed: tuple[float, float]  # m/s, rad/s: no order asks for more than this in one period
    joint_margin: float  # rad kept from every joint limit
    control_rate: float  # Hz, of the robot's own loop
    cameras: tuple[CameraSpec, ...]

    @property
    def dof(self) -> int:
        """Number of arm joints, without the gripper."""
        return len(self.q_min)
