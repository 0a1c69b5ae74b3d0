"""Where objects are to the hand, beside where both are to the goal. It knows no learner.

What is done with an object depends on millimetres between it and the hand, while the state tells how far both are from a goal
decimetres away. A small network that has to take the difference itself errs by as much as the tolerance of a grip; told it, and
told it finely, clones of TableCleanup stop beside objects less often (benchmarks/results/corrections.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from baselines.pictures import OBJECT

FINE = 5.0  # per action step: what is told finely is told within 0.2 of them, 4 mm; farther off, on which side it is
ALIKE = np.pi / 2  # rad: turned by so much a box is to fingers as it was


class Relative(gymnasium.ObservationWrapper[Any, Any, Any]):
    """An environment whose state tells at its end where things are as the hand sees them.

    First of the goal its place less the TCP's, finely (3): in -1 .. 1. Then of all objects place and yaw less the TCP's, in
    action steps (4 each), and the same finely (4 each). A box has four yaws, a quarter of a turn apart: the one nearest to 0.
    Last of the object nearest to the TCP which it is (1 for it, 0 for each other), and those entries of it again (4, 4).

    Args:
        env: of user_gym, with obs="state" and a task that names objects.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        task: Any = env.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
        self._objects, self._yaw_step = len(task.scene_keys), float(task.action_scale[5])
        inside: Any = env.observation_space
        state = inside["state"]
        turned = np.full((self._objects, 1), ALIKE / 2 / self._yaw_step)
        low, high = (np.hstack([self._told(b)[:, :3], side * turned]) for b, side in ((state.low, -1), (state.high, 1)))
        fine = np.ones(4 * self._objects)
        low, high, none = low - self._hand(state.high), high - self._hand(state.low), np.zeros(self._objects)
        ends = (
            [state.low, -fine[:3], low.ravel(), -fine, none, low.min(0), -fine[:4]],
            [state.high, fine[:3], high.ravel(), fine, none + 1.0, high.max(0), fine[:4]],
        )
        bounds = [np.concatenate(end).astype(np.float32) for end in ends]
        both = gymnasium.spaces.Box(bounds[0], bounds[1])
        self.observation_space: gymnasium.spaces.Dict = gymnasium.spaces.Dict({**inside.spaces, "state": both})

    def observation(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """An observation with these entries at the end of its state."""
        state = observation["state"]
        told = self._told(state)
        yaw = np.pi * told[:, 5:]
        yaw -= ALIKE * np.round(yaw / ALIKE)
        off = np.hstack([told[:, :3], yaw / self._yaw_step]) - self._hand(state)
        fine, nearest = np.tanh(FINE * off), np.square(off[:, :3]).sum(-1).argmin()
        which = np.arange(self._objects) == nearest
        more = [-np.tanh(FINE * state[:3]), off.ravel(), fine.ravel(), which, off[nearest], fine[nearest]]
        return {**observation, "state": np.concatenate([state, *more]).astype(np.float32)}

    def _told(self, state: NDArray[Any]) -> NDArray[Any]:
        """What a state says of each object (objects, 6): docs/ids.md."""
        return state[len(state) - OBJECT * self._objects :].reshape(self._objects, OBJECT)

    def _hand(self, state: NDArray[Any]) -> NDArray[Any]:
        """Place and yaw of the TCP (4,) in action steps from the goal."""
        return state[[0, 1, 2, 5]]
