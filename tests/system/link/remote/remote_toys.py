"""An environment whose every step can be watched and held up, from the test's process or through files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import gymnasium
import numpy as np

from user_gym.errors import Reflex

ID = "RemoteToy-v0"
STEPS = 10
SLOW, FAULTY, BROKEN = 0.5, 0.6, 0.7  # actions: waits for GATE; a fault of the robot; an error of the program
GATE = threading.Event()
HELD = threading.Event()
CLOSED = threading.Event()


class RemoteToy(gymnasium.Env):
    """The observation counts steps, and says the seed. `hold` tells HELD, or writes a file in a process of its own."""

    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, size=4, obs="state", render_mode=None, folder=""):
        self.observation_space = gymnasium.spaces.Dict({"x": gymnasium.spaces.Box(-1e6, 1e6, (size,), np.float32)})
        self.render_mode, self.obs, self.folder = render_mode, obs, folder
        self.n = self.seed = 0

    def _observed(self):
        x = np.full(self.observation_space["x"].shape, self.n, np.float32)
        x[0] = self.seed
        return {"x": x}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n, self.seed = 0, -1 if seed is None else seed
        return self._observed(), {"time": 0.0, "obs": self.obs, "pid": os.getpid()}

    def step(self, action):
        what = round(float(action[0]), 3)
        if what == SLOW:
            GATE.wait(10.0)
        if what == FAULTY:
            raise Reflex("the toy protects itself; reset() goes on")
        if what == BROKEN:
            raise ZeroDivisionError("a bug")
        self.n += 1
        info = {"time": 0.1 * self.n, "executed": np.asarray(action, np.float64), "is_success": False}
        return self._observed(), float(self.n), False, self.n == STEPS, info

    def render(self):
        return np.full((40, 40, 3), self.n, np.uint8)

    def hold(self):
        HELD.set()
        if self.folder:
            (Path(self.folder) / "held").write_text(str(self.n))

    def close(self):
        CLOSED.set()


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point=RemoteToy)
