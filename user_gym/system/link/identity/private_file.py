"""Files that hold a secret: for their owner alone, whatever the umask says. It knows no format."""

from __future__ import annotations

import os
from pathlib import Path

from user_gym.errors import Unwritable

_OTHERS = 0o077


def write(path: Path, data: bytes) -> None:
    """A new file, safe from a power cut. Raises FileExistsError, Unwritable."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise Unwritable(f"{path} may not be written: {error}; give this user the right to") from error
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def read(path: Path) -> bytes:
    """What it holds. Raises Unwritable where others can read or change it, FileNotFoundError."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if mode & _OTHERS:
            raise Unwritable(f"{path} holds a secret and has mode {mode:03o}; allowed: 600; chmod 600 {path}")
        return file.read()
