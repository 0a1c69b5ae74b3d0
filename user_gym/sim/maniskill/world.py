"""One arm and one task's objects in a PhysX scene of their own.

The scene is built anew for every episode: PhysX keeps contacts and what its solver found last from step to step, so a scene
that has been used does not repeat what a fresh one does. Nothing is drawn.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import sapien  # pyright: ignore[reportMissingImports]
from sapien import physx  # pyright: ignore[reportMissingImports]

from user_gym.core import F64, RobotSpec, Task
from user_gym.robots import pose
from user_gym.sim.bodies import held_width
from user_gym.sim.maniskill import bodies, inertia
from user_gym.sim.maniskill.law import Drives
from user_gym.sim.plant import FINGER_LAG, FINGER_SERVO

_NUMBERS = Lock()
FINGER_ARMATURE = 0.1  # kg, as in the MuJoCo twin


class Momentum(NamedTuple):
    """Of a rigid body, base axes."""

    centre: F64  # (3,) m, of mass
    linear: F64  # (3,) N s
    angular: F64  # (3,) N m s, about the centre


class World:
    """A built scene.

    Args:
        spec: the arm.
        task: whose bodies stand in it.
        dt: s of a substep.
        drives: of the arm's joints.
        q: (dof,) rad, where the arm begins, at rest.
        gripper: 0 closed .. 1 open, where the fingers begin.
        objects: (k, 7) m, xyzw, as in `Start`.
    """

    def __init__(self, spec: RobotSpec, task: Task, dt: float, drives: Drives, q: F64, gripper: float, objects: F64) -> None:
        self._spec, self._dof = spec, spec.dof
        self._system = _system(spec.gravity)
        self._system.timestep = dt
        self._scene = sapien.Scene([self._system])
        self._scene.add_entity(bodies.table(task))
        stand = [b for b in task.bodies if b.mount != "tool"]
        self._objects = [bodies.free(b) if b.mount == "free" else bodies.standing(b) for b in stand]
        self._loose = [k for k, b in enumerate(stand) if b.mount == "free"]
        for entity, at in zip(self._objects, objects, strict=True):
            entity.pose = bodies.frame(at)
            self._scene.add_entity(entity)
        self._poses = objects.copy()  # what is not free stays where it was put
        for entity in _arm(spec, task):
            self._scene.add_entity(entity)
        self._arm = arm = self._system.articulation_link_components[0].articulation
        arm.sleep_threshold = 0.0
        arm.solver_position_iterations, arm.solver_velocity_iterations = bodies.ITERATIONS
        self._joints = arm.active_joints
        self.fingers = len(self._joints) - spec.dof
        for i, joint in enumerate(self._joints[: spec.dof]):
            joint.armature = [spec.armature[i]]
            joint.set_drive_properties(drives.stiffness[i], drives.damping[i], spec.tau_max[i])
        for joint in self._joints[spec.dof :]:
            joint.armature = [FINGER_ARMATURE]
            joint.set_drive_properties(FINGER_SERVO, FINGER_SERVO * FINGER_LAG, spec.gripper.force)
        opened = np.full(self.fingers, gripper * spec.gripper.width / 2)
        arm.qpos = np.concatenate([q, opened]).astype(np.float32)
        self.aim(q)
        self.open(float(gripper * spec.gripper.width / 2))
        self._torque = np.zeros(len(self._joints), np.float32)
        self._last = arm.links[spec.dof]
        self._last_axes = pose.matrix(_from_x(spec.joint_axis[-1])[3:])

    def aim(self, q: F64) -> None:
        """Targets (dof,) rad of the joints' own drives."""
        for joint, target in zip(self._joints, q.tolist(), strict=False):
            joint.set_drive_target(target)

    def open(self, reach: float) -> None:
        """How far (m) each finger is to be from the middle."""
        for joint in self._joints[self._dof :]:
            joint.set_drive_target(reach)

    def step(self, torque: F64 | None) -> None:
        """One substep with torques (dof,) N m besides those of the drives."""
        if torque is not None:
            self._torque[: self._dof] = torque
            self._arm.set_qf(self._torque)
        self._system.step()

    def joints(self) -> tuple[F64, F64]:
        """Positions and speeds (dof + fingers,) rad, m; rad/s, m/s."""
        return self._arm.get_qpos().astype(float), self._arm.get_qvel().astype(float)

    def carried(self) -> F64:
        """What the last joint did to the last link in the newest substep, friction and inertia included.

        Returns:
            (6,) N, N m about the joint's origin, in the last link's axes.
        """
        given = self._arm.get_link_incoming_joint_forces()[self._dof].astype(float)  # in the joint's own axes
        return (given.reshape(2, 3) @ self._last_axes.T).ravel()

    def momentum(self) -> Momentum:
        """Of the last link with all that it carries rigidly, base axes."""
        last = self._last
        centre = last.entity_pose * last.cmass_local_pose
        turn = pose.matrix(np.asarray(centre.q, float)[[1, 2, 3, 0]])
        spin = turn @ (np.asarray(last.inertia, float) * (turn.T @ np.asarray(last.angular_velocity, float)))
        return Momentum(np.asarray(centre.p, float), last.mass * np.asarray(last.linear_velocity, float), spin)

    def objects(self) -> F64:
        """Poses (k, 7) m, xyzw, of the objects that the tool does not hold."""
        poses = self._poses.copy()
        for k in self._loose:
            at = self._objects[k].pose
            poses[k, :3], poses[k, 3:] = at.p, np.asarray(at.q)[[1, 2, 3, 0]]
        return poses


