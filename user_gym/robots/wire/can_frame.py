"""One classical CAN frame, and its 16 bytes as Linux' SocketCAN writes them. It knows no bus and no motor.

The bytes are `struct can_frame`: u32 identifier with three flag bits in the machine's byte order, u8 length, 3 bytes of
padding, 8 bytes of data. A program that can read a SocketCAN socket can read these, one frame per packet.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from user_gym.errors import BadOption

SIZE = 16  # bytes of a packet
MAX_DATA = 8  # bytes
# The flags that SocketCAN keeps above the identifier.
EXTENDED, REMOTE, ERROR = 0x8000_0000, 0x4000_0000, 0x2000_0000
STANDARD_MASK, EXTENDED_MASK = 0x7FF, 0x1FFF_FFFF
BUS_OFF = 0x40  # class of an error frame: the controller has left the bus
_LAYOUT = struct.Struct("=IB3x8s")


class Frame(NamedTuple):
    """A frame of classical CAN."""

    id: int  # 11 bits, or 29 with EXTENDED; the class of the error with ERROR
    data: bytes  # at most 8
    flags: int = 0  # EXTENDED | REMOTE | ERROR


def pack(frame: Frame) -> bytes:
    """The 16 bytes of a frame."""
    return _LAYOUT.pack(frame.id | frame.flags, len(frame.data), frame.data)


def unpack(packet: bytes) -> Frame:
    """The frame in a packet. Raises BadOption where it is none."""
    if len(packet) != SIZE:
        raise BadOption("CAN packet", packet[:32], f"{SIZE} bytes, a SocketCAN can_frame", f"this one has {len(packet)}")
    word, size, data = _LAYOUT.unpack(packet)
    if size > MAX_DATA:
        raise BadOption("CAN packet", packet, f"a length of 0 .. {MAX_DATA}", f"this one says {size}")
    mask = STANDARD_MASK if word < ERROR else EXTENDED_MASK  # no flag: an identifier of 11 bits
    return Frame(word & mask, data[:size], word & ~EXTENDED_MASK)
