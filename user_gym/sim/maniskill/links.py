"""Links of PhysX articulations, and the joints between them. It knows no robot and no task."""

from __future__ import annotations

from typing import Any

import numpy as np
import sapien  # pyright: ignore[reportMissingImports]
from sapien import physx  # pyright: ignore[reportMissingImports]

from user_gym.core import F64
from user_gym.robots import pose
from user_gym.sim.maniskill import bodies, inertia


def link(parent: Any, name: str, part: inertia.Part, falls: bool = False) -> tuple[Any, Any]:
    """A link, and its entity, which whoever adds it to the scene has to keep until then. Gravity acts on what `falls`."""
    made = physx.PhysxArticulationLinkComponent(parent)
    bodies.weigh(made, part)
    made.name, made.disable_gravity = name, not falls
    made.linear_damping = made.angular_damping = 0.0
    entity = sapien.Entity()
    entity.name = name
    entity.add_component(made)
    return made, entity


def join(child: Any, kind: str, origin: F64, axis: F64, low: float, high: float) -> None:
    """A joint at `origin` (7,) in the parent link, about or along `axis` of the `child`; PhysX has it along x."""
    along = from_x(axis)
    child.joint.type = kind
    child.joint.pose_in_parent = bodies.frame(pose.compose(origin, along))
    child.joint.pose_in_child = bodies.frame(along)
    child.joint.limit = np.array([[low, high]], np.float32)
    child.joint.friction = 0.0


def from_x(axis: F64) -> F64:
    """A turn (7,) that takes x to a unit vector."""
    w = 1.0 + axis[0]
    turn = np.array([0.0, -axis[2], axis[1], w]) if w > 1e-9 else np.array([0.0, 0.0, 1.0, 0.0])
    return np.concatenate([np.zeros(3), turn / np.linalg.norm(turn)])
