"""Rows of words as a table for a terminal. The last column takes the width that is left, and wraps."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

_GAP, _LEAST = 2, 40  # characters between columns; the last column is never narrower


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Lines with columns under each other.

    Args:
        head: names of the columns.
        rows: as many words each.
        width: characters of a line; None: the terminal's.
    """
    lines = [[printable(word) for word in line] for line in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) + _GAP for column in range(len(head) - 1)]
    left = max((shutil.get_terminal_size((120, 24)).columns if width is None else width) - sum(widths), _LEAST)
    shown = []
    for line in lines:
        first = "".join(word.ljust(size) for word, size in zip(line, widths, strict=False))
        wrapped = textwrap.wrap(line[-1], left, break_long_words=False, break_on_hyphens=False) or [""]
        shown += [(first + wrapped[0]).rstrip(), *(" " * sum(widths) + more for more in wrapped[1:])]
    return "\n".join(shown)


def printable(text: str) -> str:
    """Text of another machine: what a terminal would obey, such as an escape sequence, is shown and not sent to it."""
    return "".join(c if c.isprintable() else " " if c.isspace() else repr(c)[1:-1] for c in text)
