"""How a driver process whose program has died finds its next owner: what passes between them, and the owner's side of it.

An arm without brakes is held by its driver process after the death of its program. That process then opens a door
(`real.door`): a Unix socket in a folder that only its user may enter. The kernel says who is at either end. What passes here is
short JSON and descriptors, never a pickle; orders travel in a pipe that the driver process makes for the one that it let in.

    next owner                               driver process
    {"version": ...}            ->
                                <-           {}, and the lease's descriptor      | {"refused": why}
    {"drive": true}             ->
                                <-           {}, and the end of a pipe: a Job and orders follow there, see real.job
    the end of the connection   ->           the lease was let go: whoever knocks next is let in
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import select
import socket
import struct
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from user_gym.errors import Busy, LinkLost
from user_gym.robots import sockets

_SUFFIX = ".adopt"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_PATIENCE = 1.0  # s for a driver process that hung up to be dead
_WAIT = 5.0  # s that who knocks waits: a driver process looks 50 times a second
_MOST = 4096  # bytes of a message
_log = logging.getLogger(__name__)


class Peer(NamedTuple):
    """The process at the other end of a connection, as the kernel says."""

    pid: int  # 0: in a container of its own
    uid: int


class Bond:
    """A driver process that holds the arm already, as its new owner sees it: it comes with the lease, and ends with it.

    Args:
        connection: to it.
        pid: its process id.
        death: descriptor that is readable when it has died.
    """

    def __init__(self, connection: socket.socket, pid: int, death: int) -> None:
        self._connection, self.pid, self._death = connection, pid, death

    def drive(self) -> socket.socket | None:
        """The end of a pipe to it; None: it has ended. Raises LinkLost where it lives and does not answer."""
        found: int | None = None
        with contextlib.suppress(OSError, ValueError):
            self._connection.send(json.dumps({"drive": True}).encode())
            _, found = _receive(self._connection)
        if found is not None:
            return socket.socket(fileno=found)
        if not select.select([self._death], [], [], _PATIENCE)[0]:
            raise LinkLost(
                f"the driver process (pid {self.pid}) that holds the arm does not answer; see user-gym stop --release"
            )
        return None

    def death(self) -> int:
        """A descriptor of the caller's, readable when the driver process has died."""
        return os.dup(self._death)

    def duplicate(self) -> Bond:
        """Another end of the same: the driver process is let go when the last one is closed."""
        return Bond(self._connection.dup(), self.pid, self.death())

    def close(self) -> None:
        """Let go. May be called twice."""
        self._connection.close()
        death, self._death = self._death, -1
        if death >= 0:
            os.close(death)


class Found(NamedTuple):
    """What an orphaned driver process gives its next owner."""

    bond: Bond
    lease: int  # descriptor of the lease's lock


def knock(address: str) -> Found | None:
    """Ask the driver process that holds the device for it; None: none is there, or it belongs to another user or a new owner.

    Args:
        address: of the physical device.

    Raises:
        Busy: it refused, and why.
        MissingSystem: the folder of sockets is not this user's.
    """
    place, death = path(address), -1
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.ExitStack() as otherwise:
        otherwise.callback(connection.close)
        try:
            connection.settimeout(_WAIT)
            with sockets.short(place.parent) as folder:
                connection.connect(f"{folder}/{place.name}")
            peer = credentials(connection)
            if peer.uid != os.getuid() or not peer.pid:
                raise PermissionError(f"{place} is served by uid {peer.uid}, pid {peer.pid}")
            death = os.pidfd_open(peer.pid)
            otherwise.callback(os.close, death)
            connection.send(json.dumps({"version": version()}).encode())
            answer, lease = _receive(connection)
        except (OSError, ValueError) as error:
            _log.debug("nobody hands %s over: %s", address, error)
            return None
        if lease is None:
            why = answer.get("refused", "without a reason")
            raise Busy(f"the driver process (pid {peer.pid}) that holds {address} refuses: {why}")
        otherwise.pop_all()
    return Found(Bond(connection, peer.pid, death), lease)


def credentials(connection: socket.socket) -> Peer:
    """Who is at the other end of a Unix socket."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(found)[:2])


def version() -> str:
    """Of this package: the pipe carries records as this version has them."""
    try:
        return metadata.version("user-gym")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


def read(connection: socket.socket) -> dict[str, Any]:
    """One message. Raises ConnectionError at the end of the connection, ValueError for what is no JSON object."""
    text = connection.recv(_MOST)
    if not text:
        raise ConnectionError("the other end closed the connection")
    return _parse(text)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], int | None]:
    """One message, and the descriptor that came with it. Raises as `read`."""
    text, found, _, _ = socket.recv_fds(connection, _MOST, 1, socket.MSG_CMSG_CLOEXEC)
    descriptor = found[0] if found else None
    try:
        if not text:
            raise ConnectionError("the other end closed the connection")
        return _parse(text), descriptor
    except BaseException:
        if descriptor is not None:
            os.close(descriptor)
        raise


def _parse(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("message that is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"message {found!r}; allowed: an object")
    return found


def path(address: str) -> Path:
    """Of the door to the driver process that holds the device at this physical address. Raises MissingSystem."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", address)[:30]
    return sockets.folder() / f"{words}-{sha256(address.encode()).hexdigest()[:12]}{_SUFFIX}"
