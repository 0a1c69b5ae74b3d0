"""What hangs on a task's standing bodies by hinges, slides and screws: PhysX articulations on a root that does not move.

PhysX's joints have neither dry friction in N m, nor threads, nor seats. Friction is a drive that brakes, and gives no more than
the friction; a thread is a slide whose drive goes where the turning above it says, so that a push along it turns nothing; a
seat and damping are torques, given anew each substep. As `core.Joint` wants it, nothing else acts between a body and what it
hangs on: they do not touch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from user_gym.core import F64, Body
from user_gym.robots.pose import IDENTITY
from user_gym.sim.arm import SCENE
from user_gym.sim.bodies import ARMATURE, lead_of
from user_gym.sim.maniskill import bodies, inertia, links

BRAKE = 1e6  # N m s/rad, N s/m: what friction holds creeps by its load over this
THREAD = (4e5, 2e3)  # N/m, N s/m of a screw along its axis: 20 N move it by 0.05 mm, as in the MuJoCo twin
_SMALL = inertia.Part(0.001, np.zeros(3), np.diag([1e-6] * 3))  # of links that are no bodies: a root, and a screw's slide
_KINDS = {"hinge": "revolute_unwrapped", "screw": "revolute_unwrapped", "slide": "prismatic"}  # "revolute" ends at a turn


class Hung:
    """A body that hangs on one that stands.

    Args:
        place: sapien's scene, to which it is added; its time step is known.
        body: the record; it has a joint.
        carrier: entity of what it hangs on, and does not touch.
        at: (7,) m, xyzw, of that.
        value: rad, or m of a slide, where the joint begins, at rest.
        number: of this body among those that hang, less than `bodies.MOST`.

    Attributes:
        articulation: sapien's; its last active joint is the body's, the one before it a screw's slide.
    """

    def __init__(self, place: Any, body: Body, carrier: Any, at: F64, value: float, number: int) -> None:
        joint = body.joint
        assert joint is not None  # of what hangs
        self._joint, self._along, self._dt = joint, lead_of(joint), place.physx_system.timestep
        base, entity = links.link(None, f"{body.name}_root", _SMALL)
        base.joint.type = "fixed"
        entities, last, origin = [entity], base, body.pose
        if joint.kind == "screw":
            last, entity = links.link(base, f"{body.name}_lead", _SMALL)
            links.join(last, "prismatic", origin, joint.axis, -np.inf, np.inf)
            entities.append(entity)
            origin = IDENTITY
        self._own, entity = links.link(last, body.name, inertia.body(body), falls=True)
        links.join(self._own, _KINDS[joint.kind], origin, joint.axis, joint.low, joint.high)
        entities.append(entity)
        for shape in bodies.shapes(body, SCENE):
            self._own.attach(shape)
        for component in (carrier.components[0], self._own):
            for shape in component.collision_shapes:
                kind, meets, apart, own_scene = shape.get_collision_groups()
                shape.set_collision_groups([kind, meets, apart | 1 << number, own_scene])
        for each in entities:
            place.add_entity(each)
        self.articulation = base.articulation
        self.articulation.root_pose = bodies.frame(at)
        *self._lead, own = self.articulation.active_joints
        # Damping's torque is explicit; with this it does what an implicit one does, which no damping makes unstable.
        own.armature = [ARMATURE[joint.kind] + joint.damping * self._dt]
        own.set_drive_properties(0.0, BRAKE, joint.friction)
        for lead in self._lead:
            lead.set_drive_properties(*THREAD)
        self.articulation.qpos = np.array([self._along * value] * len(self._lead) + [value], np.float32)
        self._value = float(self.articulation.qpos[-1])
        self._effort = np.zeros(1 + len(self._lead), np.float32)

    def prepare(self) -> None:
        """What acts in the next substep."""
        joint, before, self._value = self._joint, self._value, float(self.articulation.qpos[-1])
        effort = -joint.damping * (self._value - before) / self._dt  # PhysX tells another speed, as of the arm's joints
        if joint.seat is not None:
            effort -= joint.seat_stiffness * max(self._value - joint.seat, 0.0)
        self._effort[-1] = effort
        self.articulation.set_qf(self._effort)
        for lead in self._lead:
            lead.set_drive_target(self._along * self._value)

    def pose(self) -> F64:
        """(7,) m, xyzw."""
        return bodies.numbers(self._own.entity_pose)
