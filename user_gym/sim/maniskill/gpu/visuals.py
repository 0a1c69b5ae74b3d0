"""What a scene looks like: shapes of arm, table and objects, and cameras, from the records that the MuJoCo twin has.

It needs a Vulkan device, which may be a CPU's. Nothing of it collides.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import mujoco
import numpy as np
import sapien  # pyright: ignore[reportMissingImports]
from sapien import physx, render  # pyright: ignore[reportMissingImports]

from user_gym.core import F64, Body, CameraSpec, RobotSpec, Shape, Task
from user_gym.errors import BadOption
from user_gym.robots import pose
from user_gym.sim import looks
from user_gym.sim.bodies import held_width
from user_gym.sim.maniskill import bodies, links, scene

TABLE, PAD = (0.52, 0.56, 0.60, 1.0), (0.30, 0.30, 0.32, 1.0)
GAMMA = 2.2  # SAPIEN's shaders raise a colour to 1 / GAMMA, MuJoCo shows it as it is
PICTURE = "Color"  # of what the shaders draw
SCENES, MATERIALS = 1024, 64  # that a process may see, and of each of them; SAPIEN wants to know before the first
NEAR, FAR = 0.01, 20.0  # m
_LENS = pose.from_matrix(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]))  # SAPIEN's cameras look along x, with z up
_STANDING = pose.from_matrix(np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]))  # its cylinders lie along x, ours stand along z


def prepare(count: int) -> None:
    """So many scenes will be seen. The numbers are the whole process's, and count alone before its first picture.

    Raises:
        BadOption: more than SCENES.
    """
    if count > SCENES:
        raise BadOption(
            "num_envs", count, f"1 .. {SCENES} with pictures", "use obs='state' without a render_mode for more arms"
        )
    with scene.NUMBERS:
        render.set_global_config(max_num_materials=MATERIALS * SCENES)
        render.set_camera_shader_dir("minimal")  # the others keep a dozen pictures of each camera
        render.set_picture_format(PICTURE, "r8g8b8a8unorm")


def dress(place: Any, contents: scene.Contents, spec: RobotSpec, task: Task) -> None:
    """Give the shapes that are seen to all that `scene.furnish` put into a sapien.Scene. Colours are flat."""
    place.set_ambient_light([1.0] * 3)  # those shaders were seen to ignore lights that have a direction
    table = next(entity for entity in place.entities if entity.name == "table")
    _wear(table, [_box((1.0, 1.0, 0.1), _at(0.0, 0.0, -0.1), TABLE)])
    for body in task.bodies:
        if body.mount != "tool":
            _wear(contents.objects[body.name], _shapes(body, pose.IDENTITY))
    for i, link in enumerate(contents.arm.links[: spec.dof + 1]):
        _wear(link.entity, [*_drawn(partial(looks.dress, spec=spec, link=i), pose.IDENTITY), *_hand(spec, task, i)])
    for link in contents.arm.links[spec.dof + 1 :]:
        _wear(link.entity, _finger(1 if link.name == "left_finger" else -1, pose.IDENTITY))


def camera(place: Any, contents: scene.Contents, spec: RobotSpec, wanted: CameraSpec) -> Any:
    """A camera of the arm, as a component of the scene."""
    made = render.RenderCameraComponent(wanted.width, wanted.height)
    made.set_fovy(wanted.fovy)
    made.near, made.far = NEAR, FAR
    own = np.concatenate([wanted.pose[:3], pose.multiply(wanted.pose[3:], _LENS)])
    if wanted.mount == "tool":
        made.local_pose = bodies.frame(pose.compose(pose.compose(spec.flange, spec.tcp), own))
        contents.arm.links[spec.dof].entity.add_component(made)
    else:
        made.local_pose = bodies.frame(own)
        stand = sapien.Entity()
        stand.add_component(made)
        place.add_entity(stand)
    return made


def moving(contents: scene.Contents) -> list[Any]:
    """Bodies that PhysX moves and that are seen, as components."""
    objects = [entity.find_component_by_type(physx.PhysxRigidDynamicComponent) for entity in contents.objects.values()]
    return [*objects, *contents.arm.links]


def _hand(spec: RobotSpec, task: Task, link: int) -> Iterable[Any]:
    """What rides on the last link: the palm, what is held, and fingers that do not move."""
    if link < spec.dof:
        return
    tcp, held = pose.compose(spec.flange, spec.tcp), held_width(task)
    yield from _drawn(partial(looks.dress_palm, spec=spec), tcp)
    for body in task.bodies:
        if body.mount == "tool":
            yield from _shapes(body, pose.compose(tcp, body.pose))
    if not task.moves_gripper:
        for side in (1, -1):
            yield from _finger(side, pose.compose(tcp, bodies.aside(side, held / 2)))


def _finger(side: int, at: F64) -> Iterable[Any]:
    yield _box(bodies.PAD, pose.compose(at, _at(0.0, side * bodies.PAD[1], 0.0)), PAD)
    yield from _drawn(partial(looks.dress_finger, side=side), at)


def _shapes(body: Body, at: F64) -> list[Any]:
    return [_shape(shape, pose.compose(at, shape.pose)) for shape in body.shapes]


def _shape(shape: Shape, at: F64) -> Any:
    surface = _material(shape.rgba)
    if shape.kind == "box":
        return _box(shape.size, at, shape.rgba)
    if shape.kind in ("sphere", "ellipsoid"):
        ball = render.RenderShapeSphere(1.0, surface)
        points = ball.vertices * np.broadcast_to(shape.size, 3)
        normals = ball.vertex_normal / np.broadcast_to(shape.size, 3)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        made = render.RenderShapeTriangleMesh(points, ball.triangles, normals, ball.vertex_uv, surface)
    else:
        kind = render.RenderShapeCapsule if shape.kind == "capsule" else render.RenderShapeCylinder
        made = kind(*shape.size, surface)
        at = pose.compose(at, np.concatenate([np.zeros(3), _STANDING]))
    made.local_pose = bodies.frame(at)
    return made


def _box(size: Iterable[float], at: F64, rgba: Iterable[float]) -> Any:
    made = render.RenderShapeBox(np.asarray(size, np.float32), _material(rgba))
    made.local_pose = bodies.frame(at)
    return made


def _material(rgba: Iterable[float]) -> Any:
    *colour, opaque = rgba
    return render.RenderMaterial(base_color=[*(c**GAMMA for c in colour), opaque])


def _wear(entity: Any, shapes: Iterable[Any]) -> None:
    component = render.RenderBodyComponent()
    for shape in shapes:
        component.attach(shape)
    entity.add_component(component)


def _at(x: float, y: float, z: float) -> F64:
    return np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])


class _Sketch:
    """Takes the geoms that `looks` gives to a MuJoCo body."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []

    def add_geom(self, type: Any, size: Any, rgba: Any, pos: Any = (0, 0, 0), fromto: Any = None, **physical: Any) -> None:
        """One more shape; what is physical about it is nothing."""
        kinds = {
            mujoco.mjtGeom.mjGEOM_BOX: "box",
            mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
            mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
        }
        at, size = _at(*pos), tuple(size)
        if fromto is not None:
            ends = np.asarray(fromto, float).reshape(2, 3)
            along = ends[1] - ends[0]
            half = np.linalg.norm(along) / 2
            turn = links.from_x(along / (2 * half))
            at = np.concatenate([ends.mean(0), pose.multiply(turn[3:], pose.conjugate(_STANDING))])
            size = (size[0], half)
        if kinds[type] == "cylinder":
            size = size[:2]
        self.shapes.append(Shape(kinds[type], tuple(size), at, tuple(rgba)))


def _drawn(draw: Any, at: F64) -> list[Any]:
    sketch = _Sketch()
    draw(sketch)
    return [_shape(shape, pose.compose(at, shape.pose)) for shape in sketch.shapes]
