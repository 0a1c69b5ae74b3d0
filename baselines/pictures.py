"""What runs from pictures see: small pictures, and of the state what the arm itself feels. It knows no learner.

The state of an environment says behind the arm's own entries where objects are, pictures or not. A policy that is to see must
not be told: those entries are cut off, in demonstrations, training, evaluation and play alike.

Importing it registers "Seen-v0", see `make`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from user_gym.core import whole
from user_gym.errors import BadOption, UnknownName

STATE = 19  # entries that the state of every task begins with: docs/ids.md. Joints follow where they are controlled
SEEN = "Seen-v0"
OBJECT = 6  # entries of each object behind those


def shrunk(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture (h, w, 3) with `side` rows and columns, each pixel the mean of those it stands for. Raises BadOption."""
    height, width, colours = picture.shape
    if height % side or width % side:
        raise BadOption("picture", picture.shape, f"sides that are multiples of {side} pixels")
    if height == width == side:
        return picture
    tall, wide = height // side, width // side
    # A sum of slices: a mean over the axes of six takes five times as long.
    total = np.zeros((side, side, colours), np.uint32)
    for row, column in np.ndindex(tall, wide):
        total += picture[row::tall, column::wide]
    return (total / (tall * wide)).round().astype(np.uint8)


class Seen(gymnasium.ObservationWrapper[Any, Any, Any]):
    """An environment as its pictures show it: those `side` x `side` pixels, the state without its objects.

    Args:
        env: of user_gym, with obs="pixels".
        side: pixels.
        cameras: names of those that are seen; None: all.

    Raises:
        BadOption: `side` is no number of pixels, its pictures cannot be made so small, or it has no task that says which
            objects its state tells of.
        UnknownName: it has no such camera.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], side: int, cameras: Sequence[str] | None = None) -> None:
        super().__init__(env)
        task = getattr(env.unwrapped, "task", None)
        if task is None:
            raise BadOption("environment", env.unwrapped, "an environment of user_gym, whose task says what its state tells")
        self._side = side = whole("side", side, 1)
        inside: Any = env.observation_space
        pictures = {name: space for name, space in inside.items() if space.dtype == np.uint8}
        for name in cameras or ():
            if name not in pictures:
                raise UnknownName("camera", name, pictures)
        for space in pictures.values():
            shrunk(np.zeros(space.shape, np.uint8), side)
        state = inside["state"]
        self._felt = state.shape[0] - OBJECT * len(task.scene_keys)
        small = gymnasium.spaces.Box(0, 255, (side, side, 3), np.uint8)
        kept: dict[str, gymnasium.Space[Any]] = {name: small for name in pictures if cameras is None or name in cameras}
        kept["state"] = gymnasium.spaces.Box(state.low[: self._felt], state.high[: self._felt])
        self.observation_space: gymnasium.spaces.Dict = gymnasium.spaces.Dict(kept)

    def observation(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What is left of an observation."""
        seen = {name: shrunk(observation[name], self._side) for name in self.observation_space.spaces if name != "state"}
        return {"state": observation["state"][: self._felt].copy(), **seen}


def make(env_id: str, robot: str, side: int = 64, **own: Any) -> Seen:
    """An environment as its pictures show it, by itself: for runs in which each robot has a process of its own.

    Args:
        env_id: as in gymnasium.make.
        robot: as of that environment.
        side: pixels.
        **own: further options of that environment.

    Raises:
        UnknownName, BadOption: as that environment, and as Seen.
    """
    if "obs" in own:
        raise BadOption("obs", own["obs"], "none: what this environment shows is pictures", "leave it out")
    return Seen(gymnasium.make(env_id, robot=robot, obs="pixels", **own), side)


gymnasium.register(SEEN, entry_point="baselines.pictures:make")