def _system(gravity: float) -> Any:
    """PhysX for one scene. What it is made with is one set of numbers of the whole process, so each sets its own."""
    with _NUMBERS:
        physx.set_scene_config(gravity=np.array([0.0, 0.0, -gravity]), enable_enhanced_determinism=True)
        return physx.PhysxCpuSystem()


def _arm(spec: RobotSpec, task: Task) -> list[Any]:
    """Entities of the articulation's links, the base first; hand and what it holds are part of the last one."""
    held = held_width(task)
    tcp = pose.compose(spec.flange, spec.tcp)
    base, entity = _link(None, "link0", inertia.link(spec, 0))
    base.joint.type = "fixed"
    last, entities = base, [entity]
    for i in range(spec.dof):
        own = inertia.link(spec, i + 1)
        if i + 1 == spec.dof:
            own = inertia.joined([own, *(inertia.moved(p, tcp) for p in bodies.tool_parts(spec, task, held))])
        last, entity = _link(last, f"link{i + 1}", own)
        origin = np.concatenate([spec.joint_xyz[i], pose.rpy(spec.joint_rpy[i])])
        _join(last, "revolute", origin, spec.joint_axis[i], spec.q_min[i], spec.q_max[i])
        entities.append(entity)
    for body in task.bodies:
        if body.mount == "tool":
            for shape in bodies.shapes(body, bodies.TOOL):
                last.attach(bodies.place(shape, pose.compose(tcp, body.pose)))
    friction = bodies.grip(task)
    for name, side in (("left_finger", 1), ("right_finger", -1)):
        if task.moves_gripper:
            finger, entity = _link(last, name, bodies.finger(side))
            _join(finger, "prismatic", tcp, np.array([0.0, side, 0.0]), 0.0, spec.gripper.width / 2)
            finger.attach(bodies.pad(side, friction))
            entities.append(entity)
        else:
            last.attach(bodies.place(bodies.pad(side, friction), pose.compose(tcp, bodies.aside(side, held / 2))))
    return entities


def _link(parent: Any, name: str, part: inertia.Part) -> tuple[Any, Any]:
    """A link and its entity, which whoever adds it to the scene has to keep until then."""
    link = physx.PhysxArticulationLinkComponent(parent)
    bodies.weigh(link, part)
    link.name, link.disable_gravity = name, True
    link.linear_damping = link.angular_damping = 0.0
    entity = sapien.Entity()
    entity.name = name
    entity.add_component(link)
    return link, entity


def _join(link: Any, kind: str, origin: F64, axis: F64, low: float, high: float) -> None:
    """A joint at `origin` (7,) in the parent link, about or along `axis` of the child; PhysX has it along x."""
    along = _from_x(axis)
    link.joint.type = kind
    link.joint.pose_in_parent = bodies.frame(pose.compose(origin, along))
    link.joint.pose_in_child = bodies.frame(along)
    link.joint.limit = np.array([[low, high]], np.float32)
    link.joint.friction = 0.0


def _from_x(axis: F64) -> F64:
    """A turn (7,) that takes x to a unit vector."""
    w = 1.0 + axis[0]
    turn = np.array([0.0, -axis[2], axis[1], w]) if w > 1e-9 else np.array([0.0, 0.0, 1.0, 0.0])
    return np.concatenate([np.zeros(3), turn / np.linalg.norm(turn)])
