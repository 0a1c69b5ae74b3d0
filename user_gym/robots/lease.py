"""One client per device, on one machine. It knows no robot, and reaches for no device.

A lease is a lock on a file that is named after the physical device (`locks`). The file's text says whose it is; nothing is
decided by the text.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from multiprocessing import reduction
from pathlib import Path
from types import TracebackType
from typing import Any

from user_gym.core import Device, Lease
from user_gym.errors import Busy, Closed
from user_gym.robots import locks
from user_gym.robots.address import physical

_MOMENT = 0.5  # s: a probe holds a device while it asks, mostly for milliseconds; nobody is refused because of that
_LONGEST = 200  # characters of a command line that a message quotes
_lent: dict[str, Hold] = {}  # physical address -> what this process may use of its own
_table = threading.Lock()
_holds: weakref.WeakSet[Hold] = weakref.WeakSet()


class Hold:
    """A lease that this process holds, alone or with processes it was handed to. Made by `take`.

    As an argument of a spawned `multiprocessing.Process` it is shared with that process: the device stays leased until both
    have let go. `release` may be called twice; `with` releases at the end.
    """

    def __init__(self, lease: Lease, descriptor: int, lender: Hold | None = None) -> None:
        self.lease = lease
        self._descriptor: int | None = descriptor
        self._lender = lender
        _holds.add(self)

    @property
    def held(self) -> bool:
        """Whether it was not released yet."""
        return self._descriptor is not None

    def release(self) -> None:
        """Let go. The device is free once every process that shares the lease did so."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with _table:
            if _lent.get(self.lease.address) is self:
                del _lent[self.lease.address]
            if self._lender is not None and self._lender.held:
                _lent[self.lease.address] = self._lender
        os.close(descriptor)  # no LOCK_UN: that would end it for those that share it, too

    def lend(self) -> None:
        """Let the next `take` of this process have the device, instead of being refused by its own lease; one at a time.

        Raises Closed after `release`.
        """
        self._open()
        with _table:
            _lent[self.lease.address] = self

    def duplicate(self) -> int:
        """Another descriptor of the same lock: whoever has it open holds the lease, too. Raises Closed after `release`."""
        return os.dup(self._open())

    def _open(self) -> int:
        if self._descriptor is None:
            raise Closed(f"the lease of {self.lease.device!r} was released; take it again")
        return self._descriptor

    def abandon(self) -> None:
        """In a forked child: close the copy, so that a data loader's process does not keep the leases of a dead parent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __reduce__(self) -> tuple[Callable[..., Hold], tuple[Lease, Any]]:
        return _adopt, (self.lease, reduction.DupFd(self._open()))

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _adopt(lease: Lease, descriptor: Any) -> Hold:
    return Hold(lease, descriptor.detach())


def take(device: Device, timeout: float = 0.0) -> Hold:
    """Lease a device for this process.

    Args:
        device: what to lease; two devices with the same physical address are the same.
        timeout: s to wait for a device that another owner has.

    Raises:
        Busy: another owner has it, and still had it after `timeout`; the message names the owner.
        BadOption: no folder for leases can be made.
    """
    address, deadline = physical(device), time.monotonic() + timeout
    while (hold := attempt(device, address)) is None:
        if time.monotonic() >= deadline:
            raise Busy(f"{device.kind} {device.id!r} at {device.address!r} is leased: {describe(holder(device, address))}")
        time.sleep(locks.POLL)
    return hold


def attempt(device: Device, address: str | None = None, own: bool = True, passing: bool = False) -> Hold | None:
    """As `take`, but None where another owner has it; waits for nobody but a probe that asks it this moment. Raises BadOption.

    Args:
        device: what to lease.
        address: its physical address, where that is known already.
        own: also take what this process holds already and has lent.
        passing: for a probe.
    """
    address, deadline = physical(device) if address is None else address, time.monotonic() + _MOMENT
    with _table:
        lender = _lent.pop(address, None) if own else None
    if lender is not None:
        return Hold(lender.lease, lender.duplicate(), lender)
    while (hold := _lock(device, address, passing)) is None:
        owner = holder(device, address)
        if (owner is not None and owner.pid and not owner.passing) or time.monotonic() >= deadline:
            return None
        time.sleep(locks.POLL / 4)
    return hold


def _lock(device: Device, address: str, passing: bool) -> Hold | None:
    path = _path(address)
    descriptor = locks.open_file(path)
    try:
        if locks.lock(descriptor) and os.path.samestat(os.fstat(descriptor), path.stat()):
            lease = _sign(device, address, passing)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(lease)).encode(), 0)
            return Hold(lease, descriptor)
    except FileNotFoundError:  # somebody removed the file between open and lock
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def command() -> str:
    """What this process was started with, on one line, for people who wait for it."""
    return " ".join(shlex.join(sys.orig_argv).split())[:_LONGEST]


def own(device: Device) -> bool:
    """Whether this process holds the device and has lent it: `take` will get it at once."""
    with _table:
        return physical(device) in _lent


def holder(device: Device, address: str | None = None) -> Lease | None:
    """Who has the device now; None: nobody. Takes nothing. `address`: the physical one, where that is known already."""
    address = physical(device) if address is None else address
    note = locks.read_locked(_path(address))
    if note is None:
        return None
    try:
        return Lease(**json.loads(note))
    except (ValueError, TypeError):  # taken this moment, and the note not written yet
        return Lease(device.id, address, 0, "", "", "", 0.0)


def describe(lease: Lease | None) -> str:
    """Owner of a lease in words, and how to get the device."""
    if lease is None:
        return "its owner let go this moment; try again"
    if lease.pid == 0:
        return "by a process that has not said its name yet; try again"
    if lease.passing:
        return f"by a probe of pid {lease.pid}: {lease.command}; try again"
    if lease.pid == os.getpid():
        return f"by this process (pid {lease.pid}) itself; close() what has it here, or use that"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(lease.since))
    ended = "" if Path(f"/proc/{lease.pid}").exists() else " (ended; a process that it started still holds the device)"
    return f"by pid {lease.pid}{ended} of {lease.user!r} since {since}: {lease.command}; wait for it, or end it"


def _path(address: str) -> Path:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", address)[:60]
    return locks.folder() / f"{words}-{sha256(address.encode()).hexdigest()[:12]}.lease"


def _sign(device: Device, address: str, passing: bool) -> Lease:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        user = str(os.getuid())
    return Lease(device.id, address, os.getpid(), user, socket.gethostname(), command(), time.time(), passing)


def _abandon() -> None:
    _lent.clear()
    for hold in list(_holds):
        hold.abandon()


os.register_at_fork(after_in_child=_abandon)
