"""Blocks whose batches have the same columns are of one kind, however their columns are coded. It knows no bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from user_gym.system.buffer.batches import EXTRA, OBS, STEP, Rows
from user_gym.system.buffer.layout import Layout


@dataclass(frozen=True, slots=True)
class Kind:
    """What batches of some blocks have.

    Attributes:
        number: 0, 1, ... in the order in which they were met.
        rows: all columns.
        light: those that lie in the light region.
        heavy_obs: keys of the observations that do not.
        heavy_steps: keys of the other columns that do not.
    """

    number: int
    rows: Rows
    light: Rows
    heavy_obs: tuple[str, ...]
    heavy_steps: tuple[str, ...]


class Kinds:
    """All kinds met so far. Not thread-safe: its owner locks."""

    def __init__(self) -> None:
        self.all: list[Kind] = []
        self._by_rows: dict[tuple[Any, ...], Kind] = {}
        self._by_layout: dict[bytes, Kind] = {}

    def of(self, layout: Layout) -> Kind:
        """The kind of a layout."""
        kind = self._by_layout.get(layout.text)
        if kind is None:
            kind = self._by_layout[layout.text] = self._of(layout)
        return kind

    def _of(self, layout: Layout) -> Kind:
        rows = rows_of(layout)
        key = tuple((name, dtype.str, shape) for name, (dtype, shape) in rows.items())
        kind = self._by_rows.get(key)
        if kind is None:
            heavy = [name for name in rows if name in layout.heavy]
            kind = Kind(
                len(self.all),
                rows,
                {name: described for name, described in rows.items() if name in layout.light},
                tuple(name for name in heavy if name.startswith(OBS)),
                tuple(name for name in heavy if not name.startswith(OBS)),
            )
            self.all.append(kind)
            self._by_rows[key] = kind
        return kind


def rows_of(layout: Layout) -> Rows:
    """What batches have of the rows of blocks with this layout."""
    columns = {**layout.light, **layout.heavy}
    chosen = {key: column for key, column in columns.items() if key in STEP or key.startswith((OBS, EXTRA))}
    return {key: (column.dtype, column.shape) for key, column in sorted(chosen.items())}
