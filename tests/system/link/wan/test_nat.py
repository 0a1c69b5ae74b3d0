"""Translation of packets that are built by hand, their checksums computed anew by the definition."""

from __future__ import annotations

import socket
import struct

import pytest

from user_gym.system.link.wan.nat import Nat

SITE, OTHER, ROUTER, CLOUD = (socket.inet_aton(a) for a in ("192.168.77.2", "192.168.77.3", "203.0.113.1", "198.51.100.1"))
ICMP, TCP, UDP = 1, 6, 17
CHECKSUM = {ICMP: 2, TCP: 16, UDP: 6}


def checksum(data):
    data = bytes(data) + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def upper_checksum(packet):
    """Of the whole packet's payload; 0 where it is right."""
    begin, protocol = 4 * (packet[0] & 15), packet[9]
    data = packet[begin:]
    pseudo = b"" if protocol == ICMP else packet[12:20] + struct.pack(">BBH", 0, protocol, len(data))
    return checksum(pseudo + data)


def packet(protocol, source, destination, ports, payload=b"hello", options=b""):
    if protocol == TCP:
        upper = struct.pack(">HHIIBBHHH", *ports, 1, 2, 5 << 4, 0x18, 1000, 0, 0)
    elif protocol == UDP:
        upper = struct.pack(">HHHH", *ports, 8 + len(payload), 0)
    else:
        upper = struct.pack(">BBHHH", *ports, 0, 77, 1)
    upper = bytearray(upper + payload)
    length = 20 + len(options) + len(upper)
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x40 | (5 + len(options) // 4), 0, length, 7, 0x4000, 64, protocol, 0, source, destination
    )
    head = bytearray(head + options)
    struct.pack_into(">H", head, 10, checksum(head))
    made = head + upper
    struct.pack_into(">H", made, len(head) + CHECKSUM[protocol], upper_checksum(bytes(made)))
    return bytes(made)


def sound(made):
    begin = 4 * (made[0] & 15)
    return checksum(made[:begin]) == 0 and upper_checksum(made) == 0


@pytest.mark.parametrize(("protocol", "asked"), [(TCP, (5000, 443)), (UDP, (5000, 53)), (ICMP, (8, 0))])
@pytest.mark.parametrize("options", [b"", b"\1" * 8])
@pytest.mark.parametrize("payload", [b"", b"odd", bytes(1000)])
def test_a_question_goes_out_under_the_routers_address_and_its_answer_finds_back(protocol, asked, options, payload):
    nat = Nat(ROUTER)
    sent = packet(protocol, SITE, CLOUD, asked, payload, options)
    outside = nat.outward(sent)
    assert sound(sent)
    assert sound(outside)
    assert (outside[12:16], outside[16:20]) == (ROUTER, CLOUD)
    begin = 20 + len(options)
    if protocol == ICMP:
        number = outside[begin + 4 : begin + 6]
        answer = bytearray(packet(ICMP, CLOUD, ROUTER, (0, 0), payload))
        answer[24:26] = number
        answer[22:24] = b"\0\0"
        struct.pack_into(">H", answer, 22, checksum(answer[20:]))
    else:
        port = struct.unpack_from(">H", outside, begin)[0]
        answer = packet(protocol, CLOUD, ROUTER, (asked[1], port), payload)
    inside = nat.inward(bytes(answer))
    assert sound(inside)
    assert (inside[12:16], inside[16:20]) == (CLOUD, SITE)
    at = begin + 4 if protocol == ICMP else begin
    assert inside[24:26] == sent[at : at + 2] if protocol == ICMP else inside[22:24] == sent[at : at + 2]


def test_who_was_not_asked_does_not_come_in():
    nat = Nat(ROUTER)
    assert nat.inward(packet(TCP, CLOUD, ROUTER, (443, 20_000))) is None
    nat.outward(packet(TCP, SITE, CLOUD, (5000, 443)))
    assert nat.inward(packet(TCP, CLOUD, ROUTER, (443, 20_000))) is not None
    assert nat.inward(packet(TCP, CLOUD, ROUTER, (443, 20_001))) is None
    assert nat.inward(packet(UDP, CLOUD, ROUTER, (443, 20_000))) is None
    assert nat.inward(packet(TCP, CLOUD, SITE, (443, 20_000))) is None


def test_two_machines_with_one_port_are_told_apart_and_a_connection_keeps_its_own():
    nat = Nat(ROUTER)
    one, two, again = (nat.outward(packet(TCP, who, CLOUD, (5000, 443))) for who in (SITE, OTHER, SITE))
    assert one[20:22] == again[20:22] != two[20:22]


def test_after_a_restart_of_the_router_old_connections_are_unknown():
    nat = Nat(ROUTER)
    before = nat.outward(packet(TCP, SITE, CLOUD, (5000, 443)))
    nat.forget()
    assert nat.inward(packet(TCP, CLOUD, ROUTER, (443, struct.unpack_from(">H", before, 20)[0]))) is None
    assert nat.outward(packet(TCP, SITE, CLOUD, (5000, 443)))[20:22] != before[20:22]


def test_udp_without_a_checksum_stays_without():
    sent = bytearray(packet(UDP, SITE, CLOUD, (5000, 53)))
    sent[26:28] = b"\0\0"
    assert Nat(ROUTER).outward(bytes(sent))[26:28] == b"\0\0"


@pytest.mark.parametrize("cut", range(0, 28, 3))
def test_torn_packets_and_other_protocols_go_nowhere(cut):
    sent = packet(UDP, SITE, CLOUD, (5000, 53))
    nat = Nat(ROUTER)
    assert nat.outward(sent[:cut]) is None
    assert nat.outward(b"\x60" + sent[1:]) is None  # IPv6
    assert nat.outward(sent[:9] + b"\x32" + sent[10:]) is None  # ESP
    assert nat.outward(sent[:6] + b"\x20\x00" + sent[8:]) is None  # the first of several fragments
