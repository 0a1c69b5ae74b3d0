"""One writer for a folder, by a lock of the kernel: it ends with the process that has it, however that dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from user_gym.errors import Busy, Unwritable

NAME = "lock"
_SIZE = 200  # bytes: a shorter name leaves nothing of a longer one


class WriterLock:
    """Held from `take` to `release`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path) -> WriterLock:
        """Raises Busy, naming the process that has it, and Unwritable."""
        path = folder / NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise Unwritable(
                f"buffer {folder} may not be written: {error}; give this user the right to, or open it with read_only=True"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, _SIZE, 0).decode(errors="replace").strip() or "a process that does not say its name"
            os.close(descriptor)
            raise Busy(
                f"buffer {folder} is written by {owner}; allowed: one writer; end that one, or open with read_only=True"
            ) from None
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same; it then does not say whose it is
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode().ljust(_SIZE), 0)
        return cls(descriptor)

    def release(self) -> None:
        """May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
