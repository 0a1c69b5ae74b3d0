"""One arm, one task's objects and a controller made of actuators, compiled into a MuJoCo model.

The controller needs no Python between substeps. In `control="tcp"` site actuators pull the TCP towards its equilibrium:
force = clip(K e) along the base's axes (the position is their control), torque = clip(K e) along the target's own axes
(a mocap body holds the rotation), minus D v. Where the damping is the motors' (ARX), joint actuators give -kd dq instead.
In `control="joint"` each joint has a position servo. In `control="motors"`, which protocol twins use, each joint has one motor:
torque = ctrl + bias 1 * q + bias 2 * dq, so that a motor's own stiffness and damping are integrated implicitly. Gravity is
compensated, as both robots do it themselves; a motor twin may take that away where the driver has to do it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from user_gym.core import F64, CameraSpec, Damping, ForceEstimate, RobotSpec, Task
from user_gym.errors import BadOption
from user_gym.robots import pose
from user_gym.sim.arm import SCENE, TOOL, Arm, add_arm, wxyz
from user_gym.sim.bodies import add_body, held_width
from user_gym.sim.placing import Placing, placing

MIN_DT, MAX_DT = 0.001, 0.005  # s; the contacts were tuned in this range
NULL_SPRING = 0.5  # N m/rad towards the episode's first posture: stands in for the null-space term of a 7-joint controller
NULL_DAMPING = 1.0  # N m s/rad, as in gym-hil's panda.xml; without it the elbow swings for ever
FINGER_SERVO = 2000.0  # N/m; our own choice, stiff enough to reach the gripper's force within a finger's stroke
GRIP = 10.0  # how much stiffer a contact's friction is than its normal, where a gripper has to hold something by it
FINGER_LAG = 0.1  # s behind its target: a finger never moves faster than the target does
VIEW = 480  # pixels, the picture for people
_NET_FORCE = 3  # `reduce` of a contact sensor: the sum of all contacts
_DOWN = np.array([1.0, 0.0, 0.0, 0.0])  # xyzw: tool-down, the zero of the pose chart


@dataclass(frozen=True, slots=True, eq=False)
class Plant:
    """A compiled model and where to find things in it."""

    model: Any  # mujoco.MjModel
    spec: RobotSpec
    control: str
    dt: float  # s
    substeps: int  # per control period
    sensors: dict[str, slice]  # name -> slice of sensordata
    objects: tuple[str, ...]  # bodies not held by the tool, in the task's order
    object_body: tuple[int, ...]  # body ids, same order as `objects`
    placing: Placing
    fingers: int  # number of finger joints


def compile_plant(spec: RobotSpec, task: Task, control: str, dt: float, dressed: bool = False) -> Plant:
    """Build the model. It is compiled twice where pictures are wanted: the physics runs without what only eyes need.

    Args:
        spec: the arm.
        task: its bodies are added; its rate gives the number of substeps.
        control: "tcp", "joint" or "motors".
        dt: s, 0.001 .. 0.005, a divisor of the control period.
        dressed: with the shapes, textures and lights that only pictures need; the state has the same layout.

    Raises:
        BadOption: `control` or `dt` is not allowed.
    """
    substeps = substeps_of(task, control, dt)
    if spec.force_estimate is ForceEstimate.JOINT_TORQUES and spec.dof != 6:
        raise BadOption(
            "force_estimate", "joint torques", "an arm of 6 joints: the estimate inverts its Jacobian", f"in {spec.name}"
        )
    ms = mujoco.MjSpec()
    ms.modelname = f"{spec.name} {task.name}"
    ms.option.timestep = dt
    ms.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    ms.option.gravity = (0, 0, -spec.gravity)
    ms.compiler.degree = False
    ms.compiler.fusestatic = True  # hand, fingers and peg become part of the last link: a third fewer bodies
    ms.compiler.balanceinertia = True  # some published inertias violate the triangle inequality
    if task.moves_gripper:  # what is only held by friction slips slowly through MuJoCo's pyramids; elliptic cones hold it
        ms.option.cone, ms.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, GRIP
    world = ms.worldbody
    arm = add_arm(world, spec, task.moves_gripper, held_width(task), dressed)
    objects = tuple(b for b in task.bodies if b.mount != "tool")
    for k, body in enumerate(task.bodies):
        add_body(ms, arm, body, task.bodies[:k])
    world.add_geom(
        name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(1.0, 1.0, 0.1), rgba=(0.52, 0.56, 0.60, 1),
        contype=SCENE, conaffinity=TOOL | SCENE, friction=(0.6, 0.005, 0.0001), solref=(0.01, 1.0),
    )  # fmt: skip
    if dressed:
        _furnish(ms, arm, spec)
    _add_controller(ms, spec, control, arm)
    sensors = _add_sensors(ms, spec, arm, substeps)
    model = ms.compile()
    if control == "tcp" and spec.dof > 6:
        model.jnt_stiffness[: spec.dof] = NULL_SPRING
        model.dof_damping[: spec.dof] = NULL_DAMPING
    return Plant(
        model=model,
        spec=spec,
        control=control,
        dt=dt,
        substeps=substeps,
        sensors=sensors,
        objects=tuple(b.name for b in objects),
        object_body=tuple(model.body(b.name).id for b in objects),
        placing=placing(model, objects),
        fingers=len(arm.fingers),
    )


def history(plant: Plant, field: str, buffers: F64) -> F64:
    """Live view (n, substeps, size) of a sensor's samples in MuJoCo's history buffers (n, nhistory), in no order.

    A buffer holds two numbers of its own, the samples' times, then their values.
    """
    model, samples = plant.model, plant.substeps
    ids = [i for i in range(model.nsensor) if model.sensor(i).name.rstrip("0123456789") == field]
    start, dim = int(model.sensor_historyadr[ids[0]]), int(model.sensor_dim[ids[0]])
    length = 2 + samples * (1 + dim)
    block = buffers[:, start : start + length * len(ids)].reshape(len(buffers), len(ids), length)[:, :, 2 + samples :]
    return block.reshape(len(buffers), samples, dim) if len(ids) == 1 else block.transpose(0, 2, 1)


def substeps_of(task: Task, control: str, dt: float) -> int:
    """Substeps of `dt` s in one control period. Raises BadOption where `control` or `dt` is not allowed."""
    if control not in ("tcp", "joint", "motors"):
        raise BadOption("control", control, "tcp | joint")
    if not (isinstance(dt, int | float | np.floating) and MIN_DT <= dt <= MAX_DT):
        raise BadOption("dt", dt, f"{MIN_DT} .. {MAX_DT} (seconds)")
    substeps = round(1.0 / (task.rate * dt))
    if abs(substeps * dt * task.rate - 1.0) > 1e-9:
        raise BadOption("dt", dt, f"a divisor of the control period {1 / task.rate:g} s", "use 0.001, 0.002, 0.004 or 0.005")
    return substeps


def _furnish(ms: Any, arm: Arm, spec: RobotSpec) -> None:
    """Sky, light and cameras."""
    world = ms.worldbody
    ms.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.93, 0.95, 0.97), rgb2=(0.70, 0.76, 0.84), width=32, height=192,
    )  # fmt: skip
    world.add_light(
        pos=(0.3, -0.6, 1.6),
        dir=(0.1, 0.4, -1),
        diffuse=(0.55, 0.55, 0.55),
        specular=(0.1, 0.1, 0.1),
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
    )
    head = ms.visual.headlight
    head.ambient, head.diffuse, head.specular = (0.40, 0.40, 0.40), (0.25, 0.25, 0.25), (0.05, 0.05, 0.05)
    ms.visual.quality.shadowsize, ms.visual.quality.offsamples = 0, 0  # software rendering: 200 times faster without
    ms.visual.map.znear, ms.visual.map.zfar = 0.01, 20
    ms.stat.extent, ms.stat.center = 0.8, (0.3, 0, 0.3)
    for camera in (*spec.cameras, view(spec)):
        # MuJoCo's cameras look along -z with y up; ours along +z with y down: half a turn about x.
        quat = pose.multiply(camera.pose[3:], np.array([1.0, 0.0, 0.0, 0.0]))
        parent = arm.tool if camera.mount == "tool" else world
        parent.add_camera(name=camera.name, pos=camera.pose[:3], quat=wxyz(quat), fovy=np.degrees(camera.fovy))


def view(spec: RobotSpec) -> CameraSpec:
    """The camera for people: all of the arm and its work, whatever the arm's size."""
    reach = float(spec.work_point[0]) / 0.5
    eye, target = np.array([1.30, 1.00, 0.80]) * reach, np.array([0.28, 0.0, 0.30]) * reach
    return CameraSpec("view", "base", pose.look_at(eye, target), np.deg2rad(40.0), VIEW, VIEW)


