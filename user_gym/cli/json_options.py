"""Options of an environment or a task on a command line: NAME=JSON, as often as there are some."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from user_gym.errors import BadOption

_ALLOWED = "NAME=JSON, such as hole_offset=0.002"


def read(flag: str, texts: Iterable[str]) -> dict[str, Any]:
    """Name -> value, the last of a name; `flag` is what the person wrote before each. Raises BadOption."""
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadOption(flag, text, _ALLOWED)
        try:
            options[name] = json.loads(value)
        except (ValueError, RecursionError) as error:
            cure = f"text has quotes in JSON: {name}='\"{value}\"'" if value.isidentifier() else str(error)
            raise BadOption(flag, text, _ALLOWED, cure) from error
    return options
