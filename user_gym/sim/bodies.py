"""A task's bodies as MuJoCo bodies, geoms and joints, built from the records of `core.task`. It knows no task."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from user_gym.core import Body, Joint, Shape, Task
from user_gym.errors import BadOption
from user_gym.sim.arm import SCENE, TOOL, Arm, wxyz

MIN_FRICTION = 0.001  # with none at all a steady push was seen to explode
GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}
MOUNTS = ("table", "free", "tool")
KINDS = ("hinge", "slide", "screw")
# What a joint's own body weighs is too little to integrate springs and friction with: 1e-3 kg m2 turn at 1 rad/s with 0.5 mJ.
ARMATURE = {"hinge": 1e-3, "slide": 0.1, "screw": 1e-3}  # kg m2, kg
LEAD_ARMATURE = 0.5  # kg along a screw's axis; seen from its turning 1e-7 kg m2
# MuJoCo's constraints are as soft as 1 - this. At its own 0.9 dry friction creeps like honey, and a screw is pushed through its
# thread: 20 N moved a cap of 20 g by several mm.
RIGID = (0.9999, 0.9999, 0.001, 0.5, 2.0)
# 1/s2 and 1/s: as stiff as 5 ms, the longest time step, allow. 20 N along the axis then move a screw by 0.05 mm.
THREAD = (-4e4, -200.0)
_FAR = 1e6  # rad, m: an end of a spring's slack that is never reached


def add_body(ms: Any, arm: Arm, body: Body, before: tuple[Body, ...]) -> None:
    """Add one body.

    Args:
        ms: the MjSpec.
        arm: whose tool holds what is mounted on it.
        body: the record.
        before: the bodies that were added already, which it may hang on.

    Raises:
        BadOption: a kind, a mount or a number that means nothing.
    """
    if not body.friction >= MIN_FRICTION:
        raise BadOption("friction", body.friction, f"{MIN_FRICTION} or more", f"of body {body.name!r}")
    if not 0.0 <= body.rolling < np.inf:
        raise BadOption("rolling", body.rolling, "0 or more", f"of body {body.name!r}")
    carriers = [b.name for b in before if b.mount != "tool"]
    if body.joint is not None and body.mount not in carriers:
        raise BadOption("mount", body.mount, " | ".join(carriers) or "a body before it", f"of jointed body {body.name!r}")
    world, kind = ms.worldbody, SCENE
    if body.mount == "tool":
        parent, kind = arm.tool.add_body(name=body.name, pos=body.pose[:3], quat=wxyz(body.pose[3:]), gravcomp=1), TOOL
    elif body.mount == "table":
        parent = world.add_body(name=body.name, mocap=True)
    elif body.mount == "free":
        parent = world.add_body(name=body.name)
        parent.add_joint(name=f"{body.name}_free", type=mujoco.mjtJoint.mjJNT_FREE)
    elif body.joint is not None:
        parent = ms.body(body.mount).add_body(name=body.name, pos=body.pose[:3], quat=wxyz(body.pose[3:]))
        _add_joint(ms, parent, body.name, body.joint)  # it says what stops it: between parent and child MuJoCo makes no contact
    else:
        raise BadOption("mount", body.mount, " | ".join(MOUNTS) + " | a body before it, by a joint", f"of body {body.name!r}")
    for shape in body.shapes:
        _add_shape(parent, shape, body, kind)


def _add_joint(ms: Any, parent: Any, name: str, joint: Joint) -> None:
    check_joint(name, joint)
    if joint.kind == "screw":
        lead = parent.add_joint(
            name=f"{name}_lead", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=joint.axis, armature=LEAD_ARMATURE, limited=False
        )
        ms.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            name1=lead.name,
            name2=name,
            data=[0.0, lead_of(joint), *[0.0] * 10],
            solref=THREAD,
            solimp=RIGID,
        )
    parent.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE if joint.kind == "slide" else mujoco.mjtJoint.mjJNT_HINGE,
        axis=joint.axis,
        range=(joint.low, joint.high),
        limited=True,
        solref_limit=(0.01, 1.0),
        damping=joint.damping,
        frictionloss=joint.friction,
        solref_friction=(0.01, 1.0),
        solimp_friction=RIGID,
        armature=ARMATURE[joint.kind],
    )
    if joint.seat is not None and joint.seat_stiffness > 0:
        spring = ms.add_tendon(name=f"{name}_seat", stiffness=joint.seat_stiffness, springlength=(-_FAR, joint.seat))
        spring.wrap_joint(name, 1.0)


def lead_of(joint: Joint) -> float:
    """m along its axis for each rad of a screw."""
    return joint.pitch / (2 * np.pi)


def check_joint(name: str, joint: Joint) -> None:
    """Raise BadOption where a joint's numbers mean nothing."""
    if joint.kind not in KINDS:
        raise BadOption("kind of joint", joint.kind, " | ".join(KINDS), f"of body {name!r}")
    if joint.axis.shape != (3,) or not abs(np.linalg.norm(joint.axis) - 1.0) <= 1e-6:
        raise BadOption("axis of joint", joint.axis.tolist(), "a unit vector of 3 numbers", f"of body {name!r}")
    if not joint.low < joint.high:
        raise BadOption("range of joint", (joint.low, joint.high), "low below high", f"of body {name!r}")
    for field in ("friction", "damping", "seat_stiffness"):
        if not 0.0 <= getattr(joint, field) < np.inf:
            raise BadOption(f"{field} of joint", getattr(joint, field), "0 or more", f"of body {name!r}")
    if (joint.pitch != 0.0) != (joint.kind == "screw"):
        raise BadOption("pitch of joint", joint.pitch, "not 0 of a screw, 0 of any other", f"of body {name!r}")
    if joint.seat is not None and not joint.low < joint.seat <= joint.high:
        raise BadOption("seat of joint", joint.seat, f"between {joint.low} and {joint.high}", f"of body {name!r}")


def _add_shape(parent: Any, shape: Shape, body: Body, kind: int) -> None:
    if shape.kind not in GEOMS:
        raise BadOption("shape", shape.kind, " | ".join(GEOMS), f"in body {body.name!r}")
    geom = parent.add_geom(
        type=GEOMS[shape.kind],
        size=(*shape.size, 0, 0)[:3],
        pos=shape.pose[:3],
        quat=wxyz(shape.pose[3:]),
        rgba=shape.rgba,
        mass=body.mass / len(body.shapes),
        contype=kind if shape.collides else 0,
        conaffinity=(TOOL | SCENE) if kind == SCENE and shape.collides else 0,
        friction=(body.friction, 0.005, 0.0001),
        # 0.01: a peg at full speed sinks 0.3 mm into the board; the default 0.02 sinks more than the clearance.
        solref=(0.01, 1.0),
    )
    if body.rolling > 0:
        geom.condim, geom.friction[2] = 6, body.rolling


def held_width(task: Task) -> float:
    """Width (m) of what is between the fingers, along their axis, at the height of the TCP; 0 if there is nothing.

    Of the tool's boxes only: they are what a parallel gripper holds well.
    """
    boxes = [(b, s) for b in task.bodies if b.mount == "tool" for s in b.shapes if s.kind == "box"]
    return max((2 * s.size[1] for b, s in boxes if abs(b.pose[2] + s.pose[2]) <= s.size[2]), default=0.0)
