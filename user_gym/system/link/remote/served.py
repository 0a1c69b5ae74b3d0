"""What an edge serves to clients, and what of it they may choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from user_gym.errors import BadBlock, BadOption

CHOICES = ("obs", "control", "render_mode")
_MODES = (None, "rgb_array")  # a window would open in front of nobody


def _made(env_id: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """As `gymnasium.make`; its checker would look at every step, and the client has one of its own."""
    return gymnasium.make(env_id, disable_env_checker=True, **options)


@dataclass(frozen=True, slots=True)
class Served:
    """An environment that clients may step."""

    env_id: str  # as in gymnasium.make
    options: Mapping[str, Any] = field(default_factory=dict)  # of gymnasium.make, as the edge says
    choices: tuple[str, ...] = CHOICES  # options that a client may give, besides: text, numbers, None
    make: Callable[..., gymnasium.Env[Any, Any]] = _made


def chosen(served: Served, options: Any) -> dict[str, Any]:
    """What a client wants, as far as the edge lets it choose. Raises BadOption."""
    if not isinstance(options, dict):
        raise BadBlock("options of a client", options, "an object")
    for name, value in options.items():
        if name not in served.choices:
            allowed = ", ".join(served.choices) or "none"
            raise BadOption("option of a remote environment", name, f"{allowed}: all else is said at the edge")
        if not isinstance(value, str | int | float | None) or len(str(value)) > 100:
            raise BadOption(f"option {name!r} of a remote environment", value, "text, a number or None")
        if name == "render_mode" and value not in _MODES:
            raise BadOption("render_mode of a remote environment", value, "None | rgb_array")
    return options
