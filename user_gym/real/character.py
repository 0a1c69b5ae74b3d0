"""A character device of Linux as bytes: opened without blocking, waited for with a deadline, lost when it is unplugged."""

from __future__ import annotations

import errno
import os
import select

from user_gym.errors import LinkLost, MissingSystem

WAIT = 0.1  # s until a silent device is asked again; bounds how long a reader takes to end


class CharacterDevice:
    """Reads one device file.

    Args:
        name: of the device, for people.
        size: bytes of one read; what a device gives in one piece must fit.
        cure: what to do where it may not be read.
    """

    def __init__(self, name: str, size: int, cure: str) -> None:
        self.name, self._size, self._cure = name, size, cure
        self.file = -1

    def open(self, path: str) -> None:
        """Open it. Raises LinkLost where it is not there, MissingSystem where it may not be read."""
        self.close()
        try:
            self.file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except PermissionError as error:
            raise MissingSystem(f"{self.name}: {path} may not be read by you; {self._cure}") from error
        except OSError as error:
            raise LinkLost(f"{self.name}: {path}: {error.strerror}; plug it in, or name another") from error

    def read(self) -> bytes | None:
        """The next piece, or None where nothing came within WAIT. Raises LinkLost."""
        if not select.select([self.file], [], [], WAIT)[0]:
            return None
        try:
            piece = os.read(self.file, self._size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise LinkLost(f"{self.name} is gone: {errno.errorcode.get(error.errno or 0, '')} {error.strerror}") from error
        if not piece:
            raise LinkLost(f"{self.name} is gone: end of file")
        return piece

    def close(self) -> None:
        """Let go; may be called twice."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)
