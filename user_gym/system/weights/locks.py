"""Locks of the kernel on bytes of a file. Each belongs to one open file, and ends with the last process that has it open."""

from __future__ import annotations

import fcntl
import os
import struct

from user_gym.errors import MissingSystem

# struct flock of 64-bit Linux: type, whence, start, length, pid (0 for locks of open files)
_FLOCK = struct.Struct("hhqqi4x")


def take(descriptor: int, byte: int, *, shared: bool) -> bool:
    """Lock one byte, alone or with others who share it; False where another open file has it. It never waits."""
    try:
        _set(descriptor, byte, fcntl.F_RDLCK if shared else fcntl.F_WRLCK)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES (fcntl(2))
        return False
    return True


def release(descriptor: int, byte: int) -> None:
    """Let go of a byte."""
    _set(descriptor, byte, fcntl.F_UNLCK)


def again(descriptor: int, flags: int) -> int:
    """The same file, open once more: locks of its own."""
    return os.open(f"/proc/self/fd/{descriptor}", flags | os.O_CLOEXEC)


def _set(descriptor: int, byte: int, kind: int) -> None:
    command = getattr(fcntl, "F_OFD_SETLK", None)
    if command is None:
        raise MissingSystem("weights in shared memory need Linux, for its locks of open files")
    fcntl.fcntl(descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
