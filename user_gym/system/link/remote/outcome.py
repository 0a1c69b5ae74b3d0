"""What came of a step, as a client sees it."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np

from user_gym.errors import BadAction, BadBlock, RobotFault
from user_gym.system.link.remote import faults
from user_gym.system.link.remote.form import Tree

_STEP = (float, bool, bool, dict)  # of an answer, after the observation


class Step(NamedTuple):
    """As `gymnasium.Env.step` returns it."""

    obs: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


def step_of(found: Tree) -> Step:
    """The answer of an edge. Raises BadBlock where it is none."""
    if type(found) is not tuple or tuple(map(type, found[1:])) != _STEP:
        raise BadBlock("answer of an edge to a step", found, "observation, reward, terminated, truncated, info")
    return Step(*found)


def ended(last: Step, error: RobotFault) -> Step:
    """The truncation that says that an episode ended by a fault, with what was seen last."""
    info = {"is_success": False, "is_intervention": False, "fault": faults.told(error)}
    if "time" in last.info:
        info["time"] = last.info["time"]
    return Step(copied(last.obs), 0.0, False, True, info)


def sendable(space: gymnasium.Space[Any], action: Any) -> Any:
    """An action that can travel; what it means, the edge decides. Raises BadAction."""
    if not isinstance(space, gymnasium.spaces.Box):
        return action
    try:
        array = np.asarray(action)
    except ValueError as error:
        raise BadAction(f"action {action!r} ({error}); allowed: numbers of shape {space.shape}") from None
    if array.dtype.kind not in "biuf":
        raise BadAction(f"action {action!r}; allowed: numbers of shape {space.shape}")
    return array


def copied(tree: Tree) -> Tree:
    """Arrays of their own."""
    if isinstance(tree, dict):
        return {name: copied(part) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(copied(part) for part in tree)
    return tree.copy() if isinstance(tree, np.ndarray) else tree
