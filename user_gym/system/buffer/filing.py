"""A block that lies in a segment gets its row in the catalog. It writes no segment and ends no transaction."""

from __future__ import annotations

import math

import numpy as np

from user_gym.core import Acknowledgement
from user_gym.errors import BadChunk, BadOption
from user_gym.system.buffer import schema
from user_gym.system.buffer.catalog import GAP, ORPHANED, Catalog
from user_gym.system.buffer.entries import ABSENT
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.layout import OBS, Layout

Summary = tuple[int | float, ...]
_LARGEST = 1 << 62  # of an episode or sequence: the next one still is a number of SQLite


class Filing:
    """Gives numbers to blocks, in the order in which they come. Not thread-safe: its owner locks.

    Attributes:
        totals: steps ever, by group.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.begin()

    def begin(self) -> None:
        """A transaction begins."""
        self.totals = {group: self._catalog.total(group) for group in schema.TABLES}
        self._begun = dict(self.totals)
        self._origin: tuple[tuple[str, ...], int, int] | None = None

    def end(self) -> None:
        """It is about to be committed."""
        for group, total in self.totals.items():
            if total != self._begun[group]:
                self._catalog.count(group, total)

    def known(self, head: Head) -> Acknowledgement | None:
        """What was promised for this chunk before, if anything was; also if it was pruned since."""
        source = self._catalog.source(head.source)
        stored = self._catalog.find(schema.TABLES[head.group], source, head.episode, head.sequence)
        stored = stored or self._catalog.gone(head.group == "raw", source, head.episode, head.sequence)
        return Acknowledgement(*stored, repeated=True) if stored else None

    def file(self, head: Head, summary: Summary, segment: int, offset: int) -> Acknowledgement:
        """Enter a block that is not known.

        Raises:
            BadChunk: its first observation would be one with other columns; or it would be that of a chunk after it, which
                came earlier.
        """
        catalog, table, group = self._catalog, schema.TABLES[head.group], head.group
        source, origin = self._numbers(head)
        first = self.totals[group]
        before, after = catalog.beside(table, source, head.episode, head.sequence)
        if head.follows and before and before.origin != origin:
            self._check_follows(head, head.layout, self._layout(before.origin), "the chunk before it")
        if after and after.follows and after.origin != origin:
            self._check_follows(head, self._layout(after.origin), head.layout, "the chunk after it, which follows it,")
        previous = before.first if before else ABSENT
        place = (first, head.steps, segment, offset, head.block_bytes, previous, head.follows, origin)
        key = (source, head.episode, head.sequence)
        if table == "blocks":
            success = bool(summary[0])
            known = catalog.succeeded(source, head.episode)
            if success and not known:
                catalog.succeed(source, head.episode)
            catalog.insert(table, (*place, *key, success or known, *summary[1:]))
            if head.follows and before is None:
                catalog.add_gap(first, 1, ORPHANED)
                catalog.note(GAP, (first,))
        else:
            catalog.insert(table, (*place, *key))
        if after:
            self._adopt(table, after.first, after.follows, first)
        self.totals[group] = first + head.steps
        return Acknowledgement(first, head.steps, repeated=False)

    def _layout(self, origin: int) -> Layout:
        return Layout.parse(self._catalog.origin(origin)["layout"].encode("ascii"))

    def _check_follows(self, head: Head, layout: Layout, before: Layout, other: str) -> None:
        """Raise BadChunk unless a block of the first layout can take its first observation from one of the second."""
        rows = {column.name: f"{column.dtype.str}{column.shape}" for column in before.columns if column.of == OBS}
        for column in layout.columns:
            needed = f"{column.dtype.str}{column.shape}"
            if column.of == OBS and rows.get(column.name) != needed:
                raise BadChunk(
                    f"{_where(head)}: {other} has other observations: {column.name!r} is {rows.get(column.name, 'missing')} in "
                    f"the one that was to hold it and {needed} in the one that follows; allowed: the same in both, or a chunk "
                    "that holds its first observation itself"
                )

    def _adopt(self, table: str, orphan: int, follows: bool, first: int) -> None:
        """The chunk after this one came earlier."""
        self._catalog.precede(table, orphan, first)
        if table == "blocks" and follows:
            self._catalog.lift_gap(orphan, ORPHANED)

    def _numbers(self, head: Head) -> tuple[int, int]:
        layout = head.layout.text.decode("ascii")
        names = (head.source, head.robot, head.task, head.kind, head.env_id, head.spec_hash, head.clock, layout)
        if self._origin is None or self._origin[0] != names:  # runs of blocks come from one collector
            self._origin = (names, self._catalog.source(head.source), self._catalog.origin_of(names))
        return self._origin[1:]


def summarized(head: Head) -> Summary:
    """What the catalog says of a block's steps, in the order of `schema.SUMMARY`.

    Raises:
        BadChunk: its numbers can be no row of the catalog.
        BadOption: its group is unknown.
    """
    if head.group not in schema.TABLES:
        raise BadOption("group", head.group, " or ".join(schema.TABLES), "encode the columns in one of these groups")
    where = _where(head)
    if max(head.episode, head.sequence) > _LARGEST:
        raise BadChunk(f"{where}: episode and sequence are allowed up to {_LARGEST}")
    reward, time, version = head.light("reward"), head.light("time"), head.light("policy_version")
    numbers = (float(reward.sum(dtype=np.float64)), float(reward.min()), float(reward.max()))
    times = float(time.min()), float(time.max())
    if not all(map(math.isfinite, (*numbers, *times, head.wall_time, head.clock_offset))):
        raise BadChunk(f"{where}: reward, time, wall time or clock offset is not finite")
    success, helped, terminated, truncated = (
        int(np.count_nonzero(head.light(name))) for name in ("success", "is_intervention", "terminated", "truncated")
    )
    versions = int(version.min()), int(version.max())
    return (int(success > 0), *numbers, *versions, *times, helped, int(terminated > 0), int(truncated > 0), head.wall_time)


def _where(head: Head) -> str:
    return f"chunk {head.sequence} of episode {head.episode} from {head.source!r}"
