"""URDF text of an arm, from its RobotSpec: the model that an FCI server hands to its client. No meshes, no hand.

libfranka 0.18 and later compute kinematics and dynamics from it. They want joints whose names contain joint1 .. joint7, each
with `position_based_velocity_limits`, and a last link called link8; the end effector and the load reach them by other ways and
would count twice here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from user_gym.core import F64, RobotSpec
from user_gym.errors import BadOption


def text(spec: RobotSpec, velocity: F64) -> str:
    """The arm up to its flange.

    Args:
        spec: the arm.
        velocity: (dof, 5) rows k, o, upper, lower, cap of `robots.franka.VELOCITY`: a joint may turn at most
            min(cap, sqrt(k (upper - q)) - o) rad/s towards its upper limit, and likewise towards -lower.

    Raises:
        BadOption: the table is not of the arm's size.
    """
    if velocity.shape != (spec.dof, 5):
        raise BadOption("velocity table", velocity.shape, f"one of shape {(spec.dof, 5)}", f"of {spec.name}")
    return "\n".join(_lines(spec, velocity)) + "\n"


def _lines(spec: RobotSpec, velocity: F64) -> Iterator[str]:
    yield '<?xml version="1.0"?>'
    yield f'<robot name="{spec.name}">'
    yield '  <mujoco><compiler fusestatic="false" balanceinertia="true"/></mujoco>'
    for i in range(spec.dof + 1):
        yield from _link(i, spec)
    last = spec.dof + 1
    yield f'  <link name="link{last}"/>'
    for i in range(spec.dof):
        yield from _joint(i, spec, velocity[i])
    yield f'  <joint name="joint{last}" type="fixed">'
    yield f'    <origin xyz="{_row(spec.flange[:3])}" rpy="0 0 0"/>'
    yield f'    <parent link="link{spec.dof}"/><child link="link{last}"/>'
    yield "  </joint>"
    yield "</robot>"


def _link(i: int, spec: RobotSpec) -> Iterator[str]:
    xx, yy, zz, xy, xz, yz = (_number(v) for v in spec.link_inertia[i])
    yield f'  <link name="link{i}">'
    yield "    <inertial>"
    yield f'      <origin xyz="{_row(spec.link_com[i])}" rpy="0 0 0"/>'
    yield f'      <mass value="{_number(spec.link_mass[i])}"/>'
    yield f'      <inertia ixx="{xx}" iyy="{yy}" izz="{zz}" ixy="{xy}" ixz="{xz}" iyz="{yz}"/>'
    yield "    </inertial>"
    yield "  </link>"


def _joint(i: int, spec: RobotSpec, velocity: F64) -> Iterator[str]:
    k, offset, upper, lower, cap = velocity
    effort = _number(spec.tau_max[i])
    yield f'  <joint name="joint{i + 1}" type="revolute">'
    yield f'    <origin xyz="{_row(spec.joint_xyz[i])}" rpy="{_row(spec.joint_rpy[i])}"/>'
    yield f'    <parent link="link{i}"/><child link="link{i + 1}"/>'
    yield f'    <axis xyz="{_row(spec.joint_axis[i])}"/>'
    yield f'    <limit lower="{_number(-lower)}" upper="{_number(upper)}" velocity="{_number(cap)}" effort="{effort}"/>'
    yield (f'    <position_based_velocity_limits velocity_offset="{_number(offset)}" deceleration_limit="{_number(k / 2)}"/>')
    yield "  </joint>"


def _number(value: float) -> str:
    return repr(float(value))


def _row(values: F64) -> str:
    return " ".join(_number(v) for v in np.asarray(values))
