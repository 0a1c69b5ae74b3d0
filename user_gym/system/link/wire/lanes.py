"""Which messages go first. A lane is a queue of its own on each side; the fragments of all of them share one stream."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

FRAGMENT = 1 << 22  # bytes of a message that one fragment carries at most


class Lane(IntEnum):
    """In the order of their rights: as long as a lane has something to send, those below it wait."""

    STOP = 0  # a person stops a robot
    BEAT = 1  # how the other side is
    CALL = 2  # questions, answers, acknowledgements: small, and somebody waits
    WEIGHTS = 3
    EXPERIENCE = 4  # what is sampled
    RAW = 5  # what somebody asked for of the edge's own streams: it never delays anything else

    __hash__ = int.__hash__  # Enum's own is a function of Python, called with every fragment

    @property
    def is_bulk(self) -> bool:
        """Whether its bytes are many, so that they wait for the window and count for the rate."""
        return self in _BULK


_BULK = frozenset({Lane.WEIGHTS, Lane.EXPERIENCE, Lane.RAW})

Limits = Mapping[Lane, int]  # most bytes of one message; 0: the other side may send none

# What an edge may send to a hub, and a hub to an edge: neither more nor other than it has to.
FROM_EDGE: Limits = {
    Lane.STOP: 1 << 12,
    Lane.BEAT: 1 << 16,
    Lane.CALL: 1 << 26,
    Lane.WEIGHTS: 0,
    Lane.EXPERIENCE: 1 << 27,
    Lane.RAW: 1 << 27,
}
FROM_HUB: Limits = {
    Lane.STOP: 1 << 12,
    Lane.BEAT: 1 << 16,
    Lane.CALL: 1 << 26,
    Lane.WEIGHTS: 1 << 32,
    Lane.EXPERIENCE: 0,
    Lane.RAW: 0,
}
FROM_OPERATOR: Limits = {**FROM_EDGE, Lane.WEIGHTS: 0, Lane.EXPERIENCE: 0, Lane.RAW: 0}  # it asks, and orders by hand
FROM_CLIENT: Limits = {**FROM_EDGE, Lane.BEAT: 0, Lane.EXPERIENCE: 0, Lane.RAW: 0}  # it orders, and nothing else
TO_CLIENT: Limits = {**FROM_HUB, Lane.BEAT: 0, Lane.STOP: 0, Lane.WEIGHTS: 0}
TO_OPERATOR: Limits = {**FROM_HUB, Lane.WEIGHTS: 0, Lane.RAW: 1 << 27}
# Before the two know each other.
STRANGER: Limits = {lane: 1 << 20 if lane is Lane.CALL else 0 for lane in Lane}
