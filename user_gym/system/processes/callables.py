"""Code that the plan names: found, or refused in words. Only a plan names code; nothing that came over a socket does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from user_gym.errors import BadOption


def named(path: str) -> Callable[..., Any]:
    """The callable "package.module:name". Raises BadOption where there is none."""
    module, _, name = path.partition(":")
    cure = "start the run where Python finds it, or set PYTHONPATH"
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and itself needs something that is not
        raise BadOption("callable of the plan", path, "one in a module that can be imported", f"{error}; {cure}") from error
    if not callable(found):
        raise BadOption("callable of the plan", path, f"a callable of module {module!r}", cure)
    return found
