"""One client per device, on one machine. It knows no robot, and reaches for no device.

A lease is a lock on a file that is named after the physical device (`locks`). The file's text says whose it is; nothing is
decided by the text. The lock of an arm that its driver process holds after the death of its program passes on to the next owner
without being let go (`adoption`).
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from multiprocessing import reduction
from pathlib import Path
from types import TracebackType
from typing import Any

from user_gym.core import Device, Lease
from user_gym.errors import Busy, Closed
from user_gym.robots import adoption, locks, notes
from user_gym.robots.address import physical
from user_gym.robots.adoption import Bond

_MOMENT = 0.5  # s: a probe holds a device while it asks, mostly for milliseconds; nobody is refused because of that
_lent: dict[str, Hold] = {}  # physical address -> what this process may use of its own
_table = threading.Lock()
_holds: weakref.WeakSet[Hold] = weakref.WeakSet()
_log = logging.getLogger(__name__)


class Hold:
    """A lease that this process holds, alone or with processes it was handed to. Made by `take`.

    As an argument of a spawned `multiprocessing.Process` it is shared with that process: the device stays leased until both
    have let go. `release` may be called twice; `with` releases at the end.

    Args:
        lease: whose it is.
        descriptor: of the lock.
        lender: where this process had it already.
        bond: to the driver process that holds the device already, where it was taken over.
    """

    def __init__(self, lease: Lease, descriptor: int, lender: Hold | None = None, bond: Bond | None = None) -> None:
        self.lease, self.bond = lease, bond
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
        if self.bond is not None:  # after the lock: its end says that the lock was let go
            self.bond.close()

    def borrow(self) -> Hold:
        """Another hold of this process, of the same lock. Raises Closed after `release`."""
        return Hold(self.lease, self.duplicate(), self, None if self.bond is None else self.bond.duplicate())

    def wait(self) -> None:
        """In a driver process whose owner is gone: write that the next one is waited for. Raises Closed after `release`."""
        last = notes.read(os.pread(self._open(), locks.MOST, 0)) or self.lease
        notes.write(self._open(), replace(last, pid=os.getpid(), since=time.time(), waiting=True))

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
            if self.bond is not None:
                self.bond.close()

    def __reduce__(self) -> tuple[Callable[..., Hold], tuple[Lease, Any]]:
        if self.bond is not None:
            raise Busy(f"{self.lease.device!r} is held by a driver process that this process took over; connect it here")
        return _handed, (self.lease, reduction.DupFd(self._open()))

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _handed(lease: Lease, descriptor: Any) -> Hold:
    return Hold(lease, descriptor.detach())


def take(device: Device, timeout: float = 0.0, adopt: bool = False) -> Hold:
    """Lease a device for this process.

    Args:
        device: what to lease; two devices with the same physical address are the same.
        timeout: s to wait for a device that another owner has.
        adopt: as for `attempt`.

    Raises:
        Busy: another owner has it, and still had it after `timeout`; the message names the owner.
        BadOption: no folder for leases can be made.
    """
    address, deadline = physical(device), time.monotonic() + timeout
    while (hold := attempt(device, address, adopt=adopt)) is None:
        if time.monotonic() >= deadline:
            raise Busy(
                f"{device.kind} {device.id!r} at {device.address!r} is leased: {notes.describe(holder(device, address))}"
            )
        time.sleep(locks.POLL)
    return hold


def attempt(
    device: Device, address: str | None = None, own: bool = True, passing: bool = False, adopt: bool = False
) -> Hold | None:
    """As `take`, but None where another owner has it; waits for nobody but a probe that asks it this moment.

    Args:
        device: what to lease.
        address: its physical address, where that is known already.
        own: also take what this process holds already and has lent.
        passing: for a probe.
        adopt: also take what a driver process of this user holds whose program is gone; the hold then has a `bond`.

    Raises:
        Busy: such a driver process refuses, and why.
        BadOption: no folder for leases can be made.
    """
    address, deadline = physical(device) if address is None else address, time.monotonic() + _MOMENT
    with _table:
        lender = _lent.pop(address, None) if own else None
    if lender is not None:
        return lender.borrow()
    while (hold := _lock(device, address, passing)) is None:
        if adopt and (hold := _inherit(device, address)) is not None:
            return hold
        owner = holder(device, address)
        dies = adopt and owner is not None and notes.ended(owner)  # its driver process will say in a moment that it waits
        if (owner is not None and owner.pid and not owner.passing and not dies) or time.monotonic() >= deadline:
            return None
        time.sleep(locks.POLL / 4)
    return hold


def _lock(device: Device, address: str, passing: bool) -> Hold | None:
    path = _path(address)
    descriptor = locks.open_file(path)
    try:
        if locks.lock(descriptor) and os.path.samestat(os.fstat(descriptor), path.stat()):
            lease = notes.sign(device, address, passing)
            notes.write(descriptor, lease)
            return Hold(lease, descriptor)
    except FileNotFoundError:  # somebody removed the file between open and lock
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _inherit(device: Device, address: str) -> Hold | None:
    """The lock of a driver process whose program is gone, and a bond to it; None where there is none to be had."""
    owner = holder(device, address)
    if owner is None or not owner.waiting or (found := adoption.knock(address)) is None:
        return None
    try:
        # Whoever answered at the door, this is the lock of this device, and it is held.
        if not (os.path.samestat(os.fstat(found.lease), _path(address).stat()) and locks.lock(found.lease)):
            raise FileNotFoundError(f"the lock of {address} is another one")
        lease = notes.sign(device, address, passing=False)
        notes.write(found.lease, lease)
    except OSError as error:
        os.close(found.lease)
        found.bond.close()
        _log.warning("the driver process (pid %d) that holds %s was not taken over: %s", found.bond.pid, device.id, error)
        return None
    _log.warning("took over %s: its driver process (pid %d) held it after %s", device.id, found.bond.pid, owner.command)
    return Hold(lease, found.lease, bond=found.bond)


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
    return notes.read(note) or Lease(device.id, address, 0, "", "", "", 0.0)  # taken this moment, and nothing written yet


def _path(address: str) -> Path:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", address)[:60]
    return locks.folder() / f"{words}-{sha256(address.encode()).hexdigest()[:12]}.lease"


def _abandon() -> None:
    _lent.clear()
    for hold in list(_holds):
        hold.abandon()


os.register_at_fork(after_in_child=_abandon)
