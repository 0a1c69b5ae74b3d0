"""A folder that ends with its process: by `remove`, and after a kill by the next that makes one. It knows no files in it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from shutil import rmtree

from user_gym.errors import Unwritable

PREFIX = "user-gym-buffer-"


class TemporaryFolder:
    """Made by `make`. While its process lives a lock of the kernel on it says so, and nobody else removes it.

    Attributes:
        path: the folder, for this user alone.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    @classmethod
    def make(cls) -> TemporaryFolder:
        """A new folder beside the other temporary ones; those that the dead left are removed.

        Raises:
            Unwritable: the file system there has no locks.
        """
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _remove_if_dead(path)
        while True:
            path = Path(tempfile.mkdtemp(prefix=PREFIX))
            descriptor = _locked(path, fcntl.LOCK_EX)
            if descriptor is not None:
                return cls(path, descriptor)
            if path.exists():  # else another took it for dead before it was locked
                path.rmdir()
                raise Unwritable(f"{path} cannot be locked, so others would take it for dead; set TMPDIR to a local disk")

    def remove(self) -> None:
        """With all that is in it. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            rmtree(self.path, ignore_errors=True)
            os.close(descriptor)


def _remove_if_dead(path: Path) -> None:
    descriptor = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if descriptor is not None:
        rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _locked(path: Path, how: int) -> int | None:
    """A descriptor of the folder with the lock on it; None where it is not there any more, another's, or locked already."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, how)
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):  # else it was removed before the lock was had
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
