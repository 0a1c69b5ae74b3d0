"""One name per physical device, however its address is written. It opens no device."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping

from user_gym.core import Device

BUSES: Mapping[str, str] = {  # kinds of CAN bus, and how the address of a robot on one is written
    "socketcan": "socketcan:INTERFACE",
    "seqpacket": "seqpacket:PATH",
    "socketcand": "socketcand:HOST:PORT",
    "virtual": "virtual:NAME",
}


def physical(device: Device, resolve: bool = True) -> str:
    """The normal form of a device's address: equal for two entries that mean the same hardware.

    Args:
        device: only its kind, model and address count.
        resolve: ask the system for the address of a host name; False: take names as they are.
    """
    address = device.address
    if device.kind == "robot":
        return _robot(address, resolve)
    if device.kind == "camera" and device.model == "opencv":
        place = f"/dev/video{int(address)}" if address.isdecimal() else address
        return f"camera {os.path.realpath(place) if place.startswith('/') else place}"
    if device.kind == "teleop":
        return f"teleop {os.path.realpath(address) if address.startswith('/') else address or device.model}"
    return f"{device.kind} {device.model} {address}" if device.kind == "camera" else f"{device.kind} {address}"


def _robot(address: str, resolve: bool) -> str:
    interface, _, rest = address.partition(":")
    match interface:
        case "virtual":  # a bus inside one process: another process's bus of this name is another bus
            return f"can virtual:{rest} of process {os.getpid()}"
        case "seqpacket":
            return f"can seqpacket:{os.path.realpath(rest)}"
        case "socketcan":
            return f"can {rest}"
        case "socketcand":
            host, _, port = rest.rpartition(":")
            return f"can {_host(host, resolve)}:{port}"
    if address.startswith("/"):
        return f"robot {os.path.realpath(address)}"
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        return f"robot {_host(host, resolve)}:{port}"
    return f"robot {_host(address, resolve)}"


def _host(name: str, resolve: bool) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass  # a host name
    name = name.lower().rstrip(".")
    if resolve:
        try:
            return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        except (OSError, UnicodeError):
            pass  # unknown here: the driver will say so; the name itself tells devices apart
    return name
