"""What a scene looks like, where Vulkan draws on anything: peg, board and duck are where MuJoCo's pictures have them."""

import weakref
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)

import sapien  # pyright: ignore[reportMissingImports]

from user_gym.errors import BadOption, Closed, MissingSystem, NotReset
from user_gym.robots import reach, specs
from user_gym.sim.cell import build
from user_gym.sim.maniskill import scene
from user_gym.sim.maniskill.gpu import pictures, visuals
from user_gym.sim.maniskill.law import drives
from user_gym.tasks.peg_insert import PegInsert
from user_gym.tasks.pick_place import PickPlace

FR3 = specs.spec("franka-fr3")


@pytest.fixture(scope="module")
def drawing() -> None:
    visuals.prepare(4)
    try:
        sapien.render.RenderSystem()
    except RuntimeError as error:
        pytest.skip(f"SAPIEN draws nothing here: {error}")


def alike(colour, task, robot, camera) -> float:
    """Share of the pixels of a colour in either picture that have it in both."""
    spec = specs.spec(robot)
    task = task(spec)
    start = task.start(np.random.default_rng(0))
    system = scene.cpu_system(spec.gravity)
    place = sapien.Scene([system, sapien.render.RenderSystem()])
    contents = scene.furnish(place, spec, task, drives(spec, "tcp"), start.objects, lasting=True, joints=start.joints)
    visuals.dress(place, contents, spec, task)
    seen = visuals.camera(place, contents, spec, next(c for c in spec.cameras if c.name == camera))
    opened = np.full(contents.arm.dof - spec.dof, start.gripper * spec.gripper.width / 2)
    contents.arm.qpos = np.concatenate([reach.solve(spec, start.tcp), opened]).astype(np.float32)
    system.step()
    place.update_render()
    seen.take_picture()
    ours = colour(seen.get_picture(visuals.PICTURE)[..., :3].astype(int))
    cell = build(spec, task, "tcp")
    cell.connect([camera], None)
    cell.robot.reset(start)
    theirs = colour(cell.cameras[camera].read().image.astype(int))
    cell.close()
    return float((ours & theirs).sum() / (ours | theirs).sum())


def red(image) -> np.ndarray:
    return (image[..., 0] > 90) & (image[..., 0] > 2 * image[..., 1])


def wood(image) -> np.ndarray:
    return (image[..., 0] > image[..., 1] + 10) & (image[..., 1] > image[..., 2] + 10) & ~red(image)


def yellow(image) -> np.ndarray:
    return (image[..., 1] > 100) & (image[..., 1] > 2 * image[..., 2])


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
@pytest.mark.parametrize(
    ("colour", "task", "camera", "least"),
    [
        (red, PegInsert, "wrist", 0.9),
        (wood, PegInsert, "wrist", 0.9),
        (wood, PegInsert, "side", 0.85),
        (yellow, PickPlace, "wrist", 0.8),
    ],
)
def test_things_are_where_mujocos_pictures_have_them(drawing, robot, colour, task, camera, least) -> None:
    assert alike(colour, task, robot, camera) > least


def test_a_camera_of_a_device_that_cannot_draw_is_refused(monkeypatch) -> None:
    studio = pictures.Studio(FR3, PegInsert(FR3), "cpu")  # pyright: ignore[reportArgumentType]
    with pytest.raises(MissingSystem, match=r"cannot render here.*User/PegInsert-sim-v0"):
        studio.want(FR3.cameras[0])


class Renderer:
    def __init__(self, device) -> None:
        self.device = device


class Group:
    def __init__(self, renderers) -> None:
        self.renderers = renderers
        self.set_cuda_poses = self.create_camera_group = MagicMock()


@pytest.fixture
def studio(monkeypatch) -> pictures.Studio:
    """On a device that can draw, as it says."""
    monkeypatch.setattr(pictures.sapien, "Device", lambda name: SimpleNamespace(can_render=lambda: True))
    monkeypatch.setattr(pictures.render, "RenderSystem", Renderer)
    monkeypatch.setattr(pictures.render, "RenderSystemGroup", Group)
    monkeypatch.setattr(visuals, "prepare", lambda count: None)
    return pictures.Studio(FR3, PegInsert(FR3), "cuda:0")  # pyright: ignore[reportArgumentType]


def test_a_camera_comes_before_the_scenes(studio) -> None:
    studio.begin(2)
    assert studio.systems() == []  # nothing is drawn where nobody looks
    studio.open(None)
    with pytest.raises(BadOption, match="wrist"):
        studio.want(FR3.cameras[0])


def test_a_picture_wants_a_camera_and_then_a_reset(studio) -> None:
    camera = pictures.GpuCamera(FR3.cameras[0], studio, None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(Closed, match=rf"'{camera.spec.name}' is not connected; call connect\(\) before the first reset"):
        camera.read()
    camera.connect()
    with pytest.raises(NotReset, match="call reset first"):
        camera.read()
    studio.begin(2)
    studio.open(MagicMock())
    with pytest.raises(Closed, match=r"'another' is not connected"):
        studio.draw("another")


def test_what_is_closed_draws_no_more_and_takes_other_cameras(studio) -> None:
    one, other = (pictures.GpuCamera(spec, studio, None) for spec in FR3.cameras[:2])  # pyright: ignore[reportArgumentType]
    one.connect()
    studio.begin(2)
    drawer = weakref.ref(studio.systems()[0])
    studio.open(MagicMock())
    assert drawer() is not None
    one.close()
    assert drawer() is None
    with pytest.raises(Closed, match="is not connected"):
        one.read()
    other.connect()


def test_more_scenes_than_the_renderer_is_made_for_are_refused() -> None:
    with pytest.raises(BadOption, match=r"bad num_envs 1025; allowed: 1 \.\. 1024 with pictures"):
        visuals.prepare(1025)
