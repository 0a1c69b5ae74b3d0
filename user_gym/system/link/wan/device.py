"""TUN devices of Linux: what is sent into one comes out of a descriptor as IP packets, and the other way round.

Everything acts on the namespace of the calling thread. IPv4, by ioctl, so that no program such as `ip` is needed.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

MTU = 1500  # bytes
_CLONE = "/dev/net/tun"
# linux/if_tun.h, linux/sockios.h, linux/if.h
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SET_FLAGS, _SET_ADDRESS, _SET_MASK, _SET_MTU, _SET_QUEUE = 0x8914, 0x8916, 0x891C, 0x8922, 0x8943
_UP, _RUNNING = 0x1, 0x40
_QUEUE = 2000  # packets between the kernel and the descriptor; the default of 500 is less than 10 ms at 1 Gbit/s


def open_tun(name: str, address: str, mask: str) -> int:
    """A device that is up and has an address; and `lo`.

    Args:
        name: of the device, 15 characters at most.
        address: IPv4.
        mask: whatever it says is reached through this device.

    Returns:
        A descriptor, not blocking: a read takes one packet, a write gives one. The device ends with it.
    """
    fd = os.open(_CLONE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, _request(name, struct.pack("<H", _IFF_TUN | _IFF_NO_PI)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SET_ADDRESS, _request(name, _inet(address)))
            fcntl.ioctl(control, _SET_MASK, _request(name, _inet(mask)))
            fcntl.ioctl(control, _SET_MTU, _request(name, struct.pack("<i", MTU)))
            fcntl.ioctl(control, _SET_QUEUE, _request(name, struct.pack("<i", _QUEUE)))
            for device in (name, "lo"):
                fcntl.ioctl(control, _SET_FLAGS, _request(device, struct.pack("<H", _UP | _RUNNING)))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _request(name: str, value: bytes) -> bytes:
    """A struct ifreq: 16 bytes of name, then what is said of it."""
    return struct.pack("16s24s", name.encode(), value)


def _inet(address: str) -> bytes:
    """A struct sockaddr_in without a port."""
    return struct.pack("<H2x4s8x", socket.AF_INET, socket.inet_aton(address))
