"""One client per device, on one machine. It knows no robot, and reaches for no device.

A lease is a lock that the kernel holds on a file, named after the physical device: it ends when the last process that shares it
ends, however that happens, and there is nothing to clean up. The file's text says whose it is; nothing is decided by the text.
All users of a machine share one folder, because they share its robots. Containers that do not share it do not see each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import re
import shlex
import socket
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing import reduction
from pathlib import Path
from types import TracebackType
from typing import Any

from user_gym.core import Device, Lease
from user_gym.errors import BadOption, Busy, Closed
from user_gym.robots.address import physical

VARIABLE = "USER_GYM_LEASES"
# Not the user's runtime folder: logging out removes that under a running job, and other users would not see the lock.
DEFAULT = Path("/tmp/user_gym-leases")  # systemd-tmpfiles leaves a locked file alone
_GRACE = 0.1  # s: a look by `holder` may cover a free lease for some microseconds
_POLL = 0.02  # s between tries; flock cannot wait with a time-out
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


def folder() -> Path:
    """Where the locks lie: $USER_GYM_LEASES, else one place for the whole machine. Makes it. Raises BadOption."""
    place = Path(os.environ.get(VARIABLE) or DEFAULT)
    try:
        place.mkdir()
        place.chmod(0o1777)  # as /tmp: every user adds files, nobody removes another's
    except FileExistsError:
        pass
    except OSError as error:
        raise BadOption(
            "lease folder", str(place), "a folder in one that exists and can be written", f"set ${VARIABLE}"
        ) from error
    if not (stat.S_ISDIR(place.lstat().st_mode) and os.access(place, os.W_OK | os.X_OK)):
        raise BadOption(
            "lease folder", str(place), "a folder, no link, that all may write to", f"chmod 1777 it, or set ${VARIABLE}"
        )
    return place


def take(device: Device, timeout: float = 0.0) -> Hold:
    """Lease a device for this process.

    Args:
        device: what to lease; two devices with the same physical address are the same.
        timeout: s to wait for a device that another owner has.

    Raises:
        Busy: another owner has it, and still had it after `timeout`; the message names the owner.
        BadOption: no folder for leases can be made.
    """
    address, deadline = physical(device), time.monotonic() + max(timeout, _GRACE)
    while (hold := _attempt(device, address)) is None:
        if time.monotonic() >= deadline:
            raise Busy(f"{device.kind} {device.id!r} at {device.address!r} is leased: {describe(holder(device))}")
        time.sleep(_POLL)
    return hold


def attempt(device: Device) -> Hold | None:
    """As `take`, once and without waiting: None where another owner has it. Raises BadOption."""
    return _attempt(device, physical(device))


def _attempt(device: Device, address: str) -> Hold | None:
    with _table:
        lender = _lent.pop(address, None)
    if lender is not None:
        return Hold(lender.lease, lender.duplicate(), lender)
    path = _path(address)
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):  # nobody removed the file between open and lock
            lease = _sign(device, address)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(lease)).encode(), 0)
            return Hold(lease, descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def holder(device: Device) -> Lease | None:
    """Who has the device now; None: nobody. Takes nothing."""
    path = _path(address := physical(device))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        try:
            return Lease(**json.loads(os.pread(descriptor, 1 << 16, 0)))
        except (ValueError, TypeError):  # taken this moment, and the note not written yet
            return Lease(device.id, address, 0, "", "", "", 0.0)
    finally:
        os.close(descriptor)


def describe(lease: Lease | None) -> str:
    """Owner of a lease in words, and how to get the device."""
    if lease is None:
        return "its owner let go this moment; try again"
    if lease.pid == 0:
        return "by a process that has not said its name yet; try again"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(lease.since))
    ended = "" if Path(f"/proc/{lease.pid}").exists() else " (ended; a process that it started still holds the device)"
    return f"by pid {lease.pid}{ended} of {lease.user!r} since {since}: {lease.command}; wait for it, or end it"


def _path(address: str) -> Path:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", address)[:60]
    return folder() / f"{words}-{hashlib.sha256(address.encode()).hexdigest()[:12]}.lease"


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        # Not with O_CREAT: the kernel refuses that for another user's file in a folder like /tmp (fs.protected_regular).
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        os.fchmod(descriptor, 0o666)  # whatever the umask: the next owner may be another user
        return descriptor
    except FileExistsError:
        return os.open(path, flags)


def _sign(device: Device, address: str) -> Lease:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        user = str(os.getuid())
    command = shlex.join(sys.orig_argv)[:500]
    return Lease(device.id, address, os.getpid(), user, socket.gethostname(), command, time.time())


def _abandon() -> None:
    for hold in list(_holds):
        hold.abandon()


os.register_at_fork(after_in_child=_abandon)
