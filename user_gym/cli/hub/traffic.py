"""What an edge says of its bytes, what it keeps and whom it serves, in words. It may say anything, so nothing is believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from user_gym.cli.table import table

if TYPE_CHECKING:
    from user_gym.system.link.edge.training_group import Declared

HEAD = ("COLUMN", "CODING", "BYTES A STEP", "AS SENT")
_TEXT = 60  # characters


def size(nbytes: float) -> str:
    """12.3 kB."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5 or unit == "GB":
            return f"{nbytes:.3g} {unit}" if nbytes < 999.5 else f"{nbytes:.0f} {unit}"
        nbytes /= 1000
    raise AssertionError


def declared(rows: Sequence[Declared], rate: float) -> str:
    """A table of what steps at `rate` Hz will bring, before any is taken."""
    total = sum(row.nbytes for row in rows)
    lines = [(row.column, row.form, row.coding, size(row.nbytes)) for row in rows]
    shown = table(("COLUMN", "A ROW", "CODING", "AT MOST"), [*lines, ("all", "", "", size(total))])
    return f"{shown}\nat {rate:g} Hz: {size(total * rate)} per second, at most"


def step(facts: Mapping[str, Any]) -> str:
    """Bytes of a step as they are sent; "" where nothing was yet."""
    said = _table(facts.get("bytes"))
    after = _number(said.get("after"))
    return size(after) if after is not None and _number(said.get("steps")) else ""


def columns(facts: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Rows of a table: each column before coding and after; what is coded together has its sum in the row "light"."""
    said = _table(facts.get("bytes"))
    for name, found in sorted(_table(said.get("columns")).items()):
        match found:
            case [before, after, str() as coding]:
                small, large = _number(after), _number(before)
                sizes = "" if large is None else size(large), "with light" if small is None else size(small)
                yield _text(name), _text(coding), *sizes
            case _:
                yield _text(name), "", "", ""
    if (large := _number(said.get("before"))) is not None and (small := _number(said.get("after"))) is not None:
        yield "all", "", size(large), size(small)


def raw(facts: Mapping[str, Any]) -> str:
    """Which episodes are kept at full rate, and how many samples were dropped."""
    parts: list[str] = []
    for robot, said in sorted(_table(facts.get("raw")).items()):
        kept, streams = _table(said).get("episodes"), _table(_table(said).get("streams"))
        match kept:
            case [int() as first, int() as last]:
                text = f"{_text(robot)} {first}..{last}"
            case _:
                text = f"{_text(robot)} none"
        lost = sum(_number(_table(one).get("dropped")) or 0 for one in streams.values())
        failed = ", FAILED" if _table(said).get("failure") else ""
        parts.append(text + (f", {lost:.0f} dropped" if lost else "") + failed)
    return "; ".join(parts)


def served(facts: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Of each robot that clients of the hub may step: its name, who has it, and as what it is served."""
    for robot, told in sorted(_table(facts.get("serves")).items()):
        ids, client = _table(told).get("ids"), _text(_table(told).get("client") or "")
        shown = _text(", ".join(map(str, ids))) if isinstance(ids, list) else ""
        yield _text(robot), f"leased by {client}" if client else "free", shown


def _text(value: Any) -> str:
    return "".join(letter for letter in str(value)[:_TEXT] if letter.isprintable())


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if sound and abs(value) < 1e18 else None
