"""Translation of addresses, as a site's router does it: many machines inside, one address outside, and nobody comes in unasked.

IPv4 with TCP, UDP and ICMP echo, without fragments. Ports are mapped without regard to the destination (RFC 4787, 4.1); the
filter is as wide.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_HEADER = 20  # bytes of an IPv4 header without options, the least
_ICMP, _TCP, _UDP = 1, 6, 17
_CHECKSUM: Mapping[int, int] = {_ICMP: 2, _TCP: 16, _UDP: 6}  # protocol -> offset in its header
_ECHO, _ECHO_REPLY = 8, 0
_FIRST_PORT, _LAST_PORT = 20_000, 60_000

_Inside = tuple[int, bytes, bytes]  # protocol, address, port or number of an echo


class Nat:
    """Of one site.

    Args:
        public: address outside, IPv4, 4 bytes.
    """

    def __init__(self, public: bytes) -> None:
        self._public = public
        self._ports: dict[_Inside, bytes] = {}
        self._inside: dict[tuple[int, bytes], _Inside] = {}
        self._next = _FIRST_PORT

    def outward(self, packet: bytes) -> bytes | None:
        """The packet as the world sees it; None: what cannot be translated."""
        found = _place(packet, outward=True)
        if found is None:
            return None
        protocol, begin, at = found
        inside = protocol, packet[12:16], packet[at : at + 2]
        port = self._ports.get(inside)
        if port is None:
            port = self._ports[inside] = self._free(protocol)
            self._inside[protocol, port] = inside
        return _rewritten(packet, protocol, begin, 12, self._public, at, port)

    def inward(self, packet: bytes) -> bytes | None:
        """The packet as the site sees it; None: nobody inside has asked for it."""
        found = _place(packet, outward=False)
        if found is None or packet[16:20] != self._public:
            return None
        protocol, begin, at = found
        inside = self._inside.get((protocol, packet[at : at + 2]))
        if inside is None:
            return None
        return _rewritten(packet, protocol, begin, 16, inside[1], at, inside[2])

    def forget(self) -> None:
        """As a router that was restarted: connections of before are unknown."""
        self._ports.clear()
        self._inside.clear()

    def _free(self, protocol: int) -> bytes:
        while True:  # ports are never given back, and a test does not need 40,000 connections
            port = struct.pack(">H", self._next)
            self._next = _FIRST_PORT if self._next == _LAST_PORT else self._next + 1
            if (protocol, port) not in self._inside:
                return port


def _place(packet: bytes, *, outward: bool) -> tuple[int, int, int] | None:
    """Protocol, where its header begins, and where the port is that a translation changes."""
    if len(packet) < _HEADER or packet[0] >> 4 != 4:
        return None
    protocol, begin = packet[9], 4 * (packet[0] & 15)
    if protocol not in _CHECKSUM or struct.unpack_from(">H", packet, 6)[0] & 0x3FFF or len(packet) < begin + 8:
        return None
    if protocol == _ICMP:
        return (protocol, begin, begin + 4) if packet[begin] in (_ECHO, _ECHO_REPLY) else None
    return protocol, begin, begin + (0 if outward else 2)


def _rewritten(packet: bytes, protocol: int, begin: int, address_at: int, address: bytes, port_at: int, port: bytes) -> bytes:
    made = bytearray(packet)
    before = packet[address_at : address_at + 4]
    made[address_at : address_at + 4] = address
    made[port_at : port_at + 2] = port
    _adjust(made, 10, before, address)
    at = begin + _CHECKSUM[protocol]
    if protocol == _UDP and made[at : at + 2] == b"\0\0":
        return bytes(made)  # sent without one
    _adjust(made, at, packet[port_at : port_at + 2], port)
    if protocol != _ICMP:  # the addresses count in the others' checksums
        _adjust(made, at, before, address)
    return bytes(made)


def _adjust(packet: bytearray, at: int, before: bytes, after: bytes) -> None:
    """A checksum after these bytes were changed (RFC 1624)."""
    words = len(before) // 2
    total = ~struct.unpack_from(">H", packet, at)[0] & 0xFFFF
    total += sum(~word & 0xFFFF for word in struct.unpack(f">{words}H", before)) + sum(struct.unpack(f">{words}H", after))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", packet, at, ~total & 0xFFFF)
