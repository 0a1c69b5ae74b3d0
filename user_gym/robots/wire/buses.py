"""Join a CAN bus by its name. Drivers, probes and twins use it; it knows no frame and no motor.

    virtual:NAME                       python-can's own, inside one process
    seqpacket:PATH                     a Unix socket of raw frames, across processes (`seqpacket`)
    socketcand:HOST:PORT[/CHANNEL]     the socketcand protocol over TCP; the channel is "can0" unless said otherwise
    socketcan:INTERFACE                a CAN interface of the Linux kernel

python-can is imported when a bus is opened, not before.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from user_gym.errors import BadOption, LinkLost, MissingExtra, MissingSystem

if TYPE_CHECKING:
    import can

KINDS = ("virtual", "seqpacket", "socketcand", "socketcan")
CHANNEL = "can0"  # of a socketcand server
PATIENCE = 2.0  # s for a TCP server to answer
_ALLOWED = "virtual:NAME | seqpacket:PATH | socketcand:HOST:PORT[/CHANNEL] | socketcan:INTERFACE"
_INTERFACES = Path("/sys/class/net")
_ARPHRD_CAN = "280"
_IFF_UP = 1


class BusName(NamedTuple):
    """A bus, taken apart."""

    kind: str  # one of KINDS
    place: str  # name, path, host or interface
    port: int = 0  # socketcand only
    channel: str = ""  # socketcand only

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}" + (f":{self.port}/{self.channel}" if self.kind == "socketcand" else "")


def parse(address: str) -> BusName:
    """Take a bus string apart. Raises BadOption."""
    kind, _, place = address.partition(":")
    if kind not in KINDS or not place:
        raise BadOption("CAN bus", address, _ALLOWED)
    if kind != "socketcand":
        return BusName(kind, place)
    where, slash, channel = place.partition("/")
    host, _, port = where.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 65536) or (slash and not channel):
        raise BadOption("CAN bus", address, "socketcand:HOST:PORT[/CHANNEL]")
    return BusName(kind, host, int(port), channel or CHANNEL)


def connect(address: str) -> can.BusABC:
    """Join the bus; the caller shuts it down.

    Raises:
        BadOption: the string names no bus.
        LinkLost: nobody serves it, or there is no such interface, or it is down; says what to do.
        MissingSystem: the kernel has no SocketCAN.
        MissingExtra: python-can is not installed.
    """
    name = parse(address)
    try:
        import can
    except ModuleNotFoundError as error:
        raise MissingExtra("can", "arx") from error
    if name.kind == "socketcan":
        check_interface(name.place)
    if name.kind == "socketcand":
        _check_server(name)
    try:
        if name.kind == "seqpacket":
            from user_gym.robots.wire.seqpacket import SeqpacketBus

            return SeqpacketBus(name.place)
        if name.kind == "socketcand":
            return can.Bus(name.channel, name.kind, host=name.place, port=name.port, tcp_tune=True, ignore_config=True)
        return can.Bus(name.place, name.kind, ignore_config=True)
    except (can.CanError, OSError) as error:
        raise LinkLost(f"cannot join CAN bus {address!r}: {error}; {_cure(name)}") from error


def check_interface(interface: str) -> None:
    """Whether the kernel has this CAN interface, and it is up. Raises MissingSystem, LinkLost."""
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError as error:
        raise MissingSystem(
            f"this kernel has no SocketCAN ({error}); load it (modprobe can_raw), or use a seqpacket or socketcand bus"
        ) from error
    folder = _INTERFACES / interface
    if not folder.exists() or (folder / "type").read_text().strip() != _ARPHRD_CAN:
        there = sorted(f.parent.name for f in _INTERFACES.glob("*/type") if f.read_text().strip() == _ARPHRD_CAN)
        raise LinkLost(f"no CAN interface {interface!r}; there are: {', '.join(there) or 'none'}; plug in the adapter")
    if not int((folder / "flags").read_text(), 16) & _IFF_UP:
        raise LinkLost(f"CAN interface {interface!r} is down; {_cure(BusName('socketcan', interface))}")


def _check_server(name: BusName) -> None:
    """python-can retries a refused connection for 10 s at full speed: ask first."""
    try:
        socket.create_connection((name.place, name.port), PATIENCE).close()
    except OSError as error:
        raise LinkLost(f"no socketcand server answers at {name.place}:{name.port}: {error}; {_cure(name)}") from error


def _cure(name: BusName) -> str:
    if name.kind == "socketcan":
        return f"bring it up: ip link set {name.place} up type can bitrate 1000000"
    return f"start what serves it, or a twin: user-gym twin arx-x5 --bus {name}"
