"""An arm as MuJoCo bodies, joints and inertias, built from its RobotSpec alone. It does not know what the arm is for."""

from __future__ import annotations

from typing import Any, NamedTuple

import mujoco
import numpy as np

from user_gym.core import F64, RobotSpec
from user_gym.robots import pose
from user_gym.sim.looks import dress, dress_finger, dress_palm

TOOL, SCENE = 1, 2  # contact classes: tool meets scene, scene meets scene; links are kept clear by the workspace


class Arm(NamedTuple):
    """Handles of what was added to the spec."""

    tool: Any  # body whose frame is the TCP's
    fingers: tuple[str, ...]  # joint names; empty where the gripper is fixed


def wxyz(q: F64) -> F64:
    """Quaternion xyzw (..., 4) to MuJoCo's order."""
    return q[..., [3, 0, 1, 2]]


def add_arm(world: Any, spec: RobotSpec, gripper_moves: bool, held_width: float, dressed: bool) -> Arm:
    """Add the arm to a world body.

    Args:
        world: the MjSpec's worldbody.
        spec: the arm.
        gripper_moves: with finger joints; else the fingers are fixed at `held_width`.
        held_width: m between fixed fingers.
        dressed: with the shapes that only pictures need.
    """
    body = world.add_body(name="link0")
    _inertia(body, spec.link_mass[0], spec.link_com[0], spec.link_inertia[0])
    if dressed:
        dress(body, spec, 0)
    for i in range(spec.dof):
        body = body.add_body(name=f"link{i + 1}", pos=spec.joint_xyz[i], quat=wxyz(pose.rpy(spec.joint_rpy[i])), gravcomp=1)
        _inertia(body, spec.link_mass[i + 1], spec.link_com[i + 1], spec.link_inertia[i + 1])
        body.add_joint(
            name=f"joint{i + 1}",
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=spec.joint_axis[i],
            range=(spec.q_min[i], spec.q_max[i]),
            limited=True,
            armature=spec.armature[i],
            actfrcrange=(-spec.tau_max[i], spec.tau_max[i]),
            actfrclimited=True,
            actgravcomp=True,
            # The twin draws each joint's friction at reset; a model compiled without any cannot be given some later.
            frictionloss=spec.friction[1],
        )
        if dressed:
            dress(body, spec, i + 1)
    hand = body.add_body(name="hand", pos=spec.flange[:3], quat=wxyz(spec.flange[3:]), gravcomp=1)
    if spec.hand_mass > 0:
        _inertia(hand, spec.hand_mass, spec.hand_com, spec.hand_inertia)
    hand.add_site(name="tcp", pos=spec.tcp[:3], quat=wxyz(spec.tcp[3:]))
    tool = hand.add_body(name="tool", pos=spec.tcp[:3], quat=wxyz(spec.tcp[3:]), gravcomp=1)
    if dressed:
        dress_palm(tool, spec)
    return Arm(tool, _fingers(tool, spec, gripper_moves, held_width, dressed))


def _inertia(body: Any, mass: float, com: F64, inertia: F64) -> None:
    body.mass, body.ipos, body.fullinertia, body.explicitinertial = mass, com, inertia, True


def _fingers(tool: Any, spec: RobotSpec, moves: bool, held_width: float, dressed: bool) -> tuple[str, ...]:
    """Two fingers that close along the TCP's y axis; the TCP is midway between their tips."""
    joints = []
    for name, side in (("left", 1), ("right", -1)):
        offset = 0.0 if moves else held_width / 2
        finger = tool.add_body(name=f"{name}_finger", pos=(0, side * offset, 0), gravcomp=1)
        if moves or spec.hand_mass > 0:  # else the last link's inertia has the whole hand in it; what moves needs some
            _inertia(finger, 0.03, np.array([0, side * 0.008, -0.02]), np.array([8.5e-6, 8.5e-6, 1.8e-6, 0, 0, 0]))
        if moves:
            joint = finger.add_joint(
                name=f"{name}_finger",
                type=mujoco.mjtJoint.mjJNT_SLIDE,
                axis=(0, side, 0),
                range=(0, spec.gripper.width / 2),
                limited=True,
                armature=0.1,
            )
            joints.append(joint.name)
        pad = finger.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.010, 0.004, 0.010), pos=(0, side * 0.004, 0), rgba=(0.30, 0.30, 0.32, 1),
            mass=0, contype=TOOL, conaffinity=0, friction=(1.0, 0.005, 0.0001), solref=(0.01, 1.0),
        )  # fmt: skip
        if moves:  # a pad that has to hold something: it resists turning as well, and sinks in by 0.3 mm at 40 N, not 0.8
            pad.condim, pad.priority, pad.solimp = 4, 1, (0.98, 0.998, 0.001, 0.5, 2.0)
        if dressed:
            dress_finger(finger, side)
    return tuple(joints)
