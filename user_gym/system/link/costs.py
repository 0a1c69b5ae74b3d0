"""What each column costs on its way: bytes of a step before and after coding, by column. It knows no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple

from user_gym.system.buffer.block import Block
from user_gym.system.buffer.layout import OBS

_MOST = 100  # columns that are told of
LIGHT = "light"  # all columns of small rows, and what says where all others lie: they are coded together


class Cost(NamedTuple):
    """Of one column, on average since the beginning."""

    rows: int  # steps, or samples of a raw stream
    before: float  # bytes of a row as it is
    after: float | None  # bytes of a row as coded; None: with the other light columns
    coding: str  # of the newest block


class Costs:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rows: dict[str, int] = defaultdict(int)
        self._before: dict[str, int] = defaultdict(int)
        self._after: dict[str, int] = defaultdict(int)
        self._coding: dict[str, str] = {}
        self._bytes = self._plain = self._steps = 0

    def add(self, block: Block) -> None:
        """A block was made."""
        head = block.head
        items, layout = head.items, head.layout
        heavy = list(layout.heavy)
        stored = head.steps + 1 - head.follows
        with self._lock:
            for column in layout.columns:
                nbytes = column.nbytes * (stored if column.of == OBS else head.steps)
                self._rows[column.key] += head.steps
                self._before[column.key] += nbytes
                self._plain += nbytes
                self._coding[column.key] = column.coding.name if column.key in layout.heavy else ""
            for at, (begin, end) in enumerate(zip(items.offsets, items.offsets[1:], strict=False)):
                self._after[heavy[at % len(heavy)]] += end - begin
            self._rows[LIGHT] += head.steps
            self._after[LIGHT] += head.prefix_bytes
            self._before[LIGHT] += sum(
                column.nbytes * (stored if column.of == OBS else head.steps) for column in layout.light.values()
            )
            self._bytes += len(block.data)
            self._steps += head.steps

    def columns(self) -> dict[str, Cost]:
        """By column; `LIGHT` is the sum of those that have no `after` of their own."""
        with self._lock:
            return {key: self._cost(key, rows) for key, rows in self._rows.items()}

    def facts(self) -> Mapping[str, Any]:
        """The same as JSON can say it, with the sums; of very many columns only the largest, for a beat has little room."""
        largest = sorted(self.columns().items(), key=lambda item: -item[1].before)[:_MOST]
        columns = {
            key: [round(cost.before, 1), None if cost.after is None else round(cost.after, 1), cost.coding]
            for key, cost in largest
        }
        with self._lock:
            steps = max(1, self._steps)
            return {
                "steps": self._steps, "before": round(self._plain / steps, 1), "after": round(self._bytes / steps, 1),
                "columns": columns,
            }  # fmt: skip

    def _cost(self, key: str, rows: int) -> Cost:
        after = self._after[key] / rows if key in self._after else None
        return Cost(rows, self._before[key] / rows, after, self._coding.get(key, "lz4"))
