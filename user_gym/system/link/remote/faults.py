"""What went wrong at the other side, in words, and the same error again on this side. Only names of our error tree count."""

from __future__ import annotations

from typing import Any

from user_gym import errors
from user_gym.errors import RobotFault, UserGymError

_MOST = 2000  # characters
KNOWN = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, UserGymError)
}  # by name


def said(error: Exception) -> list[str]:
    """An error as [name, message]; one that is not of our tree is a RobotFault: it ends the episode like one."""
    if isinstance(error, UserGymError):
        name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in KNOWN)
        return [name, str(error)[:_MOST]]
    return [RobotFault.__name__, f"the environment at the edge failed: {type(error).__name__}: {error}"[:_MOST]]


def heard(words: Any) -> UserGymError:
    """The error that the other side said; whatever it says, one of our tree."""
    match words:
        case [str() as name, str() as message] if name in KNOWN:
            kind = KNOWN[name]
            return kind.__new__(kind, message[:_MOST])  # as raised there, and not built from the parts of a message
    return RobotFault(f"the other side reports {str(words)[:_MOST]}")


def told(error: Exception) -> str:
    """As `info["fault"]` says it, in every environment of ours."""
    return f"{type(error).__name__}: {error}"