def _add_controller(ms: Any, spec: RobotSpec, control: str, arm: Arm) -> None:
    if control == "tcp":
        ms.worldbody.add_site(name="base")
        ms.worldbody.add_body(name="target", mocap=True).add_site(name="target")
        for axis in range(6):
            _site_actuator(ms, f"spring{axis}", np.eye(6)[axis], "base" if axis < 3 else "target")
        if spec.damping is Damping.CARTESIAN:
            for axis in range(6):
                _site_actuator(ms, f"damper{axis}", np.eye(6)[axis], "base")
        else:
            for i in range(spec.dof):
                _joint_actuator(ms, f"damper{i}", f"joint{i + 1}")
    elif control == "joint":
        for i in range(spec.dof):
            _joint_actuator(ms, f"servo{i}", f"joint{i + 1}")
    else:
        for i in range(spec.dof):
            _joint_actuator(ms, f"motor{i}", f"joint{i + 1}").gainprm[0] = 1.0
    for finger in arm.fingers:
        a = _joint_actuator(ms, finger, finger)
        a.gainprm[0], a.biasprm[1], a.biasprm[2] = FINGER_SERVO, -FINGER_SERVO, -FINGER_SERVO * FINGER_LAG
        a.forcelimited, a.forcerange = True, (-spec.gripper.force, spec.gripper.force)


