"""A robot's cell as its devices are: cameras of 640 x 480 at 30 Hz with sensor noise, and a state at 1 kHz.

The scene is that of the shipped task, drawn at 10 Hz and held for three frames, each with noise of its own: so what the cameras
say is easier to press than what real ones do. The observation is made of the same frames as `real.camera` makes it.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from user_gym.core import Command, RobotState
from user_gym.real.camera import fit
from user_gym.robots import specs
from user_gym.robots.tap import Tap
from user_gym.sim import cell
from user_gym.tasks.peg_insert import PegInsert

NATIVE = (480, 640)  # pixels
FRAMES, TICKS = 3, 100  # of a control period: 30 Hz and 1 kHz at 10 Hz
SIGMA = 2.0  # grey levels of sensor noise, as in results/buffer_codecs.md
_STATE_NOISE = 1e-4  # of each number of the state: encoders and torque sensors have some
_NUMBERS = tuple(field.name for field in fields(RobotState) if field.name != "time")


class NativeCell(gymnasium.Env[Any, Any]):
    """Wanders at random. `raw_sources` has the cameras and the state as devices give them."""

    def __init__(self, seed: int = 0, steps: int = 50) -> None:
        spec = specs.spec("franka-fr3")
        self._small = {camera.name: camera for camera in spec.cameras}
        large = tuple(replace(camera, height=NATIVE[0], width=NATIVE[1]) for camera in spec.cameras)
        self._task = PegInsert(spec)
        self._cell = cell.build(replace(spec, cameras=large), self._task, "tcp")
        self._rng, self._steps = np.random.default_rng(seed), steps
        self._cameras = {name: Tap(name, 30.0, depth=10 * FRAMES) for name in self._small}
        self._states = Tap("state", 1000.0, depth=20 * TICKS)
        self.raw_sources = (self._states, *self._cameras.values())
        picture = gymnasium.spaces.Box(0, 255, (128, 128, 3), np.uint8)
        state = gymnasium.spaces.Box(-np.inf, np.inf, (19,), np.float32)
        self.observation_space = gymnasium.spaces.Dict({**dict.fromkeys(self._small, picture), "state": state})
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (6,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        self._cell.connect(self._small, None)
        self._at, self._before = 0, None
        self._tcp = self._task.start(self._rng)
        state = self._cell.robot.reset(self._tcp)
        return self._observe(state), {"time": float(state.time)}

    def step(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        box = self._task.workspace
        target = np.clip(self._now.tcp + 0.02 * action * np.array([1, 1, 1, 0, 0, 3]), box.low, box.high)
        state = self._cell.robot.exchange(Command(0.0, tcp=target))
        self._at += 1
        return self._observe(state), 0.0, False, self._at >= self._steps, {"time": float(state.time)}

    def close(self) -> None:
        self._cell.close()

    def _observe(self, state: RobotState) -> dict[str, NDArray[Any]]:
        """Says all that devices said since the last one, and returns the last of it as an observation."""
        before, self._now = self._before or state, state
        first = TICKS if self._before is None else 1
        for tick in range(first, TICKS + 1):
            share = tick / TICKS
            columns = {name: self._between(before, state, name, share) for name in _NUMBERS}
            self._states.put(float(before.time + share * (state.time - before.time)), columns)
        small: dict[str, NDArray[Any]] = {}
        for name, tap in self._cameras.items():
            noisy = clean = self._cell.cameras[name].read().image
            for frame in range(FRAMES if self._before is None else 1, FRAMES + 1):
                noisy = self._noisy(clean)
                tap.put(float(before.time + frame / FRAMES * (state.time - before.time)), {"image": noisy})
            small[name] = fit(noisy, self._small[name])
        self._before = state
        numbers = np.concatenate([state.tcp, state.velocity, state.wrench, [state.gripper]]).astype(np.float32)
        return {**small, "state": numbers}

    def _noisy(self, clean: NDArray[np.uint8]) -> NDArray[np.uint8]:
        noise = self._rng.standard_normal(clean.shape, np.float32)
        noise *= SIGMA
        noise += clean
        return np.clip(np.rint(noise, out=noise), 0, 255, out=noise).astype(np.uint8)

    def _between(self, before: RobotState, after: RobotState, name: str, share: float) -> NDArray[np.float64]:
        old, new = np.asarray(getattr(before, name)), np.asarray(getattr(after, name))
        return old + share * (new - old) + _STATE_NOISE * self._rng.standard_normal(old.shape)


def native_rate() -> float:
    """Bytes per second that the cell's devices say, before any coding."""
    spec = specs.spec("franka-fr3")
    numbers = 3 * spec.dof + 3 * 6 + 1
    return len(spec.cameras) * 10 * FRAMES * math.prod(NATIVE) * 3 + 10 * TICKS * numbers * 8
