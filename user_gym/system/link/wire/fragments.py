"""Pieces of messages on one stream, with the lane that each belongs to; and the few things that the two ends say between them.

A message of the stream below holds some notes, then a fragment or none, whose end is the message's:

    255, u8  | sort, u8   | 0, u16 | number, u64: bytes of bulk seen, or a stamp
    lane, u8 | flags, u8 | 0, u16 | [FIRST: bytes of the whole message, u64 | offset, u64 | transfer, 16 bytes] | data

The fragments of one message come in order and after each other within their lane, and those of other lanes between them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from user_gym.errors import BadBlock
from user_gym.system.link.wire.lanes import FRAGMENT, Lane
from user_gym.system.link.wire.message import Bytes

NO_TRANSFER = bytes(16)  # a message that is not resumed
_FIRST, _LAST = 1, 2
_PLAIN, _OPENING, _NOTE = struct.Struct("<BBH"), struct.Struct("<BBHQQ16s"), struct.Struct("<BBHQ")
_NOTES = 255
_MOST = FRAGMENT + _OPENING.size  # bytes of a fragment


class Opening(NamedTuple):
    """What the first fragment on a connection says of its message."""

    total: int  # bytes of the whole message
    offset: int  # of these data in it: above 0 where a transfer goes on that another connection began
    transfer: bytes  # 16 bytes that name the message across connections


class Fragment(NamedTuple):
    """A piece of a message."""

    lane: Lane
    opening: Opening | None  # None: it goes on
    last: bool
    data: Bytes

    def pack(self) -> bytes:
        """Its bytes."""
        return Cut(self.lane, self.opening, self.last, (self.data,), len(self.data)).pack()


class Cut(NamedTuple):
    """A fragment on its way out, whose bytes are still where they came from."""

    lane: Lane
    opening: Opening | None
    last: bool
    pieces: Sequence[Bytes]
    nbytes: int  # of all pieces

    def pack(self, notes: bytes = b"") -> bytes:
        """Its bytes, behind those of notes; each byte is copied once."""
        lane, opening, last, pieces, _ = self
        flags = _LAST * last
        head = _PLAIN.pack(lane, flags, 0) if opening is None else _OPENING.pack(lane, flags | _FIRST, 0, *opening)
        return b"".join((notes, head, *pieces))


class Sort(IntEnum):
    """Of a note."""

    SEEN = 0
    PING = 1
    PONG = 2


class Note(NamedTuple):
    """What the ends of a connection say to each other."""

    sort: Sort
    number: int  # SEEN: bytes of bulk lanes received so far on this connection; PING and its PONG: a stamp of who asks

    def pack(self) -> bytes:
        """Its bytes."""
        return _NOTE.pack(_NOTES, self.sort, 0, self.number)


_LANES, _SORTS = {int(lane): lane for lane in Lane}, frozenset(Sort)
_MOST_NOTES = len(Sort)  # in one message: a newer one says all that an older one of its sort said
MOST = _MOST_NOTES * _NOTE.size + _MOST  # bytes of a message of the stream below


class Parcel(NamedTuple):
    """What one message of the stream below holds."""

    notes: Sequence[Note]
    fragment: Fragment | None

    @classmethod
    def parse(cls, data: Bytes) -> Parcel:
        """Raises BadBlock."""
        view, notes = memoryview(data), list[Note]()
        while len(view) and view[0] == _NOTES:
            if len(notes) == _MOST_NOTES:
                raise BadBlock("number of notes", len(notes) + 1, f"{_MOST_NOTES} at most")
            notes.append(_note(view[: _NOTE.size]))
            view = view[_NOTE.size :]
        return cls(notes, None if notes and not len(view) else _fragment(view))


def _note(view: memoryview) -> Note:
    sort, zero = (view[1], view[2] | view[3]) if len(view) == _NOTE.size else (-1, 0)
    if sort not in _SORTS or zero:
        raise BadBlock("note of a connection", bytes(view), f"{_NOTE.size} bytes of sort 0..{max(Sort)}")
    return Note(Sort(sort), _NOTE.unpack(view)[3])


def _fragment(view: memoryview) -> Fragment:
    if not _PLAIN.size <= len(view) <= _MOST:
        raise BadBlock("number of bytes of a fragment", len(view), f"{_PLAIN.size}..{_MOST}")
    lane, flags, zero = _PLAIN.unpack_from(view)
    if lane not in _LANES or flags & ~(_FIRST | _LAST) or zero:
        raise BadBlock("head of a fragment", (lane, flags, zero), f"lane 0..{max(Lane)}, flags 0..3, 0")
    last = bool(flags & _LAST)
    if not flags & _FIRST:
        return Fragment(_LANES[lane], None, last, view[_PLAIN.size :])
    if len(view) < _OPENING.size:
        raise BadBlock("number of bytes of a first fragment", len(view), f"{_OPENING.size} or more")
    _, _, _, total, offset, transfer = _OPENING.unpack_from(view)
    return Fragment(_LANES[lane], Opening(total, offset, transfer), last, view[_OPENING.size :])
