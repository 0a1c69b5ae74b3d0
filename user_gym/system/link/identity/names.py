"""What an edge and its robots may be called, so that a name is safe in a certificate, a query and a path."""

from __future__ import annotations

import re

from user_gym.errors import BadOption

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
ALLOWED = "1..63 letters, digits, '.', '_' and '-', the first a letter or digit"


def is_name(value: object) -> bool:
    """Whether something is such a name."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def checked(what: str, value: object) -> str:
    """The name. Raises BadOption."""
    if not isinstance(value, str) or not is_name(value):
        raise BadOption(what, value, ALLOWED)
    return value


def source(edge: str, robot: str) -> str:
    """The column `source` of what a robot of an edge collects: where data came from can be read off them, and cut out."""
    return f"{edge}/{robot}"


def owner(source: str) -> str:
    """The edge that a source belongs to."""
    return source.partition("/")[0]
