"""What hangs on a task's standing bodies by hinges, slides and screws: PhysX articulations on a root that does not move.

PhysX's joints have neither dry friction in N m, nor threads, nor seats. Friction is a drive that brakes, and gives no more than
the friction; a thread is a slide whose drive goes where the turning above it says; a seat and damping are torques, given anew
each substep. As `core.Joint` wants it, nothing else acts between a body and what it hangs on: they do not touch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from user_gym.core import F64, Body
from user_gym.robots import pose
from user_gym.sim.arm import SCENE
from user_gym.sim.bodies import ARMATURE, LEAD_ARMATURE, lead_of
from user_gym.sim.maniskill import bodies, inertia, links

BRAKE = 1e3  # N m s/rad, N s/m: what friction holds creeps by its load over this
THREAD = (4e5, 2e3)  # N/m, N s/m of a screw along its axis: 20 N move it by 0.05 mm, as in the MuJoCo twin
_NUT = inertia.Part(0.001, np.zeros(3), np.diag([1e-6] * 3))  # what slides along a screw's axis and does not turn


class Hung:
    """A body that hangs on one that stands.

    Args:
        place: sapien's scene, to which it is added.
        body: the record; it has a joint.
        at: (7,) m, xyzw, of what it hangs on.
        value: rad, or m of a slide, where the joint begins, at rest.
    """

    def __init__(self, place: Any, body: Body, at: F64, value: float) -> None:
        joint = body.joint
        assert joint is not None  # of what hangs
        base, entity = links.link(None, f"{body.name}_root", _NUT)
        base.joint.type = "fixed"
        entities, last, origin = [entity], base, body.pose
        if joint.kind == "screw":
            last, entity = links.link(base, f"{body.name}_lead", _NUT)
            links.join(last, "prismatic", origin, joint.axis, -np.inf, np.inf)
            entities.append(entity)
            origin = pose.IDENTITY
        self._own, entity = links.link(last, body.name, inertia.body(body), falls=True)
        links.join(self._own, "prismatic" if joint.kind == "slide" else "revolute", origin, joint.axis, joint.low, joint.high)
        entities.append(entity)
        for shape in bodies.shapes(body, SCENE):
            self._own.attach(shape)
        for each in entities:
            place.add_entity(each)
        self._arm = arm = base.articulation
        arm.sleep_threshold = 0.0
        arm.solver_position_iterations, arm.solver_velocity_iterations = bodies.ITERATIONS
        arm.root_pose = bodies.frame(at)
        *self._lead, own = arm.active_joints
        own.armature = [ARMATURE[joint.kind]]
        own.set_drive_properties(0.0, BRAKE, joint.friction)
        for lead in self._lead:
            lead.armature = [LEAD_ARMATURE]
            lead.set_drive_properties(*THREAD)
        self._joint, self._along = joint, lead_of(joint)
        arm.qpos = np.array([self._along * value] * len(self._lead) + [value], np.float32)
        self._effort = np.zeros(1 + len(self._lead), np.float32)

    def prepare(self) -> None:
        """What acts in the next substep."""
        joint, value = self._joint, float(self._arm.qpos[-1])
        effort = -joint.damping * float(self._arm.qvel[-1])
        if joint.seat is not None:
            effort -= joint.seat_stiffness * max(value - joint.seat, 0.0)
        self._effort[-1] = effort
        self._arm.set_qf(self._effort)
        for lead in self._lead:
            lead.set_drive_target(self._along * value)

    def part_from(self, carrier: Any, number: int) -> None:
        """Let it not touch the entity that it hangs on. `number`: a bit of PhysX's filter that is this pair's alone."""
        for component in (carrier.components[0], self._own):
            for shape in component.collision_shapes:
                kind, meets, apart, scene = shape.get_collision_groups()
                shape.set_collision_groups([kind, meets, apart | 1 << number, scene])

    def pose(self) -> F64:
        """(7,) m, xyzw."""
        return bodies.numbers(self._own.entity_pose)
