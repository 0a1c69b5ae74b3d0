"""Where objects are to the hand, beside where both are to the goal. It knows no learner.

What is done with an object depends on millimetres between it and the hand, while the state tells how far both are from a goal
decimetres away. A small network that has to take the difference itself errs by as much as the tolerance of a grip; told it, and
told it finely, a clone of TableCleanup does not stop beside an object (benchmarks/results/corrections.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from baselines.pictures import OBJECT

FINE = 5.0  # per action step: what is told finely is told within 0.2 of them, 4 mm; farther off, on which side it is
ALIKE = 4  # in so many turns within one whole turn fingers meet a box in the same way


class Relative(gymnasium.ObservationWrapper[Any, Any, Any]):
    """An environment whose state tells at its end where things are as the hand sees them.

    First of the goal its place less the TCP's, finely (3): in -1 .. 1. Then of all objects their places less the TCP's (3 each)
    in action steps; the same finely (3 each); sine and cosine (1 each) of four times the yaw between them and the hand: a
    quarter of a turn further, fingers meet a box as they did.

    Args:
        env: of user_gym, with obs="state" and a task that names objects.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        task: Any = env.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
        self._objects, self._yaw_step = len(task.scene_keys), float(task.action_scale[5])
        inside: Any = env.observation_space
        state = inside["state"]
        low, high = (self._places(bounds) for bounds in (state.low, state.high))
        bounded = np.ones(3 + 5 * self._objects)  # what is told finely, sines and cosines
        ends = (low - state.high[:3], -bounded, state.low), (high - state.low[:3], bounded, state.high)
        spaces = [np.concatenate([plain, one[:3], off.ravel(), one[3:]]).astype(np.float32) for off, one, plain in ends]
        self.observation_space: gymnasium.spaces.Dict = gymnasium.spaces.Dict(
            {**inside.spaces, "state": gymnasium.spaces.Box(*spaces)}
        )

    def observation(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """An observation with these entries at the end of its state."""
        state = observation["state"]
        off = (self._places(state) - state[:3]).ravel()
        turn = ALIKE * (np.pi * self._told(state)[:, 5] - self._yaw_step * state[5])
        more = -np.tanh(FINE * state[:3]), off, np.tanh(FINE * off), np.sin(turn), np.cos(turn)
        return {**observation, "state": np.concatenate([state, *more]).astype(np.float32)}

    def _told(self, state: NDArray[Any]) -> NDArray[Any]:
        """What a state says of each object (objects, 6): docs/ids.md."""
        return state[len(state) - OBJECT * self._objects :].reshape(self._objects, OBJECT)

    def _places(self, state: NDArray[Any]) -> NDArray[Any]:
        """Of each object (objects, 3), in action steps from the goal."""
        return self._told(state)[:, :3]
