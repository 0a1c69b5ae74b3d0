"""A task's bodies as PhysX shapes and SAPIEN entities, built from the records of `core.task`. It knows no task.

Contact: PhysX's contacts are rigid, MuJoCo's yield. A pair of materials rubs with the *mean* of their coefficients, where
MuJoCo takes the larger one: the pads' and the table's are chosen below so that what they touch rubs as it does there. There is
no rolling friction: what rolls is slowed by a damping of its turning instead. Nothing bounces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sapien  # pyright: ignore[reportMissingImports]
from sapien import physx  # pyright: ignore[reportMissingImports]

from user_gym.core import F64, Body, RobotSpec, Shape, Task
from user_gym.errors import BadOption
from user_gym.robots import pose
from user_gym.sim.arm import SCENE, TOOL
from user_gym.sim.bodies import check_joint
from user_gym.sim.maniskill import inertia

MOUNTS = ("table", "free", "tool")
MOST = 32  # bodies that hang on others: bits of PhysX's filter
PAD = (0.010, 0.004, 0.010)  # m, half extents of a fingertip
PAD_FRICTION, TABLE_FRICTION = 1.0, 0.6  # of a pair with them, whatever the other one is
NEAR = 0.002  # m: contacts are looked for from here on; they act where shapes touch
ROLLING_LOSS = 2000.0  # 1/s of a body's turning for each m of its rolling friction
# Faces of an ellipsoid from pole to pole, an even number, and around, a multiple of 4. A single point of contact does not
# resist turning about itself, and a duck gripped by one swings round; a face of 10 x 6 mm does, as a soft pad would.
FACETS = (8, 16)
GPU_FACETS = (4, 12)  # PhysX takes at most 64 corners on a GPU, and of 4 x 16 its cooking for one was seen to drop 16
_LYING = np.array([0.0, -np.sqrt(0.5), 0.0, np.sqrt(0.5)])  # xyzw: PhysX's cylinders lie along x, ours stand along z


def frame(at: F64) -> Any:
    """Pose (7,) m, xyzw as a sapien.Pose."""
    return sapien.Pose(at[:3], at[[6, 3, 4, 5]])


def material(friction: float) -> Any:
    """A surface."""
    return physx.PhysxMaterial(friction, friction, 0.0)


def numbers(at: Any) -> F64:
    """A sapien.Pose as (7,) m, xyzw."""
    return np.concatenate([at.p, np.asarray(at.q)[[1, 2, 3, 0]]], dtype=float)


def check(task: Task) -> None:
    """Raise BadOption where a body is mounted otherwise than this backend knows, or its joint means nothing."""
    standing: list[str] = []
    hung = 0
    for body in task.bodies:
        if body.joint is None and body.mount not in MOUNTS:
            raise BadOption("mount", body.mount, " | ".join(MOUNTS), f"of body {body.name!r}, which has no joint")
        if body.joint is not None:
            check_joint(body.name, body.joint)
            if body.mount not in standing:
                allowed = " | ".join(standing) or "a body before it that stands on the table"
                raise BadOption("mount", body.mount, allowed, f"of jointed body {body.name!r}")
            hung += 1
        elif body.mount == "table":
            standing.append(body.name)
    if hung > MOST:
        raise BadOption("bodies", f"{hung} that hang on others", f"{MOST} at most")


def check_whole(task: Task) -> None:
    """Raise BadOption where a body hangs on another: on a GPU only what is whole is written where it shall be."""
    for body in task.bodies:
        if body.joint is not None:
            cure = f"{body.name!r} hangs on another by a joint; use device='cpu'"
            raise BadOption("device", "cuda", f"for tasks of bodies that are {', '.join(MOUNTS)}", cure)


def shapes(body: Body, kind: int, facets: tuple[int, int] = FACETS) -> list[Any]:
    """What of a body collides, in its own frame."""
    made = [_shape(shape, body, facets) for shape in body.shapes if shape.collides]
    for shape, record in zip(made, (s for s in body.shapes if s.collides), strict=True):
        turned = record.kind in ("cylinder", "capsule")
        at = pose.compose(record.pose, np.concatenate([np.zeros(3), _LYING])) if turned else record.pose
        _finish(shape, at, kind)
    return made


def pad(side: int, friction: float) -> Any:
    """A fingertip on the left (1) or right (-1), in the frame of its finger."""
    shape = physx.PhysxCollisionShapeBox(PAD, material(friction))
    _finish(shape, np.array([0.0, side * PAD[1], 0.0, 0.0, 0.0, 0.0, 1.0]), TOOL)
    return shape


def grip(task: Task) -> float:
    """The pads' own coefficient: with what is free it makes PAD_FRICTION."""
    return 2 * PAD_FRICTION - _loose(task, PAD_FRICTION)