def _site_actuator(ms: Any, name: str, gear: F64, refsite: str) -> None:
    a = ms.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_SITE, target="tcp", refsite=refsite)
    a.gear = gear
    _affine(a)
    a.forcelimited = name.startswith("spring")
    a.forcerange = (-1.0, 1.0)  # set by the compliance


def _joint_actuator(ms: Any, name: str, joint: str) -> Any:
    a = ms.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=joint)
    _affine(a)
    return a


def _affine(a: Any) -> None:
    a.gaintype, a.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
    a.gainprm[0] = 0.0


def _add_sensors(ms: Any, spec: RobotSpec, arm: Arm, substeps: int) -> dict[str, slice]:
    wrist = spec.force_estimate is ForceEstimate.WRIST
    ms.worldbody.add_site(name="down", quat=wxyz(_DOWN))
    site, joint = mujoco.mjtObj.mjOBJ_SITE, mujoco.mjtObj.mjOBJ_JOINT
    slices: dict[str, slice] = {}
    at = 0

    def add(field: str, size: int, **kwargs: Any) -> None:
        nonlocal at
        ms.add_sensor(name=f"{field}{at}", **kwargs)
        slices[field] = slice(slices[field].start if field in slices else at, at + size)
        at += size

    kinds = mujoco.mjtSensor
    # What the contact force is averaged from keeps a sample of each substep of the last period.
    add("position", 3, type=kinds.mjSENS_FRAMEPOS, objtype=site, objname="tcp", nsample=substeps if wrist else 0)
    add("rotation", 4, type=kinds.mjSENS_FRAMEQUAT, objtype=site, objname="tcp", reftype=site, refname="down")
    add("velocity", 3, type=kinds.mjSENS_FRAMELINVEL, objtype=site, objname="tcp")
    add("velocity", 3, type=kinds.mjSENS_FRAMEANGVEL, objtype=site, objname="tcp")
    for field, kind in (("q", kinds.mjSENS_JOINTPOS), ("dq", kinds.mjSENS_JOINTVEL), ("tau", kinds.mjSENS_JOINTACTFRC)):
        for i in range(spec.dof):
            samples = substeps if field == "tau" and not wrist else 0
            add(field, 1, type=kind, objtype=joint, objname=f"joint{i + 1}", nsample=samples)
    for finger in arm.fingers:
        add("fingers", 1, type=kinds.mjSENS_JOINTPOS, objtype=joint, objname=finger)
    if wrist:
        field = mujoco.mjtConDataField
        # Net contact of the last link, which carries the tool, with everything else, in the world's axes.
        bits = sum(1 << int(f) for f in (field.mjCONDATA_FORCE, field.mjCONDATA_TORQUE, field.mjCONDATA_POS))
        add(
            "contact",
            9,
            type=kinds.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=f"link{spec.dof}",
            intprm=(bits, _NET_FORCE, 1),
            nsample=substeps,
        )
    return slices
