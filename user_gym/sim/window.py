"""A window in which a person watches a twin, at the speed of life."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import mujoco

from user_gym.core import Task
from user_gym.errors import MissingSystem
from user_gym.sim.plant import compile_plant
from user_gym.sim.twins import MujocoTwins


class Window:
    """Shows the first of a batch of twins in MuJoCo's own viewer."""

    def __init__(self, twins: MujocoTwins, task: Task) -> None:
        self._twins, self._task = twins, task
        self._viewer: Any = None

    def connect(self) -> None:
        """Open the window. Raises MissingSystem where there is no display."""
        if self._viewer is not None:
            return
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise MissingSystem(
                "render_mode='human' opens a window, and this machine has no display (DISPLAY is not set); "
                "use render_mode='rgb_array', or run under Xvfb"
            )
        import mujoco.viewer

        plant = self._twins.plant
        dressed = compile_plant(plant.spec, self._task, plant.control, plant.dt, dressed=True)
        self._data = mujoco.MjData(dressed.model)
        self._model = dressed.model
        before = set(threading.enumerate())
        self._viewer = mujoco.viewer.launch_passive(dressed.model, self._data, show_left_ui=False, show_right_ui=False)
        self._threads = set(threading.enumerate()) - before
        self._origin: tuple[float, float] | None = None

    def refresh(self) -> None:
        """Show the twin as it is now, no earlier than its own clock says."""
        twin_time = float(self._twins.clock()[0])
        if self._origin is None or twin_time < self._origin[1]:
            self._origin = (time.monotonic() - twin_time, twin_time)
        time.sleep(max(0.0, self._origin[0] + twin_time - time.monotonic()))
        with self._viewer.lock():
            self._twins.pose(0, self._data)
            mujoco.mj_forward(self._model, self._data)
        self._viewer.sync()

    def close(self) -> None:
        """Close the window."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None
            for thread in self._threads:  # it still draws; the process must not end under it
                thread.join(timeout=5.0)
