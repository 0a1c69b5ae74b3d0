"""A bound on the bytes of a store, and who leaves first when it is passed. The oldest do, but what is kept never does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from user_gym.core import real, whole
from user_gym.system.buffer import compaction, pruning
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.condition import parse
from user_gym.system.buffer.files import HERE
from user_gym.system.buffer.writing import Writing

_SLACK = 0.95  # of the bound is left when blocks had to leave: so that this is not repeated at every append
_KEEP = "kind = 'demo' OR is_intervention"  # what a person did is not collected again by letting a robot run


@dataclass(frozen=True, slots=True)
class Quota:
    """A bound, for the segments on the store's own disk.

    Attributes:
        bytes: of segments; one segment more is needed while one is compacted.
        keep: a condition; a block with such a step never leaves by quota. "" keeps nothing.
        shares: robot -> the part 0..1 of `bytes` below which its blocks do not leave by quota.
    """

    bytes: int
    keep: str = _KEEP
    shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole("quota bytes", self.bytes, 1)
        for robot, share in self.shares.items():
            real(f"share of {robot!r}", share, 0.0, 1.0, "a part 0..1 of the quota")
        real("sum of shares", math.fsum(self.shares.values()), 0.0, 1.0, "1 at most")
        if self.keep:
            parse(self.keep)


class Holding:
    """A quota that is held while blocks are appended: looked at often, enforced when something came since the last time."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._least = quota.bytes  # bytes above which it is enforced

    def __call__(self, writing: Writing) -> None:
        """Enforce it if need be."""
        if _used(writing) > self._least:
            held = enforce(writing, self._quota)
            # What is kept may be more than the quota: then look again when much has come.
            self._least = held.bytes + int((1 - _SLACK) * self._quota.bytes) if held.kept else self._quota.bytes


class Enforced(NamedTuple):
    """What holding a quota took."""

    bytes: int  # of segments now
    pruned: int  # bytes of blocks that left
    compacted: int  # segments written anew
    kept: bool  # whether what never leaves is more than the quota


def enforce(writing: Writing, quota: Quota) -> Enforced:
    """Hold a quota: blocks leave, empty files are deleted, and mostly dead ones are written anew until it is met."""
    with writing.upkeep:
        used = _used(writing)
        if used <= quota.bytes:
            return Enforced(used, 0, 0, kept=False)
        with writing.transaction() as catalog:
            leaving, kept = _leaving(catalog, quota)
        pruned = pruning.prune(writing, leaving)
        pruning.delete_empty(writing)
        compacted = 0
        if _used(writing) > quota.bytes:
            writing.retire()
            pruning.delete_empty(writing)
            for number in compaction.candidates(writing, dead=0.0):
                if _used(writing) <= quota.bytes:
                    break
                compaction.compact(writing, number)
                compacted += 1
        return Enforced(_used(writing), pruned, compacted, kept)


def _used(writing: Writing) -> int:
    with writing.transaction() as catalog:
        return _segment_bytes(catalog)


def _segment_bytes(catalog: Catalog) -> int:
    query = "SELECT coalesce(sum(bytes), 0) FROM segments WHERE place = ?"
    return int(catalog.database.execute(query, (HERE,)).fetchone()[0])


def _leaving(catalog: Catalog, quota: Quota) -> tuple[list[int], bool]:
    """The blocks that have to leave, oldest first; and whether those that stay are too many all the same."""
    run = catalog.database.execute
    here = "blocks.segment IN (SELECT id FROM segments WHERE place = 0)"
    raw = run("SELECT 1 FROM raw LIMIT 1").fetchone() is not None
    beside = (
        "SELECT nbytes FROM raw r WHERE (r.source, r.episode, r.sequence) = (blocks.source, blocks.episode, blocks.sequence)"
    )
    size = f"blocks.nbytes + coalesce(({beside}), 0)" if raw else "blocks.nbytes"
    held = dict(
        run(f"SELECT robot, sum({size}) FROM blocks CROSS JOIN origins ON origins.id = origin WHERE {here} GROUP BY robot")
    )
    total = int(run("SELECT coalesce(sum(live), 0) FROM segments WHERE place = ?", (HERE,)).fetchone()[0])
    target = int(_SLACK * quota.bytes)
    text, values = parse(quota.keep).possibly() if quota.keep else ("FALSE", ())
    query = (
        f"SELECT chunks.first, chunks.robot, {size} FROM chunks CROSS JOIN blocks ON blocks.first = chunks.first "
        f"WHERE {here} AND NOT ({text}) ORDER BY chunks.first"
    )
    leaving: list[int] = []
    for first, robot, nbytes in run(query, values):
        if total <= target:
            break
        if held[robot] - nbytes >= quota.shares.get(robot, 0.0) * quota.bytes:
            held[robot] -= nbytes
            total -= nbytes
            leaving.append(first)
    return leaving, total > quota.bytes
