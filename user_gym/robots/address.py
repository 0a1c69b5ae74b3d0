"""One name per physical device, however its address is written. It opens no device."""

from __future__ import annotations

import ipaddress
import os
import socket

from user_gym.core import Device
from user_gym.errors import BadOption
from user_gym.robots.wire import buses


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
    if address.partition(":")[0] in buses.KINDS:
        try:
            bus = buses.parse(address)
        except BadOption:  # a broken entry of an inventory has a name too: it must not stop the others
            return f"robot {address}"
        match bus.kind:
            case "virtual":  # inside one process: another process's bus of this name is another bus
                return f"can virtual:{bus.place} of process {os.getpid()}"
            case "seqpacket":
                return f"can seqpacket:{os.path.realpath(bus.place)}"
            case "socketcand":
                return f"can {bus._replace(place=_host(bus.place, resolve))}"
            case _:
                return f"can {bus}"
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
