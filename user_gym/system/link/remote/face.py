"""What a client knows of a remote environment before it steps it: spaces, task, rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium

from user_gym.errors import BadBlock, BadOption
from user_gym.system.link.remote import spaces
from user_gym.system.link.remote.served import CHOICES
from user_gym.system.spaces import spec_hash

_RATE = 10.0  # Hz, of an environment that says none


@dataclass(frozen=True, slots=True)
class Face:
    """Of one environment."""

    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    task_description: str
    rate: float  # Hz
    task: Any = None  # None where the edge said all
    spec_of_robot: Any = None

    def compare(self, said: Mapping[str, Any], edge: str) -> None:
        """With the spaces that the edge has. Raises BadOption where they differ."""
        theirs, ours = _text(said, "hash"), spec_hash(self.observation_space, self.action_space)
        if theirs != ours:
            raise BadOption(
                f"spaces of {_text(said, 'id')} at {edge or 'the edge'}", theirs, f"{ours}, as this client has them",
                "make both with the same robot, obs and control, and of the same version",
            )  # fmt: skip


def mirrored(like: str, robot: str | None, options: Mapping[str, Any]) -> Face:
    """Of an id of this machine, of which nothing is connected. Raises BadOption, and what making it raises."""
    unknown = [name for name in options if name not in CHOICES]
    if unknown:
        raise BadOption("option of a remote environment", unknown[0], f"{', '.join(CHOICES)}: all else is said at the edge")
    model = {} if robot is None else {"robot": robot}
    shown = {name: value for name, value in options.items() if name != "render_mode"}
    env = gymnasium.make(like, disable_env_checker=True, **model, **shown)
    core: Any = env.unwrapped
    env.close()
    return Face(env.observation_space, env.action_space, core.task_description, core.task.rate, core.task, core.spec_of_robot)


def learnt(said: Mapping[str, Any]) -> Face:
    """As the edge says. Raises BadBlock."""
    observations, actions = spaces.space_of(said.get("observations")), spaces.space_of(said.get("actions"))
    return Face(observations, actions, _text(said, "description"), said.get("fps") or _RATE)


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or len(value) > 2000:
        raise BadBlock(f"{name!r} of an edge", value, "text")
    return value
