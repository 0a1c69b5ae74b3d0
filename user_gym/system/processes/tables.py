"""Records out of tables of TOML or JSON: each name and value is what it has to be, or is named in the error."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from user_gym.errors import BadOption, UnknownName


def record(kind: type[Any], where: str, words: Any, what: str = "option of the plan") -> Any:
    """A dataclass of a table; `where` the table is, for errors. Raises BadOption and UnknownName, naming the field."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    prefix = f"{where}." if where else ""
    for name in table(where, words):
        if name not in fields:
            raise UnknownName(what, f"{prefix}{name}", [f"{prefix}{known}" for known in fields])
    for name, one in fields.items():
        needed = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if needed and name not in words:
            raise BadOption(f"{prefix}{name}", None, "a value: it has no default", "write it down")
    return kind(**words)


def table(name: str, value: Any) -> Mapping[str, Any]:
    """The value, which is one. Raises BadOption."""
    if not isinstance(value, Mapping):
        raise BadOption(name or "plan", value, "a table of names and values")
    return value


def open_table(name: str, value: Any) -> Mapping[str, Any]:
    """One whose names are not ours: of values that JSON has, in which a plan is kept and compared. Raises BadOption."""
    allowed, odd = "texts, numbers, true, false, lists and tables of them; nan is none, as it is equal to nothing", list[str]()
    try:
        json.loads(json.dumps(dict(table(name, value))), parse_constant=odd.append)
    except TypeError as error:
        raise BadOption(name, value, allowed, str(error)) from error
    if "NaN" in odd:
        raise BadOption(name, value, allowed)
    return value


def text(name: str, value: Any, empty: bool) -> str:
    """The value, which is a text; `empty`: it may be. Raises BadOption."""
    if not isinstance(value, str) or (not value and not empty):
        raise BadOption(name, value, "a text" if empty else "a text that is not empty")
    return value
