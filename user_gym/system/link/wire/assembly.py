"""Fragments become messages again. What a torn connection left is kept, so that the next one goes on where it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from user_gym.errors import BadBlock
from user_gym.system.link.wire.fragments import NO_TRANSFER, Fragment, Opening
from user_gym.system.link.wire.lanes import Lane, Limits
from user_gym.system.link.wire.message import Bytes


class _Partial(NamedTuple):
    """A message of which more is to come."""

    total: int
    transfer: bytes
    data: bytearray


class Assembly:
    """Of one sender. Memory grows with what came, never with what was announced.

    Args:
        limits: what the sender may send.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[Lane, _Partial] = {}
        self._torn: dict[Lane, _Partial] = {}

    def add(self, fragment: Fragment) -> Bytes | None:
        """Take a fragment; returns the bytes of a message that it completes. Raises BadBlock: the sender breaks the rules.

        Where one fragment is all of a message, its bytes are not copied.
        """
        lane = fragment.lane
        if fragment.opening is not None:
            self._begin(lane, fragment.opening)
        partial = self._open.get(lane)
        if partial is None:
            raise BadBlock(f"fragment in lane {lane.name}", "one that goes on", "a first one: no message is open there")
        room = partial.total - len(partial.data)
        if len(fragment.data) > room or fragment.last != (len(fragment.data) == room) or not (fragment.data or fragment.last):
            found = f"{len(fragment.data)} bytes, {'the last' if fragment.last else 'not the last'}"
            raise BadBlock(f"fragment in lane {lane.name}", found, f"1..{room} bytes, and the last where none are left")
        if fragment.last and not partial.data:
            del self._open[lane]
            return fragment.data
        partial.data.extend(fragment.data)
        if not fragment.last:
            return None
        del self._open[lane]
        return partial.data

    def tear(self) -> None:
        """The connection is over: of each lane what can be resumed stays."""
        self._torn |= {lane: p for lane, p in self._open.items() if p.transfer != NO_TRANSFER and p.data}
        self._open.clear()

    def forget(self) -> None:
        """Give up what was kept, and its memory."""
        self._torn.clear()

    @property
    def torn(self) -> Mapping[bytes, int]:
        """Transfer -> bytes of it that are here, for the sender to go on from."""
        return {partial.transfer: len(partial.data) for partial in self._torn.values()}

    def _begin(self, lane: Lane, opening: Opening) -> None:
        limit = self.limits[lane]
        if lane in self._open:
            raise BadBlock(f"fragment in lane {lane.name}", "a first one", "one that goes on: a message is open there")
        if not 0 < opening.total <= limit:
            raise BadBlock(f"bytes of a message in lane {lane.name}", opening.total, f"1..{limit} from this side")
        partial = _Partial(opening.total, opening.transfer, bytearray())
        kept = self._torn.pop(lane, None)  # what the sender does not go on with is given up
        if opening.offset:
            if kept is None or kept[:2] != partial[:2] or len(kept.data) != opening.offset:
                raise BadBlock(f"offset of a message in lane {lane.name}", opening.offset, "0, or what was said to be here")
            partial = kept
        self._open[lane] = partial
