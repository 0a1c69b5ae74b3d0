"""A window in which a person watches a twin, at the speed of life."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import mujoco

from user_gym.core import Task
from user_gym.errors import MissingSystem
from user_gym.sim.plant import compile_plant
from user_gym.sim.twins import MujocoTwins


class Pace:
    """Waits until a twin's clock and life agree.

    Args:
        clock: s, monotonic.
        sleep: waits some seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._origin, self._last = 0.0, math.inf

    def wait(self, twin_time: float) -> None:
        """Return no earlier than `twin_time` s after the episode's first call; a clock that went back begins a new one."""
        if twin_time <= self._last:
            self._origin = self._clock() - twin_time
        self._last = twin_time
        self._sleep(max(0.0, self._origin + twin_time - self._clock()))


class Window:
    """Shows the first of a batch of twins in MuJoCo's own viewer."""

    def __init__(self, twins: MujocoTwins, task: Task) -> None:
        self._twins, self._task, self._pace = twins, task, Pace()
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

    def refresh(self) -> None:
        """Show the twin as it is now, no earlier than its own clock says."""
        self._pace.wait(float(self._twins.clock()[0]))
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