def table(task: Task) -> Any:
    """The entity all stands on; its top is at z = 0."""
    own = 2 * TABLE_FRICTION - _loose(task, TABLE_FRICTION)
    shape = physx.PhysxCollisionShapeBox((1.0, 1.0, 0.1), material(own))
    _finish(shape, np.array([0.0, 0.0, -0.1, 0.0, 0.0, 0.0, 1.0]), SCENE)
    return _entity("table", physx.PhysxRigidStaticComponent(), [shape])


def standing(body: Body) -> Any:
    """The entity of a "table" body."""
    return _entity(body.name, physx.PhysxRigidStaticComponent(), shapes(body, SCENE))


def movable(body: Body) -> Any:
    """The entity of a "table" body that an episode may put elsewhere without building the scene anew."""
    component = physx.PhysxRigidDynamicComponent()
    component.kinematic = True
    return _entity(body.name, component, shapes(body, SCENE, GPU_FACETS))


def free(body: Body, facets: tuple[int, int] = FACETS) -> Any:
    """The entity of a "free" body."""
    component = physx.PhysxRigidDynamicComponent()
    entity = _entity(body.name, component, shapes(body, SCENE, facets))
    weigh(component, inertia.body(body))
    component.linear_damping, component.angular_damping = 0.0, ROLLING_LOSS * body.rolling
    component.sleep_threshold = 0.0  # a sleeper's contacts would wake it in another order than a fresh scene's
    component.solver_position_iterations, component.solver_velocity_iterations = ITERATIONS
    return entity


ITERATIONS = (20, 2)  # of the solver, for positions and velocities: what is gripped slips below that


def weigh(component: Any, part: inertia.Part) -> None:
    """Give a component its mass, centre and moments."""
    along = inertia.principal(part)
    component.mass, component.cmass_local_pose, component.inertia = along.mass, frame(along.pose), along.moments


def tool_parts(spec: RobotSpec, task: Task, held: float) -> list[inertia.Part]:
    """What the tool carries rigidly, in the TCP's frame: held bodies, and fingers that do not move, `held` m apart."""
    parts = [inertia.moved(inertia.body(b), b.pose) for b in task.bodies if b.mount == "tool"]
    if not task.moves_gripper and spec.hand_mass > 0:  # else the last link's inertia has the whole hand in it
        parts += [inertia.moved(finger(side), aside(side, held / 2)) for side in (1, -1)]
    return parts


def finger(side: int) -> inertia.Part:
    """A finger in its own frame; the MuJoCo twin's numbers."""
    return inertia.part(0.03, np.array([0, side * 0.008, -0.02]), np.array([8.5e-6, 8.5e-6, 1.8e-6, 0, 0, 0]))


def aside(side: int, by: float) -> F64:
    """Pose (7,) of a finger in the TCP's frame."""
    return np.array([0.0, side * by, 0.0, 0.0, 0.0, 0.0, 1.0])


def place(shape: Any, by: F64) -> Any:
    """Move a shape by the pose (7,) that its frame has in that of what it is attached to."""
    shape.local_pose = frame(by) * shape.local_pose
    return shape


def _loose(task: Task, otherwise: float) -> float:
    return max((b.friction for b in task.bodies if b.mount == "free"), default=otherwise)


def _entity(name: str, component: Any, made: list[Any]) -> Any:
    for shape in made:
        component.attach(shape)
    entity = sapien.Entity()
    entity.name = name
    entity.add_component(component)
    return entity


def _finish(shape: Any, at: F64, kind: int) -> None:
    shape.local_pose = frame(at)
    shape.contact_offset, shape.rest_offset = NEAR, 0.0
    shape.set_collision_groups([kind, (TOOL | SCENE) if kind == SCENE else 0, 0, 0])


def _shape(shape: Shape, body: Body, facets: tuple[int, int]) -> Any:
    surface = material(body.friction)
    if shape.kind == "box":
        return physx.PhysxCollisionShapeBox(shape.size, surface)
    if shape.kind == "sphere":
        return physx.PhysxCollisionShapeSphere(shape.size[0], surface)
    if shape.kind == "capsule":
        return physx.PhysxCollisionShapeCapsule(*shape.size, surface)
    if shape.kind == "cylinder":
        return physx.PhysxCollisionShapeCylinder(*shape.size, surface)
    if shape.kind == "ellipsoid":
        return physx.PhysxCollisionShapeConvexMesh(_ball(*facets), shape.size, surface)
    raise BadOption("shape", shape.kind, "box | sphere | capsule | cylinder | ellipsoid", f"in body {body.name!r}")


def _ball(tall: int, around: int) -> F64:
    """Corners (tall * around, 3) of a ball of radius 1 whose flat faces touch it at both ends of x and of y."""
    up, on = np.pi / tall, 2 * np.pi / around
    height, angle = (np.arange(tall) + 0.5) * up, (np.arange(around) + 0.5) * on
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
    corners = np.concatenate([np.sin(a) * ring + [0.0, 0.0, np.cos(a)] for a in height])
    return (corners / (np.cos(0.5 * up) * np.cos(0.5 * on))).astype(np.float32)
