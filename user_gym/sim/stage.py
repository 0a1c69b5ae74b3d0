"""The scene around a protocol twin's arm: where objects are and shall be, what a camera sees. It knows no protocol.

It works on the one MjData that the twin steps. Who calls holds the twin's lock, except for `picture`, which takes it
only to copy the pose.
"""

from __future__ import annotations

import threading
from typing import Any

import mujoco
import numpy as np

from user_gym.core import F64, U8, Scene, Task
from user_gym.errors import BadOption, UnknownName
from user_gym.sim.painter import Painter
from user_gym.sim.plant import Plant
from user_gym.sim.randomisation import Look

MAX_PIXELS = 4096  # of a picture's side
_PAINTERS = 4  # sizes of pictures with a context of their own; more would be somebody's mistake


class Stage:
    """Objects and pictures of one simulated arm.

    Args:
        plant: the compiled model.
        task: whose objects stand in it.
        data: the MjData that the twin steps.
        lock: the twin's; nobody steps `data` without it.
    """

    def __init__(self, plant: Plant, task: Task, data: Any, lock: threading.RLock) -> None:
        self.plant, self._task, self._data, self._lock = plant, task, data, lock
        self._painters: dict[tuple[int, int], Painter] = {}
        self._painting = threading.Lock()
        self._valid = np.ones(len(plant.objects), bool)

    def observe(self, time: float) -> Scene:
        """Truth about the objects at this moment of the twin's clock (s)."""
        data, bodies = self._data, list(self.plant.object_body)
        mujoco.mj_kinematics(self.plant.model, data)  # after a step, MuJoCo's positions are of the moment before it
        poses = np.concatenate([data.xpos[bodies], data.xquat[bodies][:, [1, 2, 3, 0]]], axis=-1)
        return Scene(self.plant.objects, poses, self._valid, "sim", time)

    def arrange(self, objects: F64, joints: F64) -> None:
        """Put the objects at poses (k, 7) and their joints (j,) at values, at rest. Raises BadOption."""
        placing, data = self.plant.placing, self._data
        wanted = (len(placing.stand), 7)
        if objects.shape != wanted or not np.isfinite(objects).all():
            allowed = f"finite poses of shape {wanted}, of: {', '.join(placing.stand)}"
            cure = "whoever steps a twin names its task's options: gymnasium.make(..., board='blue'), user-gym twin --option"
            raise BadOption("objects", objects.tolist(), allowed, cure if len(objects) != wanted[0] else "")
        if joints.shape != (len(placing.joints),) or not np.isfinite(joints).all():
            raise BadOption("joints", joints.tolist(), f"{len(placing.joints)} finite numbers")
        placing.place(data.qpos, data.mocap_pos, data.mocap_quat, objects, joints)
        arm = self.plant.spec.dof + self.plant.fingers  # they come first
        data.qvel[arm:] = 0.0

    def picture(self, camera: str, height: int, width: int) -> U8:
        """What a camera of the arm sees now, (height, width, 3). Raises UnknownName, BadOption, MissingSystem."""
        known = [c.name for c in self.plant.spec.cameras]
        if camera not in known:
            raise UnknownName("camera", camera, known)
        if not (0 < height <= MAX_PIXELS and 0 < width <= MAX_PIXELS):
            raise BadOption("size of a picture", (height, width), f"1 .. {MAX_PIXELS} pixels")
        with self._painting:
            painter = self._painters.get((height, width))
            if painter is None:
                if len(self._painters) == _PAINTERS:
                    raise BadOption("size of a picture", (height, width), f"one of {sorted(self._painters)}: no more are kept")
                painter = Painter(self, self._task, height, width)
                painter.connect()
                self._painters[height, width] = painter
            return painter.draw(0, camera)

    def pose(self, row: int, data: Any) -> None:
        """Write joints and objects into the painter's MjData, which has the same layout; there is one row."""
        with self._lock:
            data.qpos[:] = self._data.qpos
            data.mocap_pos[:], data.mocap_quat[:] = self._data.mocap_pos, self._data.mocap_quat

    def look(self, row: int) -> Look | None:
        """As it was built: a protocol twin draws its joints' friction and nothing else."""
        return None

    def close(self) -> None:
        """Free the drawing contexts."""
        with self._painting:
            for painter in self._painters.values():
                painter.close()
            self._painters.clear()
