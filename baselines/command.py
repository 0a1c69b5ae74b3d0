"""How a command of this folder ends: an error that can be explained is one line, and Ctrl-C no traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from user_gym.errors import UserGymError


@contextmanager
def command() -> Iterator[None]:
    """Around all that a command does. Exits with 1 after an error, with 130 after Ctrl-C."""
    try:
        yield
    except UserGymError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
