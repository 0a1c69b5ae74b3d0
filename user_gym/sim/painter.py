"""Pictures of a twin. The physics model has nothing to look at, so a dressed copy takes over the pose and is drawn."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import mujoco
import numpy as np

from user_gym.core import U8, CameraSpec, Frame, Task
from user_gym.errors import Closed, MissingSystem
from user_gym.sim.appearance import Appearance
from user_gym.sim.plant import Plant, compile_plant
from user_gym.sim.randomisation import Look
from user_gym.sim.twins import MujocoTwins

SMALL = 256  # pixels; up to this size round shapes get half the facets, which software draws 2.4 times as fast
_CURE = "install libegl1 and libgl1 (Debian: apt-get install libegl1 libgl1), or libosmesa6 and set MUJOCO_GL=osmesa"


_drawing: int | None = None  # process that opened a context; a fork inherits it, and would wait for ever for GL's threads


def open_context(width: int, height: int) -> Any:
    """An off-screen OpenGL context: EGL, or OSMesa where MUJOCO_GL says so.

    Raises:
        MissingSystem: this machine or this process cannot draw; names the cure.
    """
    global _drawing
    if _drawing not in (None, os.getpid()):
        raise MissingSystem(
            "this process was forked from one that had begun to draw, and OpenGL does not survive a fork; "
            "start processes with the 'spawn' context, as in AsyncVectorEnv(..., context='spawn')"
        )
    backend = os.environ.get("MUJOCO_GL", "egl").lower()
    backend = backend if backend in ("egl", "osmesa") else "egl"  # glfw needs a window; pictures never do
    _load_triton()
    try:
        if backend == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            from mujoco.egl import GLContext
        context = GLContext(width, height)
        _drawing = os.getpid()
        return context
    except (ImportError, OSError, AttributeError, RuntimeError) as e:
        raise MissingSystem(f"cannot draw with {backend}: {e}; {_CURE}. State observations need none of this.") from e


def _load_triton() -> None:
    """Before Mesa is loaded, where it is installed: PyTorch imports it with the first step of an optimiser.

    Both bring an LLVM, and a process that gets triton's behind the one that Mesa draws with in software dies (seen: triton
    3.9, LLVM 15); the other way round it lives. It takes 0.1 s and 70 MB, of which processes share most.
    """
    if find_spec("triton") is not None:
        import_module("triton")


class Subject(Protocol):
    """What a painter has to know of twins."""

    plant: Plant

    def pose(self, row: int, data: Any) -> None:
        """Write one arm's joints and objects into the MjData of a model with the same layout."""
        ...

    def look(self, row: int) -> Look | None:
        """How one arm's episode looks, where that was drawn."""
        ...


class Painter:
    """Draws rows of a batch of twins at one picture size, from one thread at a time."""

    def __init__(self, twins: Subject, task: Task, height: int, width: int) -> None:
        self._twins, self._task = twins, task
        self._size = (height, width)
        self._gl: Any = None

    def connect(self) -> None:
        """Open the context and upload the model. Raises MissingSystem."""
        if self._gl is not None:
            return
        height, width = self._size
        gl = open_context(width, height)
        plant = self._twins.plant
        self._model = model = compile_plant(plant.spec, self._task, plant.control, plant.dt, dressed=True).model
        self._appearance = Appearance(model, plant)
        # A buffer of exactly the picture's size: software rendering clears and reads all of it.
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        if max(self._size) <= SMALL:
            quality = model.vis.quality
            quality.numslices, quality.numstacks, quality.numquads = 14, 8, 1
        with gl.as_current():
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=200)
        # Cameras of the work look down at it; drawing a sky that they never see took a quarter of their time.
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX.value] = max(self._size) > SMALL
        self._data = mujoco.MjData(model)
        self._camera, self._option = mujoco.MjvCamera(), mujoco.MjvOption()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._option.sitegroup[:] = 0  # marks of our own, such as the TCP between open fingers
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), np.uint8)
        self._gl = gl

    def draw(self, row: int, camera: str) -> U8:
        """Picture (height, width, 3) of one twin as it is now."""
        if self._gl is None:
            raise Closed("painter is not connected; call connect()")
        model, data = self._model, self._data
        self._twins.pose(row, data)
        self._appearance.show(self._twins.look(row))
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        self._camera.fixedcamid = model.camera(camera).id
        mujoco.mjv_updateScene(model, data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene)
        with self._gl.as_current():  # and afterwards no longer: the next call may come from another thread
            mujoco.mjr_render(self._rect, self._scene, self._context)
            mujoco.mjr_readPixels(self._pixels, None, self._rect, self._context)
        return self._pixels[::-1].copy()

    def close(self) -> None:
        """Free the context."""
        if self._gl is not None:
            with self._gl.as_current():
                self._context.free()
            self._gl.free()
            self._gl = None


class TwinCamera:
    """A Camera of one twin (frames (height, width, 3)) or of all of a batch (frames (n, height, width, 3))."""

    def __init__(self, spec: CameraSpec, twins: MujocoTwins, painter: Painter, batched: bool) -> None:
        self.spec = spec
        self._twins, self._painter, self._batched = twins, painter, batched

    def connect(self) -> None:
        """Open the drawing context."""
        self._painter.connect()

    def read(self) -> Frame:
        """Draw now: a twin's newest frame is never old."""
        time = float(self._twins.clock().max())
        if not self._batched:
            return Frame(self._painter.draw(0, self.spec.name), time)
        return Frame(np.stack([self._painter.draw(i, self.spec.name) for i in range(self._twins.count)]), time)

    def close(self) -> None:
        """Free the drawing context; other cameras of the same painter can connect again."""
        self._painter.close()
