"""Memory that two processes of one user share, through a descriptor and without a name: it is gone with the last of the two.

The writer cannot shrink it later (file seals), so that reading it never kills the reader.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np
from numpy.typing import NDArray

from user_gym.errors import BadBlock

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_MOST = 1 << 32  # bytes


class Memory:
    """Mapped until `close`, or as long as an array of it lives.

    Attributes:
        block: (size,) uint8.
        descriptor: to be passed on.
    """

    def __init__(self, descriptor: int, size: int, writable: bool) -> None:
        self.descriptor, self.size = descriptor, size
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        # Every page is there before it is touched.
        self.block: NDArray[np.uint8] = np.frombuffer(
            mmap.mmap(descriptor, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, access), np.uint8
        )

    @classmethod
    def create(cls, least: int) -> Memory:
        """For a writer: of so many bytes or somewhat more, and for its user alone."""
        size = -(-max(least, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        descriptor = os.memfd_create("user-gym-remote", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            return cls(descriptor, size, writable=True)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def adopt(cls, descriptor: int) -> Memory:
        """For a reader: what the other side has passed on; the descriptor belongs to this object. Raises BadBlock."""
        try:
            found = os.fstat(descriptor)
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
            if seals & _SEALS != _SEALS or found.st_mode & 0o177 or not 0 < found.st_size <= _MOST:
                raise BadBlock("shared memory", (found.st_size, oct(found.st_mode)), f"sealed, mode 600, {_MOST} bytes at most")
            return cls(descriptor, found.st_size, writable=False)
        except OSError as error:
            os.close(descriptor)
            raise BadBlock("shared memory", str(error), "memory that can be sealed") from error
        except BadBlock:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Give up the descriptor; pages stay while an array of them lives. May be called twice."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
