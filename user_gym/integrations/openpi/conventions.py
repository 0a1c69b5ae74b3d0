"""What others call the things that a policy sees and does: openpi's models, LeRobot's policies and environments, and ours.

                 picture of a camera             state                prompt   actions
ours             <camera>                        state                prompt   actions
libero           observation/image, .../wrist_image   observation/state    prompt   actions
lerobot          observation.images.<camera>     observation.state    task     action
lerobot_env      pixels: {<camera>: ...}         agent_pos            task     action

Pictures are uint8 (h, w, 3); with `lerobot`, whose policies take tensors, they are float32 (1, 3, h, w) in 0 .. 1, all else has
a leading axis of one as well, and the prompt is a list of one text. The keys are those of openpi's examples and of LeRobot 0.4.

A convention renames and reshapes. What the numbers of a state and of an action mean is between robot and model: a model that
was trained on other numbers than an environment's has to be met by an environment that has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import F32
from user_gym.errors import BadOption
from user_gym.system.chunked import PROMPT

CAMERAS = ("wrist", "side")  # that our robots have


@dataclass(frozen=True, slots=True)
class Convention:
    """Names and shapes of one family. What has no name here keeps its own."""

    pictures: Mapping[str, str] = field(default_factory=dict)  # camera here -> key there
    state: str = "state"
    prompt: str = "prompt"
    actions: str = "actions"
    inside: str = ""  # the pictures are one entry of this name, a map; "": each is an entry
    tensors: bool = False  # a leading axis of one, and pictures as float32 (1, 3, h, w) in 0 .. 1

    def there(self, obs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """An observation of ours, which may have a text in an array () under "prompt", as the other side has it."""
        made: dict[str, Any] = {}
        for name, value in obs.items():
            if name == PROMPT:
                made[self.prompt] = [str(value)] if self.tensors else str(value)
            elif name == "state":
                made[self.state] = value[None] if self.tensors else value
            elif value.dtype == np.uint8 and value.ndim == 3:
                where = made.setdefault(self.inside, {}) if self.inside else made
                where[self.pictures.get(name, name)] = _tensor(value) if self.tensors else value
            else:
                made[name] = value[None] if self.tensors else value
        return made

    def here(self, message: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """An observation of the other side as ours; its prompt is a text in an array () under "prompt".

        Raises:
            BadOption: a value is no array of numbers, a picture has another shape, or a prompt is no text.
        """
        cameras = {there: camera for camera, there in self.pictures.items()}
        entries = dict(message)
        pictures = entries.pop(self.inside, {}) if self.inside else {k: entries.pop(k) for k in cameras if k in entries}
        if not isinstance(pictures, Mapping):
            raise BadOption(f"observation {self.inside!r}", type(pictures).__name__, "a map of pictures by camera")
        made = {cameras.get(there, there): self._picture(there, value) for there, value in pictures.items()}
        for key, value in entries.items():
            if key == self.prompt:
                made[PROMPT] = np.array(self._text(key, value))
            else:
                array = self._single(key, value)
                made["state" if key == self.state else key] = array
        return made

    def chunk(self, answer: Mapping[str, Any], axes: int | None = None) -> F32:
        """The actions (h, a) of a policy's answer; of each the first `axes`, None: all. Raises BadOption."""
        name, actions = f"answer's {self.actions!r}", answer.get(self.actions)
        if not isinstance(actions, np.ndarray):
            raise BadOption(name, sorted(answer), f"an array of that name among {sorted(answer)}")
        rows = actions[0] if actions.ndim == 3 and len(actions) == 1 else actions
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or not rows.size or rows.dtype.kind not in "iuf" or not np.isfinite(rows).all():
            raise BadOption(name, f"{actions.dtype}{list(actions.shape)}", "finite numbers (h, action)")
        if axes is not None and rows.shape[1] < axes:
            raise BadOption(name, f"{rows.shape[1]} numbers in each action", f"{axes} or more, as the robot has")
        return np.ascontiguousarray(rows[:, :axes], np.float32)

    def answer(self, actions: F32) -> dict[str, Any]:
        """Actions (h, a) as a policy of the other side answers."""
        return {self.actions: actions[None] if self.tensors else actions}

    def _text(self, key: str, value: Any) -> str:
        text = value[0] if self.tensors and isinstance(value, list | tuple) and len(value) == 1 else value
        if not isinstance(text, str):
            raise BadOption(f"prompt {key!r}", value, "a text in a list of one" if self.tensors else "a text")
        return text

    def _picture(self, key: str, value: Any) -> NDArray[np.uint8]:
        picture = self._single(key, value)
        if self.tensors and picture.ndim == 3 and picture.dtype.kind == "f":
            picture = (picture.transpose(1, 2, 0) * 255.0).round().clip(0, 255).astype(np.uint8)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            allowed = "float32 (1, 3, h, w)" if self.tensors else "uint8 (h, w, 3)"
            raise BadOption(f"picture {key!r}", f"{picture.dtype}{list(picture.shape)}", allowed)
        return picture

    def _single(self, key: str, value: Any) -> NDArray[Any]:
        if not isinstance(value, np.ndarray | np.generic | int | float) or np.asarray(value).dtype.kind not in "biuf":
            raise BadOption(f"observation {key!r}", type(value).__name__, "an array of numbers")
        array = np.asarray(value)
        if self.tensors and (array.ndim == 0 or len(array) != 1):
            raise BadOption(f"observation {key!r}", f"{array.dtype}{list(array.shape)}", "a leading axis of one")
        return array[0] if self.tensors else array


def _tensor(picture: NDArray[np.uint8]) -> F32:
    """A picture (h, w, 3) as (1, 3, h, w) in 0 .. 1."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / np.float32(255.0)


OURS = Convention()
LIBERO = Convention({"side": "observation/image", "wrist": "observation/wrist_image"}, "observation/state")


def lerobot(cameras: Sequence[str] = CAMERAS) -> Convention:
    """What LeRobot's policies take: `select_action` and `predict_action_chunk`, but for torch's own arrays."""
    pictures = {camera: f"observation.images.{camera}" for camera in cameras}
    return Convention(pictures, "observation.state", "task", "action", tensors=True)


def lerobot_env(cameras: Sequence[str] = CAMERAS) -> Convention:
    """What LeRobot's environments give."""
    return Convention({camera: camera for camera in cameras}, "agent_pos", "task", "action", inside="pixels")
