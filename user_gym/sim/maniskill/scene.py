"""What stands in a PhysX scene: one arm and one task's objects, as SAPIEN entities with their joints' drives.

The same for a scene of its own on the CPU and for one of many that a GPU steps together. It knows no controller's state.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from sapien import physx  # pyright: ignore[reportMissingImports]

from user_gym.core import F64, Body, RobotSpec, Task
from user_gym.errors import BadOption
from user_gym.robots import pose
from user_gym.sim.bodies import held_width
from user_gym.sim.maniskill import bodies, inertia, links
from user_gym.sim.maniskill.hung import Hung
from user_gym.sim.maniskill.law import Drives
from user_gym.sim.plant import FINGER_LAG, FINGER_SERVO

FINGER_ARMATURE = 0.1  # kg, as in the MuJoCo twin
NUMBERS = Lock()  # around what SAPIEN keeps for the whole process: set, then used
EITHER = "a process has arms on the CPU or on a GPU, for whose sake PhysX shapes all bodies otherwise"


class Contents(NamedTuple):
    """What was added to a scene."""

    arm: Any  # sapien's articulation; its links begin with the base, its active joints with the arm's own
    objects: dict[str, Any]  # entities of what stands on the table or is free, by name, in the task's order
    hung: dict[str, Hung]  # what hangs on those


def cpu_system(gravity: float) -> Any:
    """PhysX for one scene. What it is made with is one set of numbers of the whole process, so each sets its own.

    Raises:
        BadOption: this process has arms on a GPU, or had.
    """
    if physx.is_gpu_enabled():
        raise BadOption("device", "cpu", "cuda", f"{EITHER}, and this one took a GPU: use another process for arms on the CPU")
    with NUMBERS:
        _set(gravity)
        return physx.PhysxCpuSystem()


def gpu_system(gravity: float, device: str, count: int) -> Any:
    """PhysX for so many scenes on a GPU, such as "cuda:0".

    Raises:
        BadOption: SAPIEN does not take this GPU.
    """
    with NUMBERS:
        _set(gravity)
        # SAPIEN's own numbers, and more where there are many scenes. What does not fit is dropped by PhysX, with a message.
        physx.set_gpu_memory_config(
            max_rigid_contact_count=max(2**19, 2**10 * count),
            max_rigid_patch_count=max(81920, 2**7 * count),
            found_lost_pairs_capacity=max(2**18, 2**8 * count),
        )
        try:
            return physx.PhysxGpuSystem(device)
        except RuntimeError as error:
            cure = f"SAPIEN says: {error}; use another process for another GPU"
            raise BadOption("device", device, "one GPU in a process, the same all along", cure) from error


def furnish(scene: Any, spec: RobotSpec, task: Task, drives: Drives, objects: F64, lasting: bool, joints: F64) -> Contents:
    """Add table, objects and arm to an empty scene.

    Args:
        scene: sapien's.
        spec: the arm.
        task: whose bodies stand in it.
        drives: of the arm's joints.
        objects: (k, 7) m, xyzw, as in `Start`.
        lasting: it serves many episodes, so that what stands on the table has to be movable; and all has to fit a GPU.
        joints: (j,) rad, m, as in `Start`.
    """
    scene.add_entity(bodies.table(task))
    made = {body.name: _object(body, lasting) for body in task.bodies if body.mount in ("table", "free")}
    for entity, at in zip(made.values(), objects, strict=True):
        entity.pose = bodies.frame(at)
        scene.add_entity(entity)
    poses, values = dict(zip(made, objects, strict=True)), iter(joints.tolist())
    hung = {
        body.name: Hung(scene, body, made[body.mount], poses[body.mount], next(values), number)
        for number, body in enumerate(b for b in task.bodies if b.joint is not None)
    }
    entities = _arm(spec, task)
    for entity in entities:
        scene.add_entity(entity)
    arm = entities[0].components[0].articulation
    arm.sleep_threshold = 0.0
    arm.solver_position_iterations, arm.solver_velocity_iterations = bodies.ITERATIONS
    for i, joint in enumerate(arm.active_joints[: spec.dof]):
        joint.armature = [spec.armature[i]]
        joint.set_drive_properties(drives.stiffness[i], drives.damping[i], spec.tau_max[i])
    for joint in arm.active_joints[spec.dof :]:
        joint.armature = [FINGER_ARMATURE]
        joint.set_drive_properties(FINGER_SERVO, FINGER_SERVO * FINGER_LAG, spec.gripper.force)
    return Contents(arm, made, hung)


def last_link(spec: RobotSpec, task: Task) -> inertia.Part:
    """The arm's last link with hand, what that holds, and fingers that do not move."""
    tcp = pose.compose(spec.flange, spec.tcp)
    parts = bodies.tool_parts(spec, task, held_width(task))
    return inertia.joined([inertia.link(spec, spec.dof), *(inertia.moved(p, tcp) for p in parts)])


def _object(body: Body, lasting: bool) -> Any:
    if body.mount == "free":
        return bodies.free(body, bodies.GPU_FACETS if lasting else bodies.FACETS)
    return bodies.movable(body) if lasting else bodies.standing(body)


def _set(gravity: float) -> None:
    physx.set_scene_config(gravity=np.array([0.0, 0.0, -gravity]), enable_enhanced_determinism=True)


def _arm(spec: RobotSpec, task: Task) -> list[Any]:
    """Entities of the articulation's links, the base first; hand and what it holds are part of the last one."""
    held = held_width(task)
    tcp = pose.compose(spec.flange, spec.tcp)
    base, entity = links.link(None, "link0", inertia.link(spec, 0))
    base.joint.type = "fixed"
    last, entities = base, [entity]
    for i in range(spec.dof):
        own = inertia.link(spec, i + 1) if i + 1 < spec.dof else last_link(spec, task)
        last, entity = links.link(last, f"link{i + 1}", own)
        origin = np.concatenate([spec.joint_xyz[i], pose.rpy(spec.joint_rpy[i])])
        links.join(last, "revolute", origin, spec.joint_axis[i], spec.q_min[i], spec.q_max[i])
        entities.append(entity)
    for body in task.bodies:
        if body.mount == "tool":
            for shape in bodies.shapes(body, bodies.TOOL):
                last.attach(bodies.place(shape, pose.compose(tcp, body.pose)))
    friction = bodies.grip(task)
    for name, side in (("left_finger", 1), ("right_finger", -1)):
        if task.moves_gripper:
            finger, entity = links.link(last, name, bodies.finger(side))
            links.join(finger, "prismatic", tcp, np.array([0.0, side, 0.0]), 0.0, spec.gripper.width / 2)
            finger.attach(bodies.pad(side, friction))
            entities.append(entity)
        else:
            last.attach(bodies.place(bodies.pad(side, friction), pose.compose(tcp, bodies.aside(side, held / 2))))
    return entities
