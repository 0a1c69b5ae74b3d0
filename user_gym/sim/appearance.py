"""Light, colours and cameras of a model that is drawn, as an episode has them. It draws no random number."""

from __future__ import annotations

from typing import Any

import numpy as np

from user_gym.robots import pose
from user_gym.sim.arm import wxyz
from user_gym.sim.plant import Plant
from user_gym.sim.randomisation import Look

_XYZW = [1, 2, 3, 0]


class Appearance:
    """A dressed model that can be changed, and changed back.

    Args:
        model: the MjModel that is drawn.
        plant: whose bodies and cameras it shows.
    """

    def __init__(self, model: Any, plant: Plant) -> None:
        self._model = model
        self._cameras = [model.camera(camera.name).id for camera in plant.spec.cameras]
        owner = np.asarray(model.geom_bodyid)
        objects = [np.flatnonzero(owner == model.body(name).id) for name in plant.objects]
        self._painted = [*objects, np.array([model.geom("table").id])]  # the world's other shapes are the arm's base
        self._rgba, self._light, self._slant = model.geom_rgba.copy(), model.light_diffuse.copy(), model.light_dir.copy()
        self._eye, self._gaze = model.cam_pos.copy(), model.cam_quat.copy()
        head = model.vis.headlight
        self._head = np.array(head.ambient), np.array(head.diffuse)
        self._shown: Look | None = None

    def show(self, look: Look | None) -> None:
        """Make the model look so; None: as it was built."""
        if look is self._shown or look is None:
            return
        self._shown = look
        model, head = self._model, self._model.vis.headlight
        model.light_diffuse[:] = self._light * look.brightness
        model.light_dir[:, :2] = self._slant[:, :2] + look.slant
        head.ambient[:], head.diffuse[:] = self._head[0] * look.brightness, self._head[1] * look.brightness
        for rows, shift in zip(self._painted, look.colours, strict=True):
            model.geom_rgba[rows, :3] = np.clip(self._rgba[rows, :3] + shift, 0.0, 1.0)
        for camera, shift in zip(self._cameras, look.cameras, strict=True):
            gaze = self._gaze[camera, _XYZW]
            model.cam_pos[camera] = self._eye[camera] + pose.rotate(gaze, shift[:3])
            model.cam_quat[camera] = wxyz(pose.multiply(gaze, pose.exp(shift[3:])))
